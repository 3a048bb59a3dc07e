"""Reports about notices that come back later: whom they mark, and all that marks nobody."""

import json
import re
from dataclasses import replace

import pytest
from harness.dsn_words import PLAIN_SENDER, dsn, qmail_words
from service.gateway_node import JsonLines, Peer, Script, deliver, make_authority, make_gateway

from mailserver.mime.bounces import Failure
from mailserver.model.address import parse_address
from mailserver.model.errors import Corrupt
from mailserver.service.bounces import BOUNCE_BYTES, Bounces, Heard
from mailserver.service.contacts import Contacts
from mailserver.service.notice_tokens import find_jobs, format_token
from mailserver.service.outbound import NoticeOrder
from mailserver.store import schema
from mailserver.store.jobs import JobState
from mailserver.store.writer import Unit

PATIENT, OTHER = "279035121518989@a.localhost", "lou.fictif@a.localhost"
MAIL, OTHERS_MAIL = "Dominique@ordinaire.example", "lou@ordinaire.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    gateway.node.add_patient(PATIENT, contact=MAIL)
    yield gateway
    gateway.close()


@pytest.fixture
def sent(gateway):
    """The mark of a notice that the relay took."""
    return send(gateway)


def row_of(gateway, address=PATIENT):
    services = gateway.services
    with services.store.database.read() as connection:
        return services.directory.find_account(connection, parse_address(address))


def profile_of(gateway, address=PATIENT):
    return gateway.services.directory.open_profile(row_of(gateway, address))


def change(gateway, **fields):
    services, row = gateway.services, row_of(gateway)
    profile = replace(services.directory.open_profile(row), **fields)
    changed = replace(row, profile=services.directory.seal_profile(row.account_id, profile))
    write = services.store.accounts.replace_account
    services.store.writer.commit(Unit(row.account_id, lambda connection: write(connection, changed)))


def queue(gateway, recipient=MAIL, address=PATIENT):
    services, account_id = gateway.services, row_of(gateway, address).account_id
    order = NoticeOrder(parse_address(recipient), "Pli", "Un message vous attend.\n")
    job = services.outbound.notice_job(account_id, order, 600, gateway.clock.now)
    add = services.store.jobs.add_jobs
    services.store.writer.commit(Unit(account_id, lambda connection: add(connection, [job])))
    return format_token(services.store.macs, job.job_id)


def send(gateway, reply=b"250 2.1.5 ok\r\n", **notice):
    token = queue(gateway, **notice)
    deliver(gateway, Peer(Script(rcpt=[reply], offers_tls=False)))
    return token


def hear(gateway, octets):
    services = gateway.services
    contacts = Contacts(services.store, services.directory)
    return Bounces(services.store, contacts).hear(octets, gateway.clock.now)


def named(token, **more):
    return {"original": f"<{token}@a.localhost>"} | more


def test_a_notice_says_who_it_is(gateway):
    """In the return path where the relay takes tags, in the ENVID where it reports, in the Message-ID always."""
    gateway.tags_sender = True
    token = queue(gateway)
    peer = Peer(Script(offers_tls=False, extensions=(b"DSN", b"SIZE 99999")))
    deliver(gateway, peer)
    (mail,) = peer.messages
    assert f"Message-ID: <{token}@a.localhost>\r\n".encode() in mail
    said = b"\n".join(peer.lines)
    assert f"MAIL FROM:<ne-pas-repondre+{token}@a.localhost>".encode() in said
    assert f" RET=HDRS ENVID={token}\n".encode() in said
    assert b"RCPT TO:<Dominique@ordinaire.example> NOTIFY=FAILURE\n" in said
    assert re.search(rb"^From: Pli <ne-pas-repondre@a.localhost>\r$", mail, re.MULTILINE)
    assert row_of(gateway).account_id.hex() not in said.decode()


