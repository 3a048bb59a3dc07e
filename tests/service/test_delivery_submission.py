"""Submission: local recipients at once, one sealed job for each remote one, all of it told in the sender's log."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from harness.canary import find_traces
from harness.log_reading import read_log
from service.delivery_peers import ORIGIN, SECONDS, Bench, make_bench, message
from sqlalchemy import update

from mailserver.audit.events import EventKind
from mailserver.crypto.blob import Decryptor
from mailserver.crypto.ctx import ctx
from mailserver.mime.trace import Hop
from mailserver.model.address import parse_address
from mailserver.model.errors import Corrupt
from mailserver.policy.decision import Reason
from mailserver.service.delivery import Outcome
from mailserver.service.keys import OpenAccount
from mailserver.service.receive import Verdict
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.store import items, jobs, schema
from mailserver.store.jobs import JobRow, JobState, Lane
from mailserver.store.writer import Unit

REMOTE = ["noa.chrysocale@b.localhost", "milan.chrysocale@b.localhost"]
PASSWORD = "un mot de passe long"
PLACED, FOLDED = Outcome.PLACED, Outcome.FOLDED


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    bench = make_bench(tmp_path)
    yield bench
    bench.node.close()


@pytest.fixture
def sender(bench: Bench) -> OpenAccount:
    bench.node.add("camille@a.localhost", password=PASSWORD)
    return bench.services.keys.open_with_password("camille@a.localhost", PASSWORD)[0]


def _submit(
    bench: Bench, account: OpenAccount, recipients: list[str], octets: bytes, *, sender: str | None = None
) -> Verdict:
    submission, now = bench.services.submission, datetime.now(UTC)
    envelope_from = parse_address(sender or str(account.addresses[0]))
    destinations = []
    for rank, address in enumerate(recipients):
        decision, destination = submission.decide_recipient(parse_address(address), rank, now)
        assert destination is not None, decision
        destinations.append(destination)
    intake = submission.begin(Hop("client", "127.0.0.1", "a.localhost", "ESMTPSA", "x1"), envelope_from, now)
    try:
        intake.write(octets)
        intake.finish()
        envelope = SubmittedEnvelope(envelope_from, tuple(destinations), ORIGIN)
        return submission.accept(account, envelope, intake, now)
    finally:
        intake.close()


def _outcomes(verdict: Verdict) -> list[Outcome]:
    assert verdict.decision.accepted, verdict.decision
    return [future.result(SECONDS) for future in verdict.commits]


def _jobs(bench: Bench) -> list[JobRow]:
    with bench.store.database.read() as connection:
        return bench.store.jobs.list_jobs(connection)


def _letter(number: object, **more) -> bytes:
    return message(number, sender="camille@a.localhost", **more)


def _octets_of(bench: Bench, job: JobRow) -> bytes:
    """What the gateway sends: the order's key over the job's blob, without our Return-Path."""
    order = bench.services.outbound.open_relay(job)
    with bench.store.database.read() as connection:
        blob = items.find_blob(connection, job.account_id, job.blob_id)
    octets = blob.octets
    read_at = bench.store.blobs.reader(blob.blob_id) if octets is None else lambda lo, hi: octets[lo:hi]
    decryptor = Decryptor(order.data_key, ctx("blob", blob.blob_id), read_at, blob.stored_bytes)
    return decryptor.read(order.skip_bytes, order.size_bytes)


@pytest.mark.parametrize("body", [b"petit\r\n", b"une longue ligne\r\n" * 8000])
def test_local_at_once_and_remote_by_a_job_each(bench: Bench, sender: OpenAccount, body: bytes) -> None:
    made = bench.node.add("doc@a.localhost")
    sent = _letter("both", body=body)
    assert _outcomes(_submit(bench, sender, ["doc@a.localhost", *REMOTE], sent)) == [PLACED, PLACED]
    doctor = bench.node.open("doc@a.localhost", made.app_password)
    (item,) = bench.page(doctor)
    assert bench.read(doctor, item).endswith(sent)
    found = _jobs(bench)
    assert {job.lane for job in found} == {Lane.RELAY}
    assert {job.next_hop for job in found} == {"b.localhost"}
    orders = [bench.services.outbound.open_relay(job) for job in found]
    assert {str(order.recipient) for order in orders} == set(REMOTE)
    assert {str(order.sender) for order in orders} == {"camille@a.localhost"}
    for job in found:
        octets = _octets_of(bench, job)
        assert octets.startswith(b"Received: ")
        assert octets.endswith(sent)
        assert b"chrysocale" not in octets, "who else receives it is in no octet"


def test_the_sending_is_in_the_senders_log(bench: Bench, sender: OpenAccount) -> None:
    _outcomes(_submit(bench, sender, REMOTE, _letter("told")))
    event = read_log(bench.store, sender.account, sender.space_root())[-1].event
    assert (event.kind, event.what.words) == (EventKind.SENT, "Lettre told")
    assert dict(event.what.parameters) == {next(iter(dict(event.what.parameters))): "2"}


def test_a_retry_sends_nothing_twice(bench: Bench, sender: OpenAccount) -> None:
    sent = _letter("retry")
    assert _outcomes(_submit(bench, sender, REMOTE, sent)) == [PLACED]
    before = bench.count("log_entry")
    assert _outcomes(_submit(bench, sender, REMOTE, sent)) == [FOLDED]
    assert (len(_jobs(bench)), bench.count("log_entry")) == (2, before)
    assert _outcomes(_submit(bench, sender, REMOTE[:1], sent)) == [PLACED], (
        "other recipients: another sending"
    )


def test_to_oneself_and_to_others_shares_one_file(bench: Bench, sender: OpenAccount) -> None:
    sent = _letter("self", body=b"une longue ligne\r\n" * 8000)
    assert _outcomes(_submit(bench, sender, ["camille@a.localhost", REMOTE[0]], sent)) == [PLACED, PLACED]
    assert len(list(bench.store.blobs.list_blobs())) == 1
    # deleting one's copy does not take the octets from the queue
    bench.services.messages.expunge(sender, bench.box(sender).mailbox_id, [(1, 1)])
    (job,) = _jobs(bench)
    assert _octets_of(bench, job).endswith(sent)


REFUSALS = [
    ({"From": "noa@a.localhost"}, Reason.FROM_NOT_OWNED),
    ({"From": "camille@b.localhost"}, Reason.FROM_NOT_OWNED),
    ({"From": "un, deux"}, Reason.MALFORMED_HEADERS),
]


@pytest.mark.parametrize(("headers", "reason"), REFUSALS)
def test_a_refused_message_leaves_nothing(bench: Bench, sender: OpenAccount, headers, reason: Reason) -> None:
    before = bench.count("log_entry")
    verdict = _submit(bench, sender, REMOTE, _letter("refused", **headers))
    assert (verdict.decision.reason, list(verdict.commits)) == (reason, [])
    assert (_jobs(bench), bench.count("log_entry"), bench.count("blob")) == ([], before, 0)


def test_the_envelope_sender_belongs_to_the_account(bench: Bench, sender: OpenAccount) -> None:
    decide = bench.services.submission.decide_sender
    assert decide(sender, parse_address("camille@a.localhost")).accepted
    assert decide(sender, None).accepted
    assert decide(sender, parse_address("noa@a.localhost")).reason is Reason.SENDER_NOT_OWNED
    reason = bench.services.submission.decide_recipient(
        parse_address("x@unlisted.localhost"), 0, datetime.now(UTC)
    )
    assert reason[0].reason is Reason.RECIPIENT_DOMAIN_UNLISTED


def test_an_order_is_sealed_for_its_job_and_its_day(bench: Bench, sender: OpenAccount) -> None:
    _outcomes(_submit(bench, sender, REMOTE, _letter("orders")))
    first, second = _jobs(bench)
    with bench.store.database.write() as connection:
        for job, other in ((first, second), (second, first)):
            connection.execute(
                update(schema.job).where(schema.job.c.job_id == job.job_id).values(order=other.order)
            )
    for job in _jobs(bench):
        with pytest.raises(Corrupt):
            bench.services.outbound.open_relay(job)
    bench.services.outbound.forget_day(first.key_epoch)
    for job in (first, second):
        with pytest.raises(Corrupt):
            bench.services.outbound.open_relay(job)


def test_no_address_lies_in_clear(bench: Bench, sender: OpenAccount) -> None:
    """K15, K20: the queue, its end included; the next hop's domain alone is routing."""
    words = ["chrysocale", "camille", "Lettre"]
    _outcomes(_submit(bench, sender, REMOTE, _letter("clear")))
    assert find_traces(bench.node.folder / "data", words) == []
    for job, state in zip(_jobs(bench), (JobState.DONE, JobState.FAILED), strict=True):
        bench.store.writer.commit(Unit(job.account_id, lambda c, j=job, s=state: jobs.mark_final(c, j, s)))
    assert {(job.state, job.order) for job in _jobs(bench)} == {(JobState.DONE, b""), (JobState.FAILED, b"")}
    assert find_traces(bench.node.folder / "data", words) == []
