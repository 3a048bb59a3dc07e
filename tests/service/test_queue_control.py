"""What an administrator does to the queue: who is told, what is written where, and what a worker's lease forbids."""

from dataclasses import replace

import pytest
from service.gateway_node import (
    MESSAGE,
    RECIPIENT,
    JsonLines,
    Peer,
    Script,
    context_of,
    deliver,
    make_authority,
    make_gateway,
    parse_report,
)

from mailserver.audit.events import EventKind
from mailserver.crypto.custodian_journal import parse_journal_line
from mailserver.crypto.secret import random_id
from mailserver.model.address import parse_address, parse_domain
from mailserver.model.dsn import RecipientAsk
from mailserver.model.errors import Conflict, NotFound, Unavailable
from mailserver.model.ids import JobId
from mailserver.service.outbound import NoticeOrder
from mailserver.service.queue_control import QueueAct
from mailserver.store import schema
from mailserver.store.jobs import JobState, JobStore
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
def control(gateway):
    return gateway.services.queue


@pytest.fixture
def act(gateway, control):
    """One act on the one job."""
    return lambda name: control.act(QueueAct(name), JobId(gateway.job().job_id), gateway.clock.now)


def peer_that(authority, **replies):
    return Peer(Script(**replies), context_of(authority, "b.localhost"))


def journal(gateway):
    folder = gateway.services.config.keys_folder
    lines = (folder / "journal").read_bytes().splitlines(keepends=True)
    return [line.basis for line in map(parse_journal_line, lines) if line.verb == "act"]


def log_kinds(gateway):
    """The sender's own log holds that many entries."""
    return len(gateway.rows(schema.log_entry))


def test_the_list_says_where_and_when_and_nothing_else(gateway, control, authority):
    gateway.submit(recipients=(RECIPIENT, "li@c.localhost"))
    deliver(gateway, peer_that(authority, end=[LATER]))
    infos = control.list_jobs(gateway.clock.now)
    assert {info.row.next_hop for info in infos} == {"b.localhost", "c.localhost"}
    (ours,) = control.list_jobs(gateway.clock.now, parse_domain("b.localhost"))
    assert [(each.number, each.result, each.reply_code) for each in ours.attempts] == [(1, "peer-reply", 451)]
    assert not ours.is_tried_now
    assert "noa" not in repr(ours.row.next_hop)
    assert control.load_job(ours.row.job_id, gateway.clock.now) == ours
    with pytest.raises(NotFound):
        control.load_job(JobId(random_id()), gateway.clock.now)


def test_retry_is_now(gateway, authority, act):
    gateway.submit()
    peer = peer_that(authority, end=[LATER])
    deliver(gateway, peer)
    assert deliver(gateway, peer) == 0
    act("retry")
    assert deliver(gateway, peer) == 1
    assert gateway.job().state == JobState.DONE.value
    with pytest.raises(Conflict, match="job-over"):
        act("retry")


def test_a_held_job_waits_for_its_release(gateway, authority, act):
    gateway.submit()
    act("hold")
    act("hold")
    with pytest.raises(Conflict, match="job-held"):
        act("retry")
    peer = peer_that(authority)
    gateway.clock.pass_by(hours=1)
    assert deliver(gateway, peer) == 0
    act("release")
    with pytest.raises(Conflict, match="job-not-held"):
        act("release")
    assert deliver(gateway, peer) == 1
    assert len(peer.messages) == 1


def test_a_removed_job_is_reported_with_its_reason(gateway, act, caplog):
    gateway.submit()
    before = log_kinds(gateway)
    with caplog.at_level("INFO"):
        act("drop")
    job = gateway.job()
    assert (job.state, job.order) == (JobState.FAILED.value, b"")
    assert gateway.attempts() == [(1, "removed", 0)]
    (octets,) = gateway.inbox()
    text, fields, original = parse_report(octets)
    assert (fields["Action"], fields["Status"]) == ("failed", "5.7.0")
    assert "un administrateur de votre opérateur l'a retiré" in text.replace("\n", " ")
    assert "removed by the operator" in text.replace("\n", " ")
    assert "Radio du genou" in original
    assert journal(gateway)[-1] == f"queue drop {job.job_id.hex()}"
    assert log_kinds(gateway) == before + 2, "the act, and that the inbox was read just now"
    assert f'"act": "drop", "job": "{job.job_id.hex()}", "hop": "b.localhost"' in JsonLines(caplog).text()
    assert "noa" not in JsonLines(caplog).text()
    with pytest.raises(Conflict, match="job-over"):
        act("drop")
    assert len(gateway.inbox()) == 1


def test_the_removal_is_in_the_senders_own_log(gateway, act, monkeypatch):
    told = []
    from mailserver.service import queue_control

    whole = queue_control.prepare_entry
    monkeypatch.setattr(
        queue_control, "prepare_entry", lambda account, event: told.append(event) or whole(account, event)
    )
    gateway.submit()
    act("drop")
    (event,) = told
    assert (event.kind, event.who.handle) == (EventKind.ADMINISTRATOR_ACT, "pli queue")
    assert [value for _name, value in event.what.parameters] == ["removed-from-queue", RECIPIENT]


def test_a_sender_who_wants_no_news_gets_none_of_a_removal(gateway, act):
    gateway.submit(ask=RecipientAsk(frozenset()))
    act("drop")
    assert gateway.inbox() == []


