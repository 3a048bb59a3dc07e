"""What follows an attempt: retries, reports to the sender, leases, day keys. Time moves by hand."""

import asyncio
import logging
from dataclasses import replace

import pytest
from service.gateway_node import (
    MESSAGE,
    RECIPIENT,
    SENDER,
    SUBJECT,
    JsonLines,
    Peer,
    Script,
    context_of,
    deliver,
    make_authority,
    make_gateway,
    parse_report,
)

from mailserver.mime.reports import DeliveryAction
from mailserver.model.address import parse_address
from mailserver.model.dsn import MessageAsk, RecipientAsk
from mailserver.model.errors import Corrupt
from mailserver.model.local_time import local_clock
from mailserver.service.delivery_reports import WORDS_CHARACTERS, answered
from mailserver.service.relay import RelayQueue
from mailserver.service.sender_reports import NO_OCTETS, Report, Told
from mailserver.store import schema
from mailserver.store.jobs import JobState
from mailserver.store.writer import Unit

LATER = b"451 4.3.0 come back later\r\n"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    yield gateway
    gateway.close()


@pytest.fixture
def peer_that(authority):
    """A peer of b.localhost that says these replies."""

    def make(**replies):
        return Peer(Script(**replies), context_of(authority, "b.localhost"))

    return make


@pytest.mark.parametrize(
    "said",
    [{"greeting": b"554 5.7.1 ring the stranger\r\n"}, {"starttls": b"554 5.7.1 ring the stranger\r\n"}],
)
def test_nobody_ends_a_message_before_they_prove_who_they_are(gateway, peer_that, said):
    """Anybody may have answered so far: it is tried again, and no word of theirs reaches the sender."""
    gateway.submit()
    deliver(gateway, peer_that(**said))
    assert gateway.attempts() == [(1, "unreachable", 0)]
    assert gateway.job().state == JobState.WAITING.value
    gateway.clock.pass_by(hours=5)
    deliver(gateway, peer_that(**said))
    (report,) = gateway.inbox()
    assert b"Action: delayed" in report
    assert b"stranger" not in report
    gateway.clock.pass_by(hours=2)
    deliver(gateway, peer_that())
    assert gateway.job().state == JobState.DONE.value


def test_4xx_then_2xx(gateway, peer_that):
    gateway.submit()
    peer = peer_that(end=[LATER])
    assert deliver(gateway, peer) == 1
    assert gateway.job().state == JobState.WAITING.value
    assert deliver(gateway, peer) == 0  # not due yet
    gateway.clock.pass_by(minutes=5)
    assert deliver(gateway, peer) == 1
    assert gateway.attempts() == [(1, "peer-reply", 451), (2, "delivered", 250)]
    assert gateway.inbox() == []


