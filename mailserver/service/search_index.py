"""The sealed index of texts: what SEARCH TEXT reads in the place of ten thousand messages (security.md K16).

A segment is sealed under the mail key for its account, mailbox, id and range of UIDs. It is a copy, never the truth: what
no segment covers, or what does not open, is searched in the messages themselves. Reading one is reading bodies and needs
the same MailPermit (L1).
"""

import logging
from collections.abc import Sequence
from concurrent.futures import Future

from mailserver.crypto.blob import padme
from mailserver.crypto.ctx import ctx
from mailserver.crypto.secret import random_id
from mailserver.model.errors import Corrupt, Malformed
from mailserver.model.ids import AccountId, MailboxId, SegmentId
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import MailPermit
from mailserver.service.text_segment import (
    TextEntry,
    TextSegment,
    format_segment,
    pack_entries,
    parse_segment,
)
from mailserver.store import segment_rows
from mailserver.store.database import Connection
from mailserver.store.segment_rows import SegmentRow, SegmentSpan
from mailserver.store.store import Store
from mailserver.store.writer import Unit

LEAST_BYTES = 4096
"""Shorter segments are padded to this, longer ones as messages are (K12)."""

logger = logging.getLogger("pli.index")


class SearchIndex:
    def __init__(self, store: Store) -> None:
        self._store = store

    def list_spans(self, account: OpenAccount, mailbox_id: MailboxId) -> list[SegmentSpan]:
        """Which UIDs of a mailbox are covered, by UID."""
        with self._store.database.read() as connection:
            return segment_rows.list_spans(connection, (account.account_id, mailbox_id))

    def open_segments(
        self, account: OpenAccount, mailbox_id: MailboxId, spans: Sequence[SegmentSpan], permit: MailPermit
    ) -> list[TextSegment]:
        """These segments, by UID; one that left or that does not open is passed over, and the operator is told.

        Raises Denied without a permit for every message of this account. The caller bounds what they hold together.
        """
        permit.demand_all(account.account_id)
        place = (account.account_id, mailbox_id)
        with self._store.database.read() as connection:
            first_uids = [span.first_uid for span in spans]
            rows = segment_rows.list_segments(connection, place, first_uids)
        opened = []
        for row in rows:
            try:
                opened.append(_open(account, mailbox_id, row))
            except Corrupt as error:
                ids = {"account": account.account_id.hex(), "segment": row.span.segment_id.hex()}
                logger.error("a text segment does not open", extra={"code": error.code, **ids})  # noqa: TRY400 # no trace of use
        return opened

    def keep(self, account: OpenAccount, mailbox_id: MailboxId, entries: Sequence[TextEntry]) -> Future[None]:
        """Seal and store texts in the place of the segments that they meet. Done with its commit.

        A segment with a message that left meanwhile is not stored.
        """
        place = (account.account_id, mailbox_id)
        by_uid = {entry.uid: entry for entry in entries}
        sealed = [
            (_seal(account, mailbox_id, part), [entry.uid for entry in part])
            for part in pack_entries(by_uid[uid] for uid in sorted(by_uid))
        ]

        def run(connection: Connection) -> None:
            for row, uids in sealed:
                segment_rows.put_segment(connection, place, row, uids)

        return self._store.writer.submit(Unit(account.account_id, run))


def _seal(account: OpenAccount, mailbox_id: MailboxId, entries: Sequence[TextEntry]) -> SegmentRow:
    first, last, segment_id = entries[0].uid, entries[-1].uid, SegmentId(random_id())
    plain = format_segment(entries)
    padded = plain.ljust(padme(max(len(plain), LEAST_BYTES)), b"\0")
    context = _context(account.account_id, mailbox_id, segment_id, (first, last))
    octets = account.mail_keys().wrap_record(padded, context)
    return SegmentRow(SegmentSpan(first, last, segment_id, len(octets)), octets)


def _open(account: OpenAccount, mailbox_id: MailboxId, row: SegmentRow) -> TextSegment:
    span = row.span
    context = _context(account.account_id, mailbox_id, span.segment_id, (span.first_uid, span.last_uid))
    try:
        return parse_segment(account.mail_keys().unwrap_record(row.octets, context))
    except Malformed as error:
        raise Corrupt(error.code) from None


def _context(
    account_id: AccountId, mailbox_id: MailboxId, segment_id: SegmentId, uids: tuple[int, int]
) -> bytes:
    return ctx("text-segment", account_id, mailbox_id, segment_id, *uids)
