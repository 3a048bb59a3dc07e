"""COPY and MOVE: any number of messages in Units of at most ``UNIT_ITEMS``, so that nobody else's mail waits long.

Messages are opened and sealed outside the writer, for the UIDs that the target will give; only when another writer
took those UIDs first are they sealed again inside the Unit. One transfer's Unit waits at a time in a process.

COPY is all or nothing (RFC 9051 §6.4.7): when a Unit fails, what the earlier ones placed is expunged again, so that
the target holds what it held (UIDNEXT and mod-sequence only grow); another session may have seen it meanwhile, and
a crash leaves it, with no tagged answer. MOVE goes message by message (RFC 6851 §3.3): each is in exactly one place
at any time, what moved before a failure stays moved, and a damaged one stays where it is (S12).
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailserver.audit.events import EventKind
from mailserver.crypto.secret import Secret, random_id
from mailserver.model.account import KEYWORD_SHIFT, Flag
from mailserver.model.errors import Corrupt, Unavailable
from mailserver.model.ids import AccountId, BlobId, ItemId, MailboxId
from mailserver.service.box_log import AddEntries, BoxLog
from mailserver.service.keys import OpenAccount
from mailserver.service.quotas import Amount, Quotas
from mailserver.service.sealing import Place, PlaceStamp, SealedBlob
from mailserver.store import item_changes, items, mailboxes
from mailserver.store.database import Connection
from mailserver.store.items import BlobRow, ItemRow, NewItem, UidRange, uid_ranges
from mailserver.store.mailboxes import Arrivals
from mailserver.store.store import Store
from mailserver.store.writer import Unit

UNIT_ITEMS = 500
"""Items of one Unit: the writer is held for some tens of milliseconds."""
COMMAND_ITEMS = 20_000
"""Messages that one IMAP COPY or MOVE may name; more is NO [LIMIT]."""

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)
KeywordBits = Sequence[tuple[int, int]]
"""(bit in the source mailbox, bit in the target mailbox) of each own keyword that both know."""
Pairs = list[tuple[int, int]]
"""(source UID, new UID)."""

logger = logging.getLogger("pli.transfers")


@dataclass(frozen=True, slots=True)
class Transfer:
    """One COPY or MOVE."""

    source: MailboxId
    target: MailboxId
    now: int
    keyword_bits: KeywordBits | None
    is_move: bool
    settable: int = (1 << 63) - 1
    """Flag bits that may be set in the target; others are left out, and nothing fails (RFC 4314 §4)."""

    def flags_there(self, flags: int) -> int:
        """Flags in the target's bits: own keywords have bits of their mailbox."""
        if self.keyword_bits is None:
            return flags & self.settable
        moved = flags & ((1 << KEYWORD_SHIFT) - 1)
        for here, there in self.keyword_bits:
            if flags & here:
                moved |= there
        return moved & self.settable


@dataclass(frozen=True, slots=True)
class Opened:
    """A message on its way: its row and what the new seal is made of."""

    row: ItemRow
    data_key: Secret
    summary: bytes


OpenParts = Callable[[OpenAccount, MailboxId, Sequence[UidRange]], list[Opened]]