def test_an_unreachable_server_is_tried_again_with_growing_delays(gateway, peer_that):
    gateway.submit()
    start, tries = gateway.clock.now, []

    async def talk():
        gateway.routes = {"b.localhost": "127.0.0.1:1"}
        worker = gateway.worker()
        for _ in range(6):
            due = gateway.job().next_try_at
            gateway.clock.now = start.replace(microsecond=0)
            gateway.clock.pass_by(seconds=due - int(start.timestamp()))
            assert await worker.run_due() == 1
            tries.append((due - int(start.timestamp())) // 60)

    asyncio.run(talk())
    assert tries == [0, 5, 15, 35, 75, 145]
    assert {result for _number, result, _code in gateway.attempts()} == {"unreachable"}


@pytest.mark.parametrize(
    ("reply", "status", "why", "remedy"),
    [
        (b"550 5.1.1 no such box\r\n", "5.1.1", "n'existe pas", "annuaire"),
        (b"552 5.3.4 too big\r\n", "5.3.4", "taille", "pièces jointes"),
        (b"550-5.7.1 line one\r\n550 5.7.1 line two\r\n", "5.7.1", "règles", "réponse"),
        (b"554 nothing enhanced\r\n", "5.0.0", "règles", "réponse"),
    ],
)
def test_5xx_is_reported_with_cause_and_remedy(gateway, peer_that, reply, status, why, remedy):
    gateway.submit()
    deliver(gateway, peer_that(rcpt=[reply]))
    assert gateway.job().state == JobState.FAILED.value
    assert gateway.job().order == b""
    assert gateway.rows(schema.job) and len(gateway.rows(schema.blob)) == 1  # the report's own
    (octets,) = gateway.inbox()
    assert octets.startswith(b"Return-Path: <>\r\n")
    text, fields, original = parse_report(octets)
    assert (fields["Action"], fields["Status"]) == ("failed", status)
    assert fields["Final-Recipient"] == f"rfc822; {RECIPIENT}"
    assert fields["Remote-MTA"] == "dns; b.localhost"
    assert fields["Diagnostic-Code"].startswith("smtp; " + reply[:3].decode())
    assert why in text
    assert f"Que faire : {remedy}"[:12] in text and remedy in text
    assert "What to do:" in text
    assert f"Subject: {SUBJECT}" in original
    assert "Bonjour" not in original
    assert octets.count(b"Auto-Submitted: auto-replied\r\n") == 1


def test_the_peers_words_are_cleaned(gateway, peer_that):
    gateway.submit()
    reply = b"550 5.7.1 caf\xc3\xa9 \x1b[31m" + b"x" * 600 + b"\r\n"
    deliver(gateway, peer_that(rcpt=[reply]))
    text, fields, _original = parse_report(gateway.inbox()[0])
    assert "\x1b" not in text
    assert len(fields["Diagnostic-Code"]) <= len("smtp; 550 ") + WORDS_CHARACTERS


def test_the_delay_is_told_once_at_four_hours(gateway, peer_that):
    gateway.submit()
    peer = peer_that(end=[LATER] * 40)
    while not gateway.job().delay_noticed:
        deliver(gateway, peer)
        gateway.clock.pass_by(minutes=5)
    assert gateway.attempts()[-1][0] > 4
    told_at = gateway.rows(schema.attempt)[-1].at - gateway.job().created_at
    assert 4 * 3600 <= told_at <= 4 * 3600 + 300
    gateway.clock.pass_by(hours=2)
    deliver(gateway, peer)
    (octets,) = gateway.inbox()
    text, fields, _original = parse_report(octets)
    assert (fields["Action"], fields["Status"]) == ("delayed", "4.3.0")
    said = " ".join(text.split())
    assert "ne le renvoyez pas" in said
    paris = local_clock("Europe/Paris")
    sent_at, until = gateway.job().created_at, gateway.job().created_at + 48 * 3600
    assert f"Votre message du {paris.in_french(sent_at)} à" in said
    assert f"Nous essayons jusqu'au {paris.in_french(until)} ;" in said
    assert f"We keep trying until {paris.in_english(until)};" in said
    assert "+0000" in fields["Will-Retry-Until"], "what programs read stays in UTC"


def test_at_48_hours_a_last_attempt_then_the_report(gateway, peer_that):
    gateway.submit()
    peer = peer_that(end=[LATER] * 9)
    deliver(gateway, peer)
    gateway.clock.pass_by(hours=48, seconds=1)
    deliver(gateway, peer)
    assert gateway.job().state == JobState.FAILED.value
    text, fields, _original = parse_report(gateway.inbox()[-1])
    assert (fields["Action"], fields["Status"]) == ("failed", "5.4.7")
    assert "451 4.3.0 come back later" in fields["Diagnostic-Code"]
    assert "Que faire" in text


def test_a_null_sender_is_never_told(gateway, peer_that):
    receipt = (
        f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: Lu\r\nMessage-ID: <mdn@a.localhost>\r\n"
        'Content-Type: multipart/report; report-type=disposition-notification; boundary="b"\r\n\r\n--b--\r\n'
    ).encode()
    gateway.submit(receipt, sender=None)
    peer = peer_that(rcpt=[b"550 5.1.1 no such box\r\n"])
    deliver(gateway, peer)
    assert any(line.startswith(b"MAIL FROM:<> ") for line in peer.lines)
    assert gateway.job().state == JobState.FAILED.value
    assert gateway.inbox() == []


def test_a_dead_workers_jobs_are_taken_over(gateway, peer_that):
    gateway.submit()
    (row,) = gateway.queue(b"dead worker 1234").lease(gateway.clock.now, 10)
    peer = peer_that()
    assert deliver(gateway, peer) == 0
    gateway.clock.pass_by(seconds=121)
    assert deliver(gateway, peer, holder=b"live worker 1234") == 1
    assert gateway.job().state == JobState.DONE.value
    assert row.attempts == 0
    assert gateway.attempts() == [(1, "interrupted", 0), (2, "delivered", 250)]


def test_a_worker_that_lost_its_lease_changes_nothing(gateway, peer_that):
    gateway.submit()
    late = gateway.queue(b"late worker 1234")
    (row,) = late.lease(gateway.clock.now, 10)
    gateway.clock.pass_by(seconds=121)
    (again,) = gateway.queue(b"live worker 1234").lease(gateway.clock.now, 10)
    assert again.job_id == row.job_id
    late.settle(row, answered(550, "5.1.1 unknown"), gateway.clock.now)
    assert gateway.job().state == JobState.WAITING.value
    assert gateway.attempts() == [(1, "interrupted", 0)]
    assert gateway.inbox() == []


def test_leases_are_renewed_while_sending(gateway):
    gateway.submit()
    queue = gateway.queue(b"live worker 1234")
    rows = queue.lease(gateway.clock.now, 10)
    gateway.clock.pass_by(seconds=100)
    queue.renew(rows, gateway.clock.now)
    gateway.clock.pass_by(seconds=100)
    assert gateway.queue().lease(gateway.clock.now, 10) == []
    queue.release(rows)
    assert len(gateway.queue().lease(gateway.clock.now, 10)) == 1


def test_a_damaged_message_is_reported_and_never_half_sent(gateway, peer_that):
    gateway.submit(MESSAGE + b"une ligne de texte parmi tant d'autres\r\n" * 8000)
    (file,) = gateway.blob_files()
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 2] ^= 1
    file.write_bytes(octets)
    peer = peer_that()
    deliver(gateway, peer)
    assert peer.messages == []
    assert gateway.attempts() == [(1, "stored-damaged", 0)]
    _text, fields, _original = parse_report(gateway.inbox()[0])
    assert fields["Status"] == "5.3.0"


