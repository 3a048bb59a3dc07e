"""What a member does in a shared box, in the box's own log under the member's name (K11, L1).

Entries are sealed outside the writer and added in the transaction of the act. The holder of an account leaves none
here: of one's own mailbox the log tells the readings alone (``mail_permit``).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from mailserver.audit.events import (
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    ParameterName,
    readable,
)
from mailserver.crypto.custodian import utc_now
from mailserver.documents.subject import display_subject
from mailserver.mime.summary_wire import parse_summary
from mailserver.model.errors import Malformed
from mailserver.service.access_log import PreparedEntry, add_entries, prepare_entry
from mailserver.service.keys import OpenAccount
from mailserver.store.database import Connection
from mailserver.store.row_macs import RowMacs

WORDS_CHARACTERS = 200

AddEntries = Callable[[Connection, Sequence[int]], None]
"""Runs in the Unit of an act, with the UIDs that it really touched."""


def describe_message(summary: bytes | None) -> AuditObject:
    """A message as the log names it: its subject, and who wrote it. None for one that cannot be opened."""
    if summary is None:
        return AuditObject(ObjectKind.MESSAGE)
    try:
        parsed = parse_summary(summary)
    except Malformed:
        return AuditObject(ObjectKind.MESSAGE)
    words = readable(display_subject(parsed.subject), WORDS_CHARACTERS)
    author = readable(parsed.senders[0].address, WORDS_CHARACTERS) if parsed.senders else ""
    return AuditObject(ObjectKind.MESSAGE, words, ((ParameterName.AUTHOR, author),) if author else ())


def describe_mailbox(name: str) -> AuditObject:
    return AuditObject(ObjectKind.MAILBOX, readable(name, WORDS_CHARACTERS))


class BoxLog:
    """``clock`` says when: acts have no time of their own."""

    def __init__(self, macs: RowMacs, clock: Callable[[], datetime] = utc_now) -> None:
        self._macs = macs
        self._clock = clock

    def prepare(
        self, account: OpenAccount, kind: EventKind, objects: Iterable[AuditObject]
    ) -> list[PreparedEntry]:
        """One entry per object (about 0.2 ms each); none for the holder of the account."""
        member, now = account.member, self._clock()
        if member is None:
            return []
        return [
            prepare_entry(account.account, AuditEvent(kind, now, member.who, what, member.origin))
            for what in objects
        ]

    def prepare_by_uid(
        self, account: OpenAccount, kind: EventKind, summaries: Mapping[int, bytes | None]
    ) -> AddEntries:
        """For an act that decides in its Unit which of these messages it touches: one entry for each it did."""
        uids = list(summaries)
        entries = self.prepare(account, kind, (describe_message(summaries[uid]) for uid in uids))
        by_uid = dict(zip(uids, entries, strict=True)) if entries else {}

        def add(connection: Connection, touched: Sequence[int]) -> None:
            if by_uid:
                add_entries(connection, self._macs, [by_uid[uid] for uid in touched])

        return add
