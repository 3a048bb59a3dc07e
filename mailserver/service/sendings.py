"""What a sending leaves on its sender's side, in one Unit: the log entry, a job for each remote recipient, the sealed
record by which its timeline is found, and the report that local recipients have it when asked for (RFC 3461 §4.1).
"""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from mailserver.audit.events import (
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    Origin,
    ParameterName,
    readable,
)
from mailserver.crypto.secret import random_id
from mailserver.documents.subject import display_subject
from mailserver.mime.reports import DeliveryAction
from mailserver.mime.trace import format_return_path
from mailserver.model.address import Address
from mailserver.model.dsn import (
    NO_MESSAGE_ASK,
    NO_REPORT,
    UNASKED,
    MessageAsk,
    Notify,
)
from mailserver.model.ids import JobId
from mailserver.service.access_log import PreparedEntry, add_entries, prepare_entry
from mailserver.service.arrival import Arrival
from mailserver.service.awaited_notices import AwaitedNotices
from mailserver.service.correspondence import Destination
from mailserver.service.delivery import Outcome
from mailserver.service.intake import Intake, SharedBlob
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.service.outbound import Outbound, RelayOrder
from mailserver.service.sealing import SealedBlob, seal_octets, shared_octets
from mailserver.service.sender_reports import DELIVERED, Place, Report, SenderReports, SentOctets, Told
from mailserver.service.timelines import seal_sent
from mailserver.store import items, space_rows
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.sent_rows import SentRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit


@dataclass(frozen=True, slots=True)
class SubmittedEnvelope:
    """``is_told``: the sender was shown who of them is away."""

    sender: Address | None
    destinations: tuple[Destination, ...]
    origin: Origin
    ask: MessageAsk = NO_MESSAGE_ASK
    is_told: bool = False