@pytest.mark.parametrize("name", list(QueueAct))
def test_a_job_that_is_being_tried_is_left_alone(gateway, act, name):
    gateway.submit()
    queue = gateway.queue()
    (row,) = queue.lease(gateway.clock.now, 1)
    with pytest.raises(Unavailable, match="job-busy"):
        act(name)
    assert gateway.inbox() == []
    assert gateway.attempts() == []
    assert queue.open_message(row).size_bytes
    gateway.clock.pass_by(minutes=3)  # its worker is dead
    if name is not QueueAct.RELEASE:
        act(name)


def test_all_and_by_next_hop(gateway, control, caplog):
    gateway.submit(recipients=(RECIPIENT, "li@b.localhost", "sam@c.localhost"))
    now = gateway.clock.now
    changed = control.act_on_all(QueueAct.HOLD, parse_domain("b.localhost"), now)
    assert (len(changed.done), list(changed.busy)) == (2, [])
    assert sorted(row.state for row in gateway.rows(schema.job)) == ["held", "held", "waiting"]
    gateway.queue().lease(now, 10)
    changed = control.act_on_all(QueueAct.RETRY, None, now)
    assert (list(changed.done), len(changed.busy)) == ([], 1)
    changed = control.act_on_all(QueueAct.RELEASE, None, now)
    assert len(changed.done) == 2
    assert journal(gateway)[-3:] == ["queue hold b.localhost", "queue retry all", "queue release all"]


def test_what_was_held_too_long_is_returned_before_its_key_ends(gateway, act, monkeypatch):
    gateway.submit()
    act("hold")
    queue = gateway.queue()
    gateway.clock.pass_by(hours=47)
    queue.end_held(gateway.clock.now)
    assert gateway.job().state == JobState.HELD.value
    gateway.clock.pass_by(hours=2)
    queue.forget_days(gateway.clock.now)
    with gateway.services.store.database.read() as connection:
        seen = gateway.services.store.jobs.list_sound(connection, is_open=True)
    with monkeypatch.context() as patched:  # two workers saw it at once
        patched.setattr(JobStore, "list_sound", lambda *_args, **_more: seen)
        queue.end_held(gateway.clock.now)
        gateway.queue().end_held(gateway.clock.now)
    assert gateway.job().state == JobState.FAILED.value
    assert len(gateway.inbox()) == 1
    text, fields, _original = parse_report(gateway.inbox()[0])
    assert fields["Status"] == "5.4.7"
    assert "retenu" in text


def test_a_notice_is_removed_without_a_word(gateway, act):
    services, now = gateway.services, gateway.clock.now
    order = NoticeOrder(parse_address("d@courriel.example"), "Un message", "Il vous attend.")
    row = services.outbound.notice_job(gateway.account.account_id, order, 600, now)
    unit = Unit(row.account_id, lambda connection: services.store.jobs.add_jobs(connection, [row]))
    services.store.writer.commit(unit)
    entries = log_kinds(gateway)
    act("drop")
    assert gateway.job().state == JobState.FAILED.value
    assert log_kinds(gateway) == entries
    assert gateway.inbox() == []


def test_a_domain_that_leaves_the_list_while_mail_waits_and_comes_back(gateway, authority, monkeypatch):
    """The message is returned with the reason; one written after the return of the domain arrives."""
    gateway.submit()
    peer = peer_that(authority, end=[LATER])
    deliver(gateway, peer)
    whole = gateway.services.trust.current
    less = replace(whole, entries=tuple(each for each in whole.entries if each.domain.name != "b.localhost"))
    gateway.clock.pass_by(minutes=5)
    said = len(peer.lines)
    with monkeypatch.context() as patched:
        patched.setattr(type(gateway.services.trust), "current", property(lambda _store: less))
        deliver(gateway, peer)
    assert len(peer.lines) == said, "nothing is said to a server outside the list"
    assert gateway.attempts() == [(1, "peer-reply", 451), (2, "recipient-domain-unlisted", 0)]
    assert gateway.job().state == JobState.FAILED.value
    text, fields, _original = parse_report(gateway.inbox()[0])
    assert (fields["Action"], fields["Status"][0]) == ("failed", "5")
    assert "n'est plus dans la liste" in text
    assert "no longer in the list" in text
    gateway.submit(MESSAGE.replace(b"<un@", b"<deux@"))
    deliver(gateway, peer)
    assert sorted(row.state for row in gateway.rows(schema.job)) == ["done", "failed"]
    assert len(peer.messages) == 2


def test_an_altered_job_is_told_and_the_others_leave(gateway, control, authority, caplog):
    gateway.submit(recipients=(RECIPIENT, "li@b.localhost"))
    bad = gateway.rows(schema.job)[0].job_id
    unit = Unit(
        gateway.account.account_id,
        lambda connection: (
            connection.execute(
                schema.job.update().where(schema.job.c.job_id == bad).values(next_hop="c.localhost")
            ).rowcount
        ),
    )
    gateway.services.store.writer.commit(unit)
    peer = peer_that(authority)
    deliver(gateway, peer)
    assert len(peer.messages) == 1
    assert {row.job_id: row.state for row in gateway.rows(schema.job)}[bad] == JobState.WAITING.value
    (said,) = [each for each in caplog.records if each.levelname == "CRITICAL"]
    assert (said.message, said.job) == ("altered job is not sent, put aside for an hour", bytes(bad).hex())
    assert not any(word in JsonLines(caplog).text() for word in ("noa", "li@", "@b.localhost"))
    assert control.list_altered() == [bad]
    assert [info.row.job_id == bad for info in control.list_jobs(gateway.clock.now, has_finished=True)] == [
        False
    ]
    deliver(gateway, peer)
    assert len(peer.messages) == 1
    gateway.queue().end_held(gateway.clock.now)
