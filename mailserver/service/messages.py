"""Messages of an open account: what IMAP and the web read, place and change.

The first sight of a message that arrived while its owner was away adopts it: it is resealed under the mail key.
A body is read only with a MailPermit, which exists once the reading is in the access log (L1, L4).
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailserver.crypto.blob import Decryptor
from mailserver.crypto.ctx import ctx
from mailserver.mime.summary_wire import SummaryView
from mailserver.model.errors import Corrupt, Denied, Malformed, Unavailable
from mailserver.model.ids import AccountId, BlobId, MailboxId
from mailserver.model.mailbox_columns import MailboxColumns
from mailserver.model.rights import Right, flag_mask
from mailserver.service.box_log import BoxLog
from mailserver.service.column_cache import ColumnCache
from mailserver.service.crossings import Crossings
from mailserver.service.expunging import Expunging
from mailserver.service.intake import Intake
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import MailPermit
from mailserver.service.message_reader import MessageReader
from mailserver.service.placing import Leaving, NewMessage, Placed, place_messages
from mailserver.service.quotas import DEFAULT_QUOTA, Amount, Quotas
from mailserver.service.scanning import Scan
from mailserver.service.sealing import (
    Place,
    open_away_summary,
    seal_octets,
    shared_octets,
)
from mailserver.service.transfers import (
    KeywordBits,
    Opened,
    Transfer,
    Transfers,
)
from mailserver.store import changes, item_changes, item_columns, items, mailboxes
from mailserver.store.database import Connection
from mailserver.store.item_changes import FlagChange, Marked
from mailserver.store.item_columns import ItemStamp
from mailserver.store.items import BlobRow, ItemRow, UidRange
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.store import Store
from mailserver.store.summary_rows import list_summary_rows
from mailserver.store.writer import Unit

__all__ = [
    "PAGE_ITEMS",
    "Changes",
    "MessageReader",
    "Messages",
    "OpenedItem",
    "Placed",
    "Selected",
]
PAGE_ITEMS = 500
"""Items of one page: about 1 MiB of seals."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A mailbox at one moment: its row and what is clear of every item."""

    row: MailboxRow
    columns: MailboxColumns

    @property
    def rows(self) -> list[tuple[int, int, int]]:
        """(uid, flags, modseq) of every item."""
        return self.columns.rows()


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened after a mod-sequence."""

    changed: list[tuple[int, int, int]]
    vanished: list[int]
    row: MailboxRow


@dataclass(frozen=True, slots=True)
class OpenedItem:
    """An item whose summary is open. ``summary`` is the format of ``mailserver.mime.summary``."""

    row: ItemRow
    here: tuple[AccountId, MailboxId]
    summary: bytes
    blob: BlobRow | None = None
    """Its sealed octets, when they were asked for with the page."""

    def view(self) -> SummaryView:
        """What can be had of its summary cheaply. Raises Corrupt when it is none that this release can read."""
        try:
            return SummaryView(self.summary)
        except Malformed:
            raise Corrupt("summary") from None

    @property
    def place(self) -> Place:
        return Place(*self.here, self.row.uid, self.row.item_id)


class Messages:
    """``quota``: what one account may keep; see ``quotas``."""

    def __init__(self, store: Store, quota: Amount = DEFAULT_QUOTA) -> None:
        self._store = store
        self.quotas = Quotas(store, quota)
        self._columns = ColumnCache()
        self._log = BoxLog(store.macs)
        self._transfers = Transfers(store, self._open_parts, self._log, self.quotas)
        self._expunging = Expunging(store, self._open_parts, self._log)
        self._crossings = Crossings(store, self._open_parts, self._log, self.quotas)

    def select(
        self,
        account: OpenAccount,
        mailbox_id: MailboxId,
        *,
        claims_recent: bool,
        known: MailboxRow | None = None,
    ) -> Selected:
        """Counters and flags of a mailbox. ``claims_recent``: SELECT, not EXAMINE. ``known``: its row, read just now,
        which is enough while the columns of that moment are held. Raises Denied, NotFound.
        """
        account.demand(mailbox_id, Right.READ)
        row, columns = known, None if known is None else self._columns.find(known)
        if row is None or columns is None:
            with self._store.database.read() as connection:
                row = mailboxes.load_mailbox(connection, account.account_id, mailbox_id)
                columns = self._columns.load(connection, row)
        if claims_recent and row.first_recent_uid != row.uidnext:

            def run(connection: Connection) -> None:
                mailboxes.claim_recent(connection, account.account_id, mailbox_id)

            with contextlib.suppress(Unavailable):  # a full disk must not keep anybody from reading
                self._store.writer.commit(Unit(account.account_id, run))
        return Selected(row, columns)

    def count_recent(self, account: OpenAccount, row: MailboxRow) -> int:
        """How many messages no session was told of as recent (RFC 3501 §2.3.2)."""
        if row.first_recent_uid == row.uidnext:
            return 0
        with self._store.database.read() as connection:
            ranges = [(row.first_recent_uid, row.uidnext)]
            return len(items.list_flags_within(connection, account.account_id, row.mailbox_id, ranges))

    def sum_padded(
        self, account: OpenAccount, mailbox_id: MailboxId, ranges: Sequence[UidRange], only: int = 0
    ) -> int:
        """What these messages count for in the quota; of those that have all flags of ``only``."""
        with self._store.database.read() as connection:
            return items.sum_padded(connection, (account.account_id, mailbox_id), ranges, only)

    def changes(self, account: OpenAccount, mailbox_id: MailboxId, since_modseq: int) -> Changes | None:
        """News of a mailbox; None when nothing moved. Raises NotFound when it was deleted, Denied."""
        account.demand(mailbox_id, Right.READ)
        with self._store.database.read() as connection:
            row = mailboxes.load_mailbox(connection, account.account_id, mailbox_id)
            if row.highestmodseq <= since_modseq:
                return None
            changed, vanished = changes.list_changes(connection, account.account_id, mailbox_id, since_modseq)
        return Changes(changed, vanished, row)

    def vanished_since(self, account: OpenAccount, mailbox_id: MailboxId, since_modseq: int) -> list[int]:
        """The UIDs that left a mailbox after a mod-sequence, ascending. Raises Denied."""
        account.demand(mailbox_id, Right.READ)
        with self._store.database.read() as connection:
            return changes.list_vanished(connection, account.account_id, mailbox_id, since_modseq)

    def list_stamps(
        self, account: OpenAccount, mailbox_id: MailboxId, ranges: Sequence[UidRange]
    ) -> list[ItemStamp]:
        """Dates and ids of items, by UID; no seal is touched. Raises Denied."""
        account.demand(mailbox_id, Right.READ)
        with self._store.database.read() as connection:
            return item_columns.list_stamps(connection, account.account_id, mailbox_id, ranges)

    def page(
        self, account: OpenAccount, mailbox_id: MailboxId, ranges: Sequence[UidRange]
    ) -> list[OpenedItem]:
        """Items with open summaries, by UID; those not yet adopted are adopted on the way."""
        with self._store.database.read() as connection:
            rows = items.list_items(connection, account.account_id, mailbox_id, ranges)
        return self._open_page(account, mailbox_id, [(row, None) for row in rows])

    def scan(self, account: OpenAccount, mailbox_id: MailboxId, uids: Sequence[int]) -> Scan:
        """As ``page``, for a look at many messages; ``uids`` ascend."""
        account.demand(mailbox_id, Right.READ)
        with self._store.database.read() as connection:
            rows = list_summary_rows(connection, account.account_id, mailbox_id, uids)

        def open_away(ranges: Sequence[UidRange]) -> list[tuple[int, bytes]]:
            return [(item.row.uid, item.summary) for item in self.page(account, mailbox_id, ranges)]

        return Scan(rows, account.mail_keys().summary_opener(account.account_id, mailbox_id), open_away)

    def page_with_octets(
        self, account: OpenAccount, mailbox_id: MailboxId, uids: Sequence[int]
    ) -> list[OpenedItem]:
        """As ``page``, with the sealed octets of small messages; a ``reader`` then asks the store no more."""
        with self._store.database.read() as connection:
            rows = items.list_items_with_blobs(connection, account.account_id, mailbox_id, uids)
        return self._open_page(account, mailbox_id, rows)

    def _open_page(
        self, account: OpenAccount, mailbox_id: MailboxId, rows: Sequence[tuple[ItemRow, BlobRow | None]]
    ) -> list[OpenedItem]:
        account.demand(mailbox_id, Right.READ)
        here = (account.account_id, mailbox_id)
        keys, macs = account.mail_keys(), self._store.macs
        open_adopted = keys.summary_opener(*here)
        opened, resealed = [], []
        for row, blob in rows:
            if row.is_adopted:
                opened.append(OpenedItem(row, here, open_adopted(row), blob))
                continue
            place = Place(*here, row.uid, row.item_id)
            data_key = keys.open_key(macs, place, row)
            summary = open_away_summary(place, row, data_key)
            opened.append(OpenedItem(row, here, summary, blob))
            resealed.append(keys.reseal(place, data_key, summary))
        if resealed:

            def run(connection: Connection) -> None:
                items.mark_adopted(connection, account.account_id, mailbox_id, resealed)

            self._store.writer.submit(Unit(account.account_id, run))
        return opened

    def reader(
        self, account: OpenAccount, item: OpenedItem, size_bytes: int, permit: MailPermit
    ) -> MessageReader:
        """The octets of one message. Raises Denied without a permit for this account, Corrupt when altered.

        In a shared box a permit names the messages whose reading is in the log; of others the header alone is
        given, which a listing tells anyway.
        """
        permit.demand(account.account_id)
        readable_bytes = size_bytes if permit.covers(item.row.item_id) else item.view().header_bytes
        data_key = account.mail_keys().open_key(self._store.macs, item.place, item.row)
        blob = item.blob or self._load_blob(account.account_id, item.row.blob_id)
        octets = blob.octets
        read_at = self._store.blobs.reader(blob.blob_id) if octets is None else lambda lo, hi: octets[lo:hi]
        return MessageReader(
            Decryptor(data_key, ctx("blob", blob.blob_id), read_at, blob.stored_bytes),
            size_bytes,
            readable_bytes,
        )

    def _load_blob(self, account_id: AccountId, blob_id: BlobId) -> BlobRow:
        with self._store.database.read() as connection:
            blob = items.find_blob(connection, account_id, blob_id)
        if blob is None:
            raise Corrupt("blob-missing")
        return blob

    def append(
        self,
        account: OpenAccount,
        mailbox_id: MailboxId,
        intake: Intake,
        summary: bytes,
        stamp: tuple[int, int, int],
    ) -> Placed:
        """APPEND of a finished intake. ``stamp`` = (flags, received_at, now). Raises NotFound("mailbox")."""
        small = intake.small
        blob = seal_octets(small) if small is not None else shared_octets(intake.keep())
        flags, received_at, now = stamp
        return self.place(account, mailbox_id, [NewMessage(blob, summary, flags, received_at)], now)

    def place(
        self,
        account: OpenAccount,
        mailbox_id: MailboxId,
        new: Sequence[NewMessage],
        now: int,
        leaving: Leaving | None = None,
    ) -> Placed:
        """Messages into a mailbox, all or none; ``leaving`` gives way to them. See ``placing``. Raises Denied."""
        account.demand(mailbox_id, Right.INSERT)
        settable = flag_mask(account.rights_in(mailbox_id))  # other flags are left out (RFC 4314 §4)
        new = [replace(each, flags=each.flags & settable) for each in new]
        if leaving is not None:
            account.demand(leaving.mailbox_id, Right.DELETE_MESSAGES)
            add = self._expunging.prepare(account, leaving.mailbox_id, [leaving.uid])
            leaving = replace(leaving, add_entries=add)
        return place_messages(self._store, account, mailbox_id, new, now, leaving)

    def mark_flags(
        self,
        account: OpenAccount,
        mailbox_id: MailboxId,
        ranges: Sequence[UidRange],
        change: tuple[FlagChange, int],
        *,
        unchanged_since: int | None = None,
    ) -> Marked:
        """STORE; with ``unchanged_since``, only to messages no newer (RFC 7162 §3.1.3).

        Flags beyond the user's rights stay as they are; Denied("right") when no other was named (RFC 4314 §4).
        """
        account.demand(mailbox_id, Right.READ)
        settable = flag_mask(account.rights_in(mailbox_id))
        mode, named = change
        bits = named & settable
        if (named and not bits) or not settable:
            raise Denied("right")
        allowed = (mode, bits, 0 if account.member is None else ~settable)

        def run(connection: Connection) -> Marked:
            modseq = mailboxes.next_modseq(connection, account.account_id)
            place = (account.account_id, mailbox_id)
            return item_changes.mark_flags(
                connection, place, ranges, allowed, modseq, unchanged_since=unchanged_since
            )

        return self._store.writer.commit(Unit(account.account_id, run))

    def expunge(
        self, account: OpenAccount, mailbox_id: MailboxId, ranges: Sequence[UidRange]
    ) -> tuple[list[int], int]:
        """Remove items for good; the UIDs that left and the mod-sequence. The wraps are gone with the commit."""
        return self._expunging.run(account, mailbox_id, ranges)

    def expunge_deleted(
        self,
        account: OpenAccount,
        mailbox_id: MailboxId,
        known: tuple[Sequence[int], int],
        within: Sequence[UidRange] | None = None,
    ) -> None:
        r"""EXPUNGE: what is \Deleted at the moment of its commit leaves, and nothing else (``expunging``).

        ``known`` = (UIDs that were \Deleted, at this mod-sequence). ``within``: sorted ranges of UID EXPUNGE (RFC 4315 §2.1).
        """
        self._expunging.run_deleted(account, mailbox_id, known, within)

    def copy(
        self,
        account: OpenAccount,
        mailbox_ids: tuple[MailboxId, MailboxId],
        ranges: Sequence[UidRange],
        now: int,
        *,
        keyword_bits: KeywordBits | None = None,
    ) -> tuple[int, list[tuple[int, int]]]:
        """COPY from a mailbox to another: (target's UIDVALIDITY, [(source uid, new uid)]). All or nothing, in
        several Units (``transfers``).

        ``keyword_bits``: which own keywords the target has under which bits; None when they are the same.
        Raises NotFound("mailbox"), OverLimit("quota").
        """
        transfer = self._judged(account, account, Transfer(*mailbox_ids, now, keyword_bits, is_move=False))
        return self._transfers.run(account, transfer, ranges)

    def move(
        self,
        account: OpenAccount,
        mailbox_ids: tuple[MailboxId, MailboxId],
        ranges: Sequence[UidRange],
        now: int,
        *,
        keyword_bits: KeywordBits | None = None,
    ) -> tuple[int, list[tuple[int, int]]]:
        """MOVE (RFC 6851): as ``copy``, each source item gone in the transaction that placed it; no quota."""
        transfer = self._judged(account, account, Transfer(*mailbox_ids, now, keyword_bits, is_move=True))
        return self._transfers.run(account, transfer, ranges)

    def carry(
        self, source: OpenAccount, target: OpenAccount, transfer: Transfer, ranges: Sequence[UidRange]
    ) -> tuple[int, list[tuple[int, int]]]:
        """COPY or MOVE from one account to another (``crossings``). Raises as ``copy``, and Denied("right")."""
        return self._crossings.run(source, target, self._judged(source, target, transfer), ranges)

    @staticmethod
    def _judged(source: OpenAccount, target: OpenAccount, transfer: Transfer) -> Transfer:
        """The rights of both ends (RFC 4314 §4; RFC 6851 §4.3 for MOVE), and the flags that may be set there."""
        source.demand(transfer.source, Right.READ)
        if transfer.is_move:
            source.demand(transfer.source, Right.DELETE_MESSAGES, Right.EXPUNGE)
        target.demand(transfer.target, Right.INSERT)
        return replace(transfer, settable=flag_mask(target.rights_in(transfer.target)))

    def _open_parts(
        self, account: OpenAccount, mailbox_id: MailboxId, ranges: Sequence[UidRange]
    ) -> list[Opened]:
        keys, macs = account.mail_keys(), self._store.macs
        return [
            Opened(item.row, keys.open_key(macs, item.place, item.row), item.summary)
            for item in self.page(account, mailbox_id, ranges)
        ]