def test_day_keys_end_with_their_last_job(gateway, peer_that):
    gateway.submit()
    order, epoch = gateway.job().order, gateway.job().key_epoch
    queue = gateway.queue()
    queue.forget_days(gateway.clock.now)
    gateway.clock.pass_by(hours=27)
    queue.forget_days(gateway.clock.now)
    (row,) = queue.lease(gateway.clock.now, 1)
    assert str(queue.open_message(row).order.recipient) == RECIPIENT  # still needed, still there
    queue.release([row])
    deliver(gateway, peer_that())
    queue.forget_days(gateway.clock.now)
    with pytest.raises(Corrupt):
        queue.open_message(replace(row, order=order, key_epoch=epoch))


def test_run_sends_at_once_when_woken_and_stop_ends_it(gateway, peer_that):
    peer = peer_that()

    async def talk():
        async with peer.running():
            gateway.routes = {"b.localhost": f"127.0.0.1:{peer.port}"}
            worker = gateway.worker()
            running = asyncio.create_task(worker.run())
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, gateway.submit)
            async with asyncio.timeout(20):
                while gateway.job().state != JobState.DONE.value:
                    worker.wake()
                    await asyncio.sleep(0)
            await worker.stop(5)
            await running

    asyncio.run(talk())
    assert len(peer.messages) == 1


def test_stop_gives_unfinished_jobs_back(gateway, authority):
    gateway.submit()
    heard = asyncio.Event()

    class Silent(Peer):
        async def _talk(self, reader, writer):
            heard.set()
            await reader.read()

    async def talk():
        peer = Silent(Script())
        async with peer.running():
            gateway.routes = {"b.localhost": f"127.0.0.1:{peer.port}"}
            worker = gateway.worker()
            running = asyncio.create_task(worker.run())
            await heard.wait()
            await worker.stop(0.01)
            await running

    asyncio.run(talk())
    assert gateway.job().lease_until == 0
    assert gateway.job().state == JobState.WAITING.value
    assert len(gateway.queue().lease(gateway.clock.now, 10)) == 1
    assert gateway.attempts() == [(1, "interrupted", 0)], "it was being tried"


def test_the_log_names_jobs_and_results_only(gateway, peer_that, caplog):
    gateway.submit()
    with caplog.at_level(logging.INFO):
        deliver(gateway, peer_that(end=[b"554 5.7.1 Camille's knee\r\n"]))
    (line,) = JsonLines(caplog).attempts()
    assert set(line) - {"message"} == {  # pytest's own handler adds that one
        *("time", "level", "where", "what", "job", "lane", "hop", "result", "fate", "code", "attempt")
    }
    assert "knee" not in JsonLines(caplog).text()


def test_a_patient_is_told_and_gets_no_conversation_with_the_server(gateway):
    made = gateway.node.add_patient("279035121518989@a.localhost")
    services, sender = gateway.services, parse_address("279035121518989@a.localhost")
    told = [Told(parse_address(RECIPIENT), RecipientAsk(), answered(550, "5.2.1 closed"))]
    report = Report(
        made.account_id, sender, MessageAsk(), DeliveryAction.FAILED, told, (0, 0), "x", NO_OCTETS
    )
    place = services.reports.prepare(report, gateway.clock.now)
    services.store.writer.commit(Unit(made.account_id, place))
    assert [item.account_id for item in gateway.rows(schema.item)] == [made.account_id]
    assert gateway.rows(schema.contact) == []


def test_a_closed_account_is_not_told(gateway, peer_that):
    gateway.submit()
    gateway.services.administration.disable_account(parse_address(SENDER), gateway.clock.now)
    deliver(gateway, peer_that(rcpt=[b"550 5.1.1 no such box\r\n"]))
    assert gateway.job().state == JobState.FAILED.value
    assert gateway.rows(schema.item) == []


def test_a_fault_of_ours_spares_the_other_jobs_and_is_tried_again(gateway, peer_that, monkeypatch, caplog):
    gateway.submit(recipients=(RECIPIENT, "li@b.localhost"))
    faults = [ValueError(f"knee of {RECIPIENT}")]
    whole = RelayQueue.open_message

    def open_message(queue, row):
        if faults:
            raise faults.pop()
        return whole(queue, row)

    monkeypatch.setattr(RelayQueue, "open_message", open_message)
    peer = peer_that()
    deliver(gateway, peer)
    assert sorted(row.state for row in gateway.rows(schema.job)) == ["done", "waiting"]
    assert "knee" not in JsonLines(caplog).text()
    gateway.clock.pass_by(minutes=5)
    deliver(gateway, peer)
    assert {row.state for row in gateway.rows(schema.job)} == {"done"}