@pytest.mark.parametrize(
    "place",
    [
        lambda token: {"to": f"ne-pas-repondre+{token}@a.localhost"},
        lambda token: {"to": f"<NE-PAS-REPONDRE+{token.upper()}@a.localhost>"},
        lambda token: {"envid": token},
        lambda token: {"original": f"<{token}@a.localhost>"},
        lambda token: {"to": f"{PLAIN_SENDER}\r\nDelivered-To: ne-pas-repondre+{token}@a.localhost"},
    ],
    ids=["return path", "in capitals", "ENVID", "Message-ID", "Delivered-To"],
)
def test_an_address_that_failed_is_dead(gateway, sent, place, caplog):
    with caplog.at_level("INFO"):
        assert hear(gateway, dsn(MAIL.lower(), **place(sent))) is Heard.MARKED
    assert profile_of(gateway).is_email_dead
    assert gateway.services.notices.waiting_job(row_of(gateway), gateway.clock.now) is None
    assert gateway.services.notices.code_job(row_of(gateway), "123456", gateway.clock.now) is not None
    job = gateway.job()
    assert (job.state, job.attempts) == (JobState.FAILED.value, 2)
    assert gateway.attempts() == [(1, "delivered", 250), (2, "peer-reply", 0)]
    told = map(json.loads, JsonLines(caplog).text().splitlines())
    lines = [line for line in told if line["where"] == "pli.contacts"]
    assert [line["job"] for line in lines] == [job.job_id.hex()] * 2
    assert lines[0]["code"] == "5.1.1"
    said = JsonLines(caplog).text().lower()
    assert not [each for each in (MAIL.lower(), "ordinaire.example", PATIENT, sent) if each in said]


@pytest.mark.parametrize(
    ("status", "more", "heard"),
    [
        ("5.1.1 (bad destination mailbox)", "", Heard.MARKED),
        ("5.1.10", "", Heard.MARKED),
        ("5.2.1", "", Heard.MARKED),
        ("5.0.0", "Diagnostic-Code: smtp; 550 5.1.1 <x>: no such user\r\n", Heard.MARKED),
        ("5.0.0", "Diagnostic-Code: smtp;550-5.1.1 The account\r\n does not exist\r\n", Heard.MARKED),
        ("5.0.0", "Diagnostic-Code: smtp; 550 no such user\r\n", Heard.LEFT),
        ("5.0.0", "Diagnostic-Code: x-unix; 550 5.1.1\r\n", Heard.LEFT),
        ("5.7.1", "Diagnostic-Code: smtp; 550 5.1.1 x\r\n", Heard.LEFT),
        ("5.1.7", "", Heard.LEFT),
        ("5.1.8", "", Heard.LEFT),
        ("5.2.2", "", Heard.LEFT),
        ("5.7.1", "", Heard.LEFT),
        ("4.1.1", "", Heard.LEFT),
        ("", "", Heard.LEFT),
        ("5.1.1\r\nStatus: 5.1.1", "", Heard.LEFT),
        ("cinq", "", Heard.LEFT),
    ],
)
def test_what_a_status_says(gateway, sent, status, more, heard):
    """The same table as for the relay's own refusals."""
    assert hear(gateway, dsn(MAIL, status=status, more=more, **named(sent))) is heard
    assert profile_of(gateway).is_email_dead is (heard is Heard.MARKED)


@pytest.mark.parametrize(
    "action", ["delayed", "delivered", "relayed", "expanded", "", "failed\r\nAction: delayed"]
)
def test_what_has_not_failed_marks_nothing(gateway, sent, action):
    assert hear(gateway, dsn(MAIL, action=action, **named(sent))) is Heard.LEFT
    assert not profile_of(gateway).is_email_dead
    assert gateway.job().state == JobState.DONE.value
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.MARKED  # the delay had its end


def forged(token):
    return [token[:-1] + ("a" if token[-1] != "a" else "b"), "a" * 42, token[:-1], f"{token}a", ""]


def test_a_mark_that_is_made_up_is_worth_nothing(gateway, sent, caplog):
    for each in forged(sent):
        octets = dsn(MAIL, to=f"ne-pas-repondre+{each}@a.localhost", **named(each, envid=each))
        assert hear(gateway, octets) is Heard.STRANGE
    job_id = gateway.job().job_id
    assert find_jobs(gateway.services.store.macs, [sent.encode()]) == (job_id,)
    assert not profile_of(gateway).is_email_dead


def test_a_relay_jobs_mark_is_none(gateway):
    gateway.submit()
    job_id = gateway.job().job_id
    token = format_token(gateway.services.store.macs, job_id)
    assert hear(gateway, dsn(MAIL, **named(token))) is Heard.STRANGE