class Sendings:
    def __init__(
        self, store: Store, outbound: Outbound, reports: SenderReports, awaited: AwaitedNotices
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._reports = reports
        self._awaited = awaited

    def queue(
        self,
        account: OpenAccount,
        envelope: SubmittedEnvelope,
        arrival: Arrival,
        shared: SharedBlob | None,
        delivered: Sequence[Future[Outcome]],
    ) -> Future[Outcome]:
        """Queue the sender's own Unit. ``delivered``: the commits of local recipients, awaited when a report of them was
        asked for, so that it never says what is not so. Raises Unavailable.
        """
        envelope = _with_asks(envelope, arrival)
        remote = [each for each in envelope.destinations if each.account is None]
        blob = None
        jobs: list[JobRow] = []
        if remote:
            small = arrival.intake.small
            blob = shared_octets(shared) if shared is not None else seal_octets(small or b"")
            jobs = [self._job(account, (envelope.ask, each), arrival, blob) for each in remote]
        place = self._success_report(account, envelope, arrival, delivered)
        # a notice is nothing that its sender follows, or waits for a notice of
        places = _places(envelope, jobs)
        sent = None if is_notice(envelope, arrival) else self._sent(account, arrival, places)
        followed = [] if sent is None else self._awaited.follow(sent, arrival, places)
        entry = _log_entry(account, envelope, arrival)
        fingerprint = self._fingerprint(account, envelope, arrival)
        at = int(arrival.received_at.timestamp())

        def run(connection: Connection) -> Outcome:
            if space_rows.has_delivery(connection, account.account_id, fingerprint):
                return Outcome.FOLDED
            space_rows.add_delivery(connection, account.account_id, fingerprint, at)
            if blob is not None:
                if items.find_blob(connection, account.account_id, blob.row.blob_id) is None:
                    items.add_blob(connection, account.account_id, blob.row)
                self._store.jobs.add_jobs(connection, jobs)
            if place is not None:
                place(connection)
            if arrival.kept is not None:
                arrival.kept.add(self._store, connection)
            if sent is not None:
                self._store.sent.add_sent(connection, sent)
                self._store.sent_recipients.add_recipients(connection, followed)
            add_entries(connection, self._store.macs, [entry])
            return Outcome.PLACED

        return self._store.writer.submit(Unit(account.account_id, run))

    def _success_report(
        self,
        account: OpenAccount,
        envelope: SubmittedEnvelope,
        arrival: Arrival,
        delivered: Sequence[Future[Outcome]],
    ) -> Place | None:
        """One report for all local recipients that were asked about; it is placed once for a message that is retried."""
        told = [
            Told(each.address, each.ask, DELIVERED)
            for each in envelope.destinations
            if each.account is not None and each.ask.wants(Notify.SUCCESS)
        ]
        if not told or envelope.sender is None:
            return None
        for commit in delivered:
            commit.result()
        at = int(arrival.received_at.timestamp())
        octets = _sent_octets(arrival.intake, len(format_return_path(arrival.sender)))
        report = Report(
            account.account_id,
            envelope.sender,
            envelope.ask,
            DeliveryAction.DELIVERED,
            told,
            (at, at),
            random_id().hex(),
            octets,
        )
        return self._reports.prepare(report, arrival.received_at)

    def _sent(
        self, account: OpenAccount, arrival: Arrival, places: Sequence[tuple[Destination, JobId | None]]
    ) -> SentRow:
        recipients = [(each.address, job_id) for each, job_id in places]
        message_id, now = arrival.facts.message_id, arrival.received_at
        return seal_sent(self._store, account.account, message_id, recipients, now)

    def _fingerprint(self, account: OpenAccount, envelope: SubmittedEnvelope, arrival: Arrival) -> bytes:
        """R2: the account, the Message-ID, the octets and the recipients."""
        names = sorted(each.address.key for each in envelope.destinations)
        octets = arrival.intake.digest
        mark = (account.account_id, arrival.facts.message_id, octets, "\n".join(names))
        return self._store.macs.sign("fold-submission", mark)

    def _job(
        self,
        account: OpenAccount,
        asked: tuple[MessageAsk, Destination],
        arrival: Arrival,
        blob: SealedBlob,
    ) -> JobRow:
        message_ask, destination = asked
        order = RelayOrder(
            arrival.sender,
            destination.address,
            blob.data_key,
            arrival.intake.size_bytes,
            len(format_return_path(arrival.sender)),
            arrival.facts.message_id,
            message_ask,
            destination.ask,
        )
        return self._outbound.relay_job(account.account_id, order, blob.row.blob_id, arrival.received_at)


def _places(envelope: SubmittedEnvelope, jobs: Sequence[JobRow]) -> list[tuple[Destination, JobId | None]]:
    """Each recipient with its job, None for one of this operator."""
    remote = iter(jobs)
    return [(each, next(remote).job_id if each.account is None else None) for each in envelope.destinations]


def _log_entry(account: OpenAccount, envelope: SubmittedEnvelope, arrival: Arrival) -> PreparedEntry:
    count = str(len(envelope.destinations))
    words = readable(display_subject(arrival.facts.subject), 200)
    what = AuditObject(ObjectKind.MESSAGE, words, ((ParameterName.COUNT, count),))
    event = AuditEvent(EventKind.SENT, arrival.received_at, actor_of(account), what, envelope.origin)
    return prepare_entry(account.account, event)


def is_notice(envelope: SubmittedEnvelope, arrival: Arrival) -> bool:
    """A report or an automatic answer: the null sender's, or one that says so itself (RFC 3834 §5)."""
    return envelope.sender is None or arrival.facts.is_report


def _with_asks(envelope: SubmittedEnvelope, arrival: Arrival) -> SubmittedEnvelope:
    """What the sender is told in the end. Never a notice of a notice: a report or an automatic answer gets none.

    Return-Receipt-To that names the sender itself asks for what NOTIFY=SUCCESS does, where NOTIFY says nothing.
    """
    facts, sender = arrival.facts, envelope.sender
    if sender is None or is_notice(envelope, arrival):
        quiet = tuple(
            replace(each, ask=replace(NO_REPORT, original=each.ask.original))
            for each in envelope.destinations
        )
        return replace(envelope, destinations=quiet)
    if facts.delivery_notice_to is None or facts.delivery_notice_to.key != sender.key:
        return envelope
    told = frozenset({*UNASKED, Notify.SUCCESS})
    asking = tuple(
        each if each.ask.notify is not None else replace(each, ask=replace(each.ask, notify=told))
        for each in envelope.destinations
    )
    return replace(envelope, destinations=asking)


def _sent_octets(intake: Intake, skip_bytes: int) -> SentOctets:
    """The message without our Return-Path, as a peer would get it."""
    return SentOctets(
        intake.size_bytes - skip_bytes, lambda start, stop: intake.read(start + skip_bytes, stop + skip_bytes)
    )