class Transfers:
    """``open_parts`` opens one page of a mailbox."""

    def __init__(self, store: Store, open_parts: OpenParts, log: BoxLog, quotas: Quotas) -> None:
        self._store = store
        self._open_parts = open_parts
        self._log = log
        self._quotas = quotas
        self._turn = threading.Lock()

    def run(
        self, account: OpenAccount, transfer: Transfer, ranges: Sequence[UidRange]
    ) -> tuple[int, list[tuple[int, int]]]:
        """(target's UIDVALIDITY, [(source UID, new UID)]). What arrives meanwhile is not in it; what leaves is
        passed over. Raises NotFound("mailbox"), OverLimit("quota"), Corrupt when a message is damaged: a COPY then
        placed nothing, a MOVE has moved all others.
        """
        with self._store.database.read() as connection:
            row = mailboxes.load_mailbox(connection, account.account_id, transfer.target)
            here = (account.account_id, transfer.source)
            uids = [uid for uid, _flags in items.list_flags_within(connection, *here, ranges)]
            padded = 0 if transfer.is_move else items.sum_padded(connection, here, ranges)
        if not transfer.is_move:
            self._quotas.demand_room(account.account_id, Amount(len(uids), padded))
        pairs: Pairs = []
        damage: Corrupt | None = None
        try:
            for start in range(0, len(uids), UNIT_ITEMS):
                opened, found = self._open(account, transfer, uids[start : start + UNIT_ITEMS])
                pairs += self._run_part(account, transfer, opened)
                damage = damage or found
        except BaseException:
            if not transfer.is_move:
                place = (account.account_id, transfer.target)
                undo_copies(self._store, place, [new for _old, new in pairs])
            raise
        if damage is not None:
            raise damage
        return row.uidvalidity, pairs

    def _open(
        self, account: OpenAccount, transfer: Transfer, uids: Sequence[int]
    ) -> tuple[list[Opened], Corrupt | None]:
        """One part; of a MOVE without its damaged messages, and what is wrong with one of them."""
        try:
            return self._open_parts(account, transfer.source, uid_ranges(uids)), None
        except Corrupt as error:
            if not transfer.is_move:
                raise
            damage = error
        opened: list[Opened] = []
        for uid in uids:
            with contextlib.suppress(Corrupt):
                opened += self._open_parts(account, transfer.source, [(uid, uid)])
        return opened, damage

    def _run_part(self, account: OpenAccount, transfer: Transfer, opened: Sequence[Opened]) -> Pairs:
        ranges = uid_ranges([each.row.uid for each in opened])
        with self._store.database.read() as connection:
            first = mailboxes.load_mailbox(connection, account.account_id, transfer.target).uidnext
        sealed = _seal(account, transfer, opened, first)
        summaries = {each.row.uid: each.summary for each in opened} if transfer.is_move else {}
        add_moves = self._log.prepare_by_uid(account, EventKind.FILED, summaries)

        def run(connection: Connection) -> Pairs:
            here, there = (account.account_id, transfer.source), (account.account_id, transfer.target)
            modseq = mailboxes.next_modseq(connection, account.account_id)
            flags = dict(items.list_flags_within(connection, *here, ranges))
            present = [each for each in opened if each.row.uid in flags]
            if not present:
                return []
            marks = [transfer.flags_there(flags[each.row.uid]) for each in present]
            padded = [each.row.padded_bytes for each in present]
            arrivals = arrivals_of(list(zip(marks, padded, strict=True)))
            uid = mailboxes.place(connection, *there, modseq, arrivals)
            as_foreseen = uid == first and len(present) == len(opened)
            fresh = sealed if as_foreseen else _seal(account, transfer, present, uid)
            placed = [new._replace(flags=mark, modseq=modseq) for new, mark in zip(fresh, marks, strict=True)]
            items.add_items(connection, placed)
            pairs = [(each.row.uid, new.uid) for each, new in zip(present, placed, strict=True)]
            if transfer.is_move:
                gone = uid_ranges([old for old, _new in pairs])
                item_changes.expunge(connection, here, gone, modseq, keeps_blobs=True)
                add_moves(connection, [old for old, _new in pairs])
            return pairs

        with self._turn:
            return self._store.writer.commit(Unit(account.account_id, run, shreds=transfer.is_move))


def undo_copies(store: Store, place: tuple[AccountId, MailboxId], uids: Sequence[int]) -> None:
    """Expunge what a failed COPY had placed. A store that fails here too leaves the copies, and says so."""
    try:
        for start in range(0, len(uids), UNIT_ITEMS):
            expunge_part(store, place, uid_ranges(uids[start : start + UNIT_ITEMS]))
    except Unavailable as error:
        logger.error("a failed copy stays in part", extra={"code": error.code})  # noqa: TRY400 # no trace of use


def expunge_part(
    store: Store,
    place: tuple[AccountId, MailboxId],
    ranges: Sequence[UidRange],
    *,
    only: int = 0,
    add_entries: AddEntries | None = None,
) -> tuple[list[int], int]:
    """One Unit that removes items, ``only`` those with these flags as they stand in it; the UIDs and the
    mod-sequence. The wraps are gone with the commit, files of blobs that nobody holds after it.

    ``add_entries``: what the log says of those that left, in the same Unit.
    """

    def run(connection: Connection) -> tuple[item_changes.Expunged, int]:
        modseq = mailboxes.next_modseq(connection, place[0])
        leaving = ranges
        if only:
            marked = items.list_flags_within(connection, *place, ranges)
            leaving = uid_ranges([uid for uid, flags in marked if flags & only])
        gone = item_changes.expunge(connection, place, leaving, modseq)
        if add_entries is not None:
            add_entries(connection, gone.uids)
        return gone, modseq

    gone, modseq = store.writer.commit(Unit(place[0], run, shreds=True))
    delete_files(store, gone.orphans)
    return gone.uids, modseq


def delete_files(store: Store, orphans: Sequence[BlobId]) -> None:
    """Delete the files of blobs that no account holds any more, after the commit that said so."""
    for blob_id in orphans:
        store.blobs.delete(blob_id)


def _seal(account: OpenAccount, transfer: Transfer, opened: Sequence[Opened], first: int) -> list[NewItem]:
    """Rows at the UIDs from ``first``; flags and mod-sequence are the Unit's to say."""
    keys = account.mail_keys()
    sealed = []
    for uid, each in enumerate(opened, first):
        place = Place(account.account_id, transfer.target, uid, ItemId(random_id()))
        # a copy names the blob that exists; nothing is written for it
        blob = SealedBlob(each.data_key, BlobRow(each.row.blob_id, 0, b"", None), each.row.padded_bytes)
        stamp = PlaceStamp(0, 0, each.row.received_at, transfer.now)
        sealed.append(keys.seal_item(place, blob, each.summary, stamp, each.row.email_id))
    return sealed


def arrivals_of(placed: Sequence[tuple[int, int]]) -> Arrivals:
    """What items placed by their owner, as (flags, padded bytes), add to a mailbox's counters."""
    return Arrivals(
        len(placed),
        sum(not flags & _SEEN for flags, _padded in placed),
        sum(bool(flags & _DELETED) for flags, _padded in placed),
        0,
        sum(padded for _flags, padded in placed),
    )
