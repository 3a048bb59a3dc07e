"""Automatic replies of absent people (RFC 3834): one for each correspondent and absence, however often they write.

The reply is written in the Unit that delivers what it answers (R2): with a queue job when the correspondent is at
another operator. One who is here gets it in a Unit of their own account, which keeps a mark of its own, so that a
retry after a crash sends what is still due and nothing twice. A delivery never waits for, or fails by, a reply.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mailserver.audit.events import (
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    ParameterName,
    readable,
)
from mailserver.crypto.secret import random_id
from mailserver.documents.mss_headers import compute_mss_headers
from mailserver.mime.answer_marks import is_bulk, list_named
from mailserver.mime.composer import Letter, Person, format_mail, reply_headers
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.summary import HeaderSummary
from mailserver.model.account import AccountKind, AccountState
from mailserver.model.address import Address
from mailserver.model.errors import PliError
from mailserver.model.patient import is_patient_local
from mailserver.policy.absence_rules import ReplyFacts, ReplyReason, decide_reply
from mailserver.policy.absence_wording import SUBJECT, format_reply_text
from mailserver.service.absences import Absences, KnownAbsence
from mailserver.service.access_log import PreparedEntry, add_entries, prepare_entry
from mailserver.service.administrator import SERVER
from mailserver.service.directory import Directory
from mailserver.service.outbound import Outbound, RelayOrder
from mailserver.service.sealing import SealedBlob, seal_octets
from mailserver.service.sender_label import format_label
from mailserver.store import items
from mailserver.store.absence_rows import ReplyMark, claim_reply, has_reply
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.store import Store

MOST_A_DAY = 100
"""Replies that one account sends, or gets here, in a day: whatever marks may fail to stop ends there."""
logger = logging.getLogger("pli.absence")


@dataclass(frozen=True, slots=True)
class Answerable:
    """What is known of a delivered message. ``head`` reads its header block; ``sender`` is its return path."""

    head: Callable[[], bytes]
    summary: HeaderSummary
    sender: Address | None
    received_at: datetime
    is_automatic: bool
    is_told: bool


@dataclass(frozen=True, slots=True)
class AbsenceReply:
    """A reply that is due. ``here``: the correspondent's account, None at another operator; ``octets`` is the mail."""

    account: AccountRow
    here: AccountRow | None
    octets: bytes
    mark: ReplyMark
    entry: PreparedEntry
    job: JobRow | None = None
    blob: SealedBlob | None = None

    def __repr__(self) -> str:
        return "AbsenceReply(…)"


class AbsenceReplies:
    """``product_reference`` is what mail composed here says of its maker (X-MSS-NIL)."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        absences: Absences,
        outbound: Outbound,
        product_reference: str,
    ) -> None:
        self._store = store
        self._directory = directory
        self._outbound = outbound
        self._product_reference = product_reference
        self.absences = absences

    def find_reply(self, account: AccountRow, message: Answerable) -> AbsenceReply | None:
        """The reply that this delivery brings about, or None. What prevents it is logged by its code."""
        known = self.absences.find_current(account.account_id, message.received_at)
        if known is None:
            return None
        try:
            return self._find_due(account, known, message)
        except PliError as error:
            logger.warning("an automatic reply was not written", extra={"code": error.code})
            return None

    def _find_due(self, account: AccountRow, known: KnownAbsence, message: Answerable) -> AbsenceReply | None:
        head = HeaderBlock(message.head())
        with self._store.database.read() as connection:
            addresses = self._directory.list_addresses(connection, account.account_id)
        facts = ReplyFacts(
            known.absence,
            addresses,
            message.sender,
            list_named(head),
            message.is_automatic,
            is_bulk(head),
            message.is_told,
        )
        reason = decide_reply(facts, message.received_at)
        to, sender = message.sender, facts.addressed
        if reason is not ReplyReason.DUE or to is None or sender is None:
            return None
        with self._store.database.read() as connection:
            here = (
                self._directory.find_account(connection, to) if self._directory.is_ours(to.domain) else None
            )
            if self._directory.is_ours(to.domain) and (here is None or here.state is not AccountState.ACTIVE):
                return None
            mark = self._mark(account, known, to if here is None else here, message.received_at)
            holder = account if here is None else here
            if has_reply(connection, holder.account_id, mark.mark):
                return None
        return self._reply(account, (sender, to), here, mark, (known, message))

    def _mark(
        self, account: AccountRow, known: KnownAbsence, to: Address | AccountRow, now: datetime
    ) -> ReplyMark:
        """One correspondent of one absence: here an account, whichever of its addresses wrote; elsewhere an address."""
        whom = to.key if isinstance(to, Address) else to.account_id
        mark = self._store.macs.sign("absence-reply", (account.account_id, known.absence_id, whom))
        return ReplyMark(mark, int(now.timestamp()), int(known.absence.ends_at.timestamp()))

    def _reply(
        self,
        account: AccountRow,
        people: tuple[Address, Address],
        here: AccountRow | None,
        mark: ReplyMark,
        why: tuple[KnownAbsence, Answerable],
    ) -> AbsenceReply:
        sender, to = people
        known, message = why
        now, nonce = message.received_at, random_id().hex()
        is_patient = is_patient_local(to.local) if here is None else here.kind is AccountKind.PATIENT
        profile, headers = self._directory.open_profile(account), reply_headers(message.summary)
        mss = compute_mss_headers(None, self._product_reference, ends_exchange=is_patient)
        letter = Letter(
            Person(sender, format_label(account.kind, profile)),
            (Person(to),),
            SUBJECT,
            format_reply_text(profile.name or str(sender), known.absence, is_for_patient=is_patient),
            now,
            f"<away.{nonce}@{sender.domain.name}>",
            in_reply_to=headers.in_reply_to,
            references=headers.references,
            fields=(("Auto-Submitted", "auto-replied"), *mss.fields()),  # RFC 3834 §3.1.7
        )
        octets = format_mail(letter, nonce)
        words = AuditObject(
            ObjectKind.MESSAGE,
            readable(SUBJECT, 200),
            ((ParameterName.RECIPIENT, readable(str(to), 400)),),
        )
        entry = prepare_entry(account, AuditEvent(EventKind.SENT, now, SERVER, words))
        if here is not None:
            return AbsenceReply(account, here, octets, mark, entry)
        blob = seal_octets(octets)
        # RFC 3834 §3.3: to the return path, and from nobody, so that nothing ever answers it
        order = RelayOrder(None, to, blob.data_key, len(octets), 0, letter.message_id)
        job = self._outbound.relay_job(account.account_id, order, blob.row.blob_id, now)
        return AbsenceReply(account, None, octets, mark, entry, job, blob)

    def add_reply(self, connection: Connection, reply: AbsenceReply) -> None:
        """In the Unit of the absent account that delivers what is answered."""
        account_id = reply.account.account_id
        if not claim_reply(connection, account_id, reply.mark, most_a_day=MOST_A_DAY):
            return
        if reply.job is not None and reply.blob is not None:
            items.add_blob(connection, account_id, reply.blob.row)
            self._store.jobs.add_jobs(connection, [reply.job])
        add_entries(connection, self._store.macs, [reply.entry])

    def claim_here(self, connection: Connection, reply: AbsenceReply) -> bool:
        """In the Unit of a correspondent's account here: whether the reply is still due."""
        here = reply.here or reply.account
        return claim_reply(connection, here.account_id, reply.mark, most_a_day=MOST_A_DAY)
