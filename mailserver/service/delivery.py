"""Delivery: an accepted message goes into mailboxes, one Unit per account, exactly once (R1, R2).

Everything slow (parsing, sealing) happens before the writer; 250 is said only after every Unit's commit.
"""

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    ParameterName,
    readable,
)
from mailserver.documents.reasons import SetAside, SetAsideReason
from mailserver.documents.subject import display_subject
from mailserver.mime.notices import find_notice
from mailserver.mime.summary_wire import format_summary
from mailserver.mime.trace import format_return_path
from mailserver.model.account import AccountKind, Flag, Role
from mailserver.service.absence_replies import AbsenceReplies, AbsenceReply, Answerable
from mailserver.service.access_log import PreparedEntry, add_entries, prepare_entry
from mailserver.service.administrator import SERVER
from mailserver.service.arrival import Arrival
from mailserver.service.awaited_notices import AwaitedNotices, HeardNews
from mailserver.service.directory import Directory
from mailserver.service.filing import (
    Archives,
    DocumentSealer,
    PatientFile,
    SealedDocument,
    filing_entries,
    seal_case,
    seal_space_record,
)
from mailserver.service.header_facts import read_header_facts
from mailserver.service.intake import Intake, SharedBlob
from mailserver.service.integration_receipts import IntegrationReceipts, PreparedReceipt
from mailserver.service.kept_files import KeptFiles
from mailserver.service.notices import Notices, WaitingNotice, claim_waiting
from mailserver.service.recipients import Recipients
from mailserver.service.sealing import (
    AwayItem,
    PlaceStamp,
    SealedBlob,
    seal_for_away,
    seal_octets,
    shared_octets,
)
from mailserver.service.summaries import parse_intake
from mailserver.store import items, mailboxes, space_rows
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.mailboxes import Arrivals
from mailserver.store.space_rows import SealedRecord
from mailserver.store.store import Store
from mailserver.store.writer import Unit

REPLY_BYTES = 64 * 1024
"""More than the texts of an absence can make."""


class Outcome(StrEnum):
    PLACED = "placed"
    FOLDED = "folded"
    """The same message had been acknowledged before; nothing was written."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Everything that one account's Unit writes."""

    account: AccountRow
    item: AwayItem
    fingerprint: bytes
    flags: int
    documents: list[SealedDocument] = field(default_factory=list)
    entries: list[PreparedEntry] = field(default_factory=list)
    contact: SealedRecord | None = None
    case: SealedRecord | None = None
    notice: WaitingNotice | None = None
    reply: AbsenceReply | None = None
    """What this delivery brings about."""
    due: AbsenceReply | None = None
    """What this delivery is itself."""
    heard: HeardNews | None = None
    receipt: PreparedReceipt | None = None


@dataclass(frozen=True, slots=True)
class Effects:
    """Who acts when mail is put into a box: notices that something waits, replies for those who are away, what arriving
    notices say of sent messages, receipts of patients' spaces.
    """

    notices: Notices
    replies: AbsenceReplies
    awaited: AwaitedNotices
    receipts: IntegrationReceipts