def test_another_persons_address_is_out_of_reach(gateway, sent):
    gateway.node.add(OTHER, contact=OTHERS_MAIL)
    assert hear(gateway, dsn(OTHERS_MAIL, **named(sent))) is Heard.LEFT
    assert not profile_of(gateway, OTHER).is_email_dead
    assert not profile_of(gateway).is_email_dead


def test_the_report_of_an_older_address_marks_nothing(gateway, sent):
    change(gateway, contact_email="nouvelle@ordinaire.example")
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.LEFT
    change(gateway, contact_email="")
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.LEFT
    assert not profile_of(gateway).is_email_dead


def test_a_report_counts_once(gateway, sent):
    octets = dsn(MAIL, **named(sent))
    assert hear(gateway, octets) is Heard.MARKED
    change(gateway, is_email_dead=False, is_email_returned=False)  # its code was typed in again
    assert hear(gateway, octets) is Heard.LEFT
    assert not profile_of(gateway).is_email_dead


def test_a_report_comes_in_time_or_not_at_all(gateway, sent):
    gateway.clock.pass_by(days=8, seconds=1)
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.LEFT
    gateway.clock.pass_by(days=-1)
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.MARKED


def test_a_report_that_is_faster_than_we_are_waits(gateway):
    token = queue(gateway)
    assert hear(gateway, dsn(MAIL, **named(token))) is Heard.LATER
    assert not profile_of(gateway).is_email_dead


def test_an_account_that_changes_meanwhile_waits(gateway, sent, monkeypatch):
    find = Contacts.find_return

    def find_and_change(contacts, account_id, names):
        found = find(contacts, account_id, names)
        change(gateway, contact_phone="+33600000078")
        return found

    monkeypatch.setattr(Contacts, "find_return", find_and_change)
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.LATER
    assert gateway.job().state == JobState.DONE.value
    monkeypatch.undo()
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.MARKED
    assert profile_of(gateway).contact_phone == "+33600000078"


@pytest.mark.parametrize("kind", ["qmail", "huge", "enclosed", "two", "deep", "empty", "octets"])
def test_what_is_no_report_is_left_alone(gateway, sent, kind):
    report = dsn(MAIL, **named(sent))
    enclosing = b"Content-Type: message/rfc822\r\n\r\n"
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(60))
    octets = {
        "qmail": qmail_words(MAIL, sent),
        "huge": report + b"x" * BOUNCE_BYTES,
        "enclosed": enclosing + report,
        "two": b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n%b\r\n--m\r\n%b\r\n--m--\r\n"
        % (report, report),
        "deep": deep + report,
        "empty": b"",
        "octets": bytes(range(256)) * 100,
    }[kind]
    assert hear(gateway, octets) is Heard.STRANGE
    assert not profile_of(gateway).is_email_dead


def test_after_a_report_a_relays_yes_says_nothing(gateway, sent):
    """Such a relay takes mail for any address; codes still try a dead one."""
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.MARKED
    send(gateway)
    assert profile_of(gateway).is_email_dead
    change(gateway, is_email_dead=False, is_email_returned=False)
    send(gateway, b"550 5.1.1 unknown\r\n")
    assert profile_of(gateway).is_email_dead
    send(gateway)
    assert not profile_of(gateway).is_email_dead


def test_a_planted_job_is_not_believed(gateway, sent):
    gateway.node.add(OTHER, contact=MAIL)
    other = row_of(gateway, OTHER).account_id
    write = schema.job.update().values(account_id=other)
    gateway.services.store.writer.commit(Unit(other, lambda connection: connection.execute(write)))
    with pytest.raises(Corrupt):
        hear(gateway, dsn(MAIL, **named(sent)))
    assert not profile_of(gateway, OTHER).is_email_dead


def test_nothing_private_in_a_repr():
    assert MAIL not in repr(Failure((parse_address(MAIL),), "5.1.1"))


def test_a_box_that_forwards_to_a_dead_one_is_alive(gateway, sent):
    """RFC 3461 §5.2.7.1: ORCPT is kept on the way, so both stand in the report; who was not reached is the final one."""
    forwarded = dsn("ancienne@ailleurs.example", more=f"Original-Recipient: rfc822;{MAIL}\r\n", **named(sent))
    assert hear(gateway, forwarded) is not Heard.MARKED
    assert not profile_of(gateway).is_email_dead
    assert hear(gateway, dsn(MAIL, **named(sent))) is Heard.MARKED, "its own report is still heard"