class Delivery:
    def __init__(
        self,
        store: Store,
        directory: Directory,
        archives: Archives,
        effects: Effects,
        kept: KeptFiles,
    ) -> None:
        self._store = store
        self._replies = effects.replies
        self.absences = effects.replies.absences
        self.recipients = Recipients(store, directory, self.absences)
        self._notices = effects.notices
        self._directory = directory
        self.awaited = effects.awaited
        self._receipts = effects.receipts
        self.archives = archives
        self.kept = kept

    def deliver(
        self,
        arrival: Arrival,
        recipients: Sequence[AccountRow],
        shared: SharedBlob | None = None,
        found: PatientFile | SetAside | None = None,
    ) -> list[Future[Outcome]]:
        """Prepare and queue one Unit per account; the futures are done after their commits.

        ``shared`` is the durable blob of a large message when the caller has kept it already; ``found`` is what the
        message's archive gives (``archives``, whose turn lasts until this returns).
        Raises Unavailable when the disk cannot keep the message: nothing is acknowledged then.
        """
        accounts = {row.account_id: row for row in recipients}.values()
        small = arrival.intake.small
        if small is None and shared is None:
            shared = arrival.intake.keep()
        summary = format_summary(arrival.summary)
        futures = []
        for account in accounts:
            blob = shared_octets(shared) if shared is not None else seal_octets(small or b"")
            prepared = self._prepare(arrival, account, blob, summary, found)
            is_away = account.account_id in arrival.away
            reply = self._replies.find_reply(account, _answerable(arrival)) if is_away else None
            futures.append(self._store.writer.submit(self._unit(replace(prepared, reply=reply), arrival)))
            if reply is not None and reply.here is not None:
                futures.append(self._deliver_reply(reply, reply.here, arrival.received_at))
        return futures

    def prepare_place(self, arrival: Arrival, account: AccountRow) -> Callable[[Connection], Outcome]:
        """What writes a message of the server's own into an INBOX, inside a Unit of the caller's over that account.

        Nothing in it is filed. Raises Unavailable when the disk cannot keep it.
        """
        small = arrival.intake.small
        blob = seal_octets(small) if small is not None else shared_octets(arrival.intake.keep())
        prepared = self._prepare(arrival, account, blob, format_summary(arrival.summary), None)
        return self._unit(prepared, arrival).run

    def _deliver_reply(self, reply: AbsenceReply, to: AccountRow, now: datetime) -> Future[Outcome]:
        """An automatic reply to somebody here, in a Unit of their own account."""
        with contextlib.closing(Intake(self._store.blobs, REPLY_BYTES)) as intake:
            intake.write_trace(format_return_path(None))
            intake.write(reply.octets)
            intake.finish()
            return self._deliver_own(intake, to, "absence-reply", now, reply)

    def answer_here(
        self, arrival: Arrival, recipients: Sequence[AccountRow], found: PatientFile | SetAside | None
    ) -> list[Future[Outcome]]:
        """Receipts of patients' spaces for a sender of ours, whose own Unit has been committed."""
        futures = []
        for account in recipients if found is not None else ():
            judged = self._judge(account, found)
            aside = judged if isinstance(judged, SetAside) else None
            is_patient = account.kind is AccountKind.PATIENT
            answer = self._receipts.write_here(arrival, account, aside) if is_patient else None
            if answer is not None:
                to, intake = answer
                with contextlib.closing(intake):
                    now = arrival.received_at
                    futures.append(self._deliver_own(intake, to, "integration-receipt", now))
        return futures

    def _deliver_own(
        self,
        intake: Intake,
        to: AccountRow,
        source: str,
        now: datetime,
        due: AbsenceReply | None = None,
    ) -> Future[Outcome]:
        """A mail of the server's own, in a Unit of its reader's account."""
        parsed = parse_intake(intake)
        facts, notice = read_header_facts(parsed.headers), find_notice(parsed.root, intake.read)
        arrival = Arrival(intake, parsed.summary, facts, None, source, now, notice=notice)
        small = intake.small
        blob = seal_octets(small) if small is not None else shared_octets(intake.keep())
        prepared = self._prepare(arrival, to, blob, format_summary(parsed.summary), None)
        return self._store.writer.submit(self._unit(replace(prepared, due=due), arrival))

    def _prepare(
        self,
        arrival: Arrival,
        account: AccountRow,
        blob: SealedBlob,
        summary: bytes,
        found: PatientFile | SetAside | None,
    ) -> _Prepared:
        item = seal_for_away(account.account_id, account.mail_public, blob, summary)
        fingerprint = self._fingerprint(arrival, account)
        is_patient = account.kind is AccountKind.PATIENT
        now = arrival.received_at
        found = self._judge(account, found)
        case = None
        if isinstance(found, SetAside):
            case = seal_case(account, found, arrival.facts.message_id, now)
        flags = int(Flag.SET_ASIDE) if case else 0
        heard = self.awaited.hear(arrival, account.account_id)
        if not is_patient:
            return _Prepared(account, item, fingerprint, flags, case=case, heard=heard)
        who, claimed = sender_actor(arrival), claimed_name(arrival)
        words = readable(display_subject(arrival.facts.subject), 200)
        what = AuditObject(ObjectKind.MESSAGE, words, claimed)
        entries = [prepare_entry(account, AuditEvent(EventKind.DELIVERED, now, who, what))]
        documents: list[SealedDocument] = []
        if isinstance(found, PatientFile):
            sealer = DocumentSealer(self._store.blobs, account, now)
            documents = sealer.seal_documents(found.sent_by(who.handle))
            entries += filing_entries(account, found, (who, claimed), now)
        contact = notice = None
        if not is_unattended(arrival):
            contact = self._contact(arrival, account)
        if documents or not is_unattended(arrival):
            notice = self._notices.waiting_job(account, now, has_documents=bool(documents))
        receipt = None
        if found is not None:
            aside = found if isinstance(found, SetAside) else None
            receipt = self._receipts.prepare(arrival, account, aside)
        prepared = _Prepared(account, item, fingerprint, flags, documents, entries, contact, case, notice)
        return replace(prepared, heard=heard, receipt=receipt)

    def _judge(
        self, account: AccountRow, found: PatientFile | SetAside | None
    ) -> PatientFile | SetAside | None:
        """What this account makes of the message's archive."""
        is_patient = account.kind is AccountKind.PATIENT
        if is_patient and isinstance(found, PatientFile) and not self._is_of(account, found):
            return SetAside(SetAsideReason.PATIENT_NOT_RECIPIENT)
        return found

    def _is_of(self, account: AccountRow, file: PatientFile) -> bool:
        """Number and OID: a patient keyed by number alone would merge two identities."""
        with self._store.database.read() as connection:
            stored = self._store.accounts.find_identity(connection, account.account_id)
        return stored == self._directory.ins_mac(file.ins)

    def _contact(self, arrival: Arrival, account: AccountRow) -> SealedRecord | None:
        """What the patient's right to answer is made of, folded when they write (policy.conversation)."""
        facts = arrival.facts
        if not facts.authors:
            return None
        fields = {
            "message_id": facts.message_id,
            "sender": str(facts.authors[0]),
            "name": readable(facts.author_name, 100),
            "subject": facts.subject[:200],
            "end_mark": facts.mss.end_mark,
            "reply_to": None if facts.reply_to is None else str(facts.reply_to),
        }
        return seal_space_record(account, "contact", fields, arrival.received_at)

    def _fingerprint(self, arrival: Arrival, account: AccountRow) -> bytes:
        """R2: the same source, envelope sender, Message-ID and octets, for this account."""
        sender = None if arrival.sender is None else str(arrival.sender)
        octets = arrival.intake.digest
        mark = (account.account_id, arrival.source, sender, arrival.facts.message_id, octets)
        return self._store.macs.sign("fold-delivery", mark)

    def _unit(self, prepared: _Prepared, arrival: Arrival) -> Unit[Outcome]:
        store, account = self._store, prepared.account
        now = int(arrival.received_at.timestamp())
        blob = prepared.item.blob

        def run(connection: Connection) -> Outcome:
            if space_rows.has_delivery(connection, account.account_id, prepared.fingerprint):
                return Outcome.FOLDED
            if prepared.due is not None and not self._replies.claim_here(connection, prepared.due):
                return Outcome.FOLDED
            modseq = mailboxes.next_modseq(connection, account.account_id)
            inbox = mailboxes.load_by_role(connection, account.account_id, Role.INBOX)
            arrivals = Arrivals(1, 1, 0, 1, blob.padded_bytes)
            uid = mailboxes.place(connection, account.account_id, inbox.mailbox_id, modseq, arrivals)
            stamp = PlaceStamp(prepared.flags, modseq, now, now)
            new = prepared.item.place(store.macs, inbox.mailbox_id, uid, stamp)
            items.add_items(connection, [new])
            items.add_blob(connection, account.account_id, blob.row)
            space_rows.add_delivery(connection, account.account_id, prepared.fingerprint, now)
            for document in prepared.documents:
                items.add_blob(connection, account.account_id, document.blob)
                store.space.add_document(connection, account.account_id, document.row)
            if prepared.contact is not None:
                store.space.add_contact(connection, account.account_id, prepared.contact, modseq)
            if prepared.case is not None:
                store.space.add_set_aside(connection, account.account_id, prepared.case)
            if prepared.notice is not None and claim_waiting(store, connection, prepared.notice, now):
                store.jobs.add_jobs(connection, [prepared.notice.job])
            if prepared.receipt is not None:
                prepared.receipt.place(store, connection)
            if prepared.heard is not None:
                self.awaited.apply(connection, account.account_id, prepared.heard)
            add_entries(connection, store.macs, prepared.entries)
            if prepared.reply is not None:
                self._replies.add_reply(connection, prepared.reply)
            return Outcome.PLACED

        return Unit(account.account_id, run)


def _answerable(arrival: Arrival) -> Answerable:
    intake, summary = arrival.intake, arrival.summary
    return Answerable(
        lambda: intake.read(0, summary.header_bytes),
        summary,
        arrival.sender,
        arrival.received_at,
        arrival.facts.is_automatic,
        arrival.is_told,
    )


def is_unattended(arrival: Arrival) -> bool:
    """Nobody typed it, or nobody takes an answer to it: it opens no conversation and is no news (RFC 3834 §2)."""
    return arrival.sender is None or arrival.facts.is_automatic


def sender_actor(arrival: Arrival) -> Actor:
    """Who wrote, as verified: the address, whose domain is listed for the peer that handed the message in."""
    authors = arrival.facts.authors
    handle = readable(str(authors[0]) if authors else str(arrival.sender or ""), 400)
    if not handle:
        return SERVER
    return Actor(ActorKind.PROFESSIONAL, handle, handle)


def claimed_name(arrival: Arrival) -> tuple[tuple[ParameterName, str], ...]:
    """The name that the sender gives itself, which nobody checked."""
    name = readable(arrival.facts.author_name, 100)
    return ((ParameterName.AUTHOR, name),) if name else ()
