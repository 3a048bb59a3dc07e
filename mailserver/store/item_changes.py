"""Changes to items: STORE and expunge, with the mailbox's counters moved in the same transaction.

What leaves writes a tombstone; its seal and its text in the index go first (shredding), its octets when no holder is left.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from operator import itemgetter

from sqlalchemy import ColumnElement, Connection, and_, delete, literal, select, update

from mailserver.model.account import Flag
from mailserver.model.ids import AccountId, BlobId, MailboxId
from mailserver.store import mailboxes, schema
from mailserver.store.changes import note_changes
from mailserver.store.hot_statements import HotInsert
from mailserver.store.items import (
    RANGES_PER_STATEMENT,
    UidRange,
    has_holder,
    list_columns_within,
    merged,
    slices,
    within,
)
from mailserver.store.jobs import IS_OPEN
from mailserver.store.segment_rows import drop_segments

_item, _seal, _blob = schema.item, schema.seal, schema.blob


class FlagChange(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"

    def applied(self, flags: int, bits: int, kept: int = 0) -> int:
        """What ``flags`` become. ``kept``: bits that REPLACE leaves as they are."""
        match self:
            case FlagChange.ADD:
                return flags | bits
            case FlagChange.REMOVE:
                return flags & ~bits
            case FlagChange.REPLACE:
                return flags & kept | bits


@dataclass(frozen=True, slots=True)
class Marked:
    """What a STORE did: (uid, flags) of the items that changed, at ``modseq``; and the UIDs that it left alone because
    they had changed since the mod-sequence that was asked for (RFC 7162 §3.1.3). Both by UID.
    """

    changed: list[tuple[int, int]]
    modseq: int
    refused: list[int]
    modseq_before: int = field(default=0, compare=False)
    """The mailbox's highest mod-sequence just before."""


def mark_flags(
    connection: Connection,
    place: tuple[AccountId, MailboxId],
    ranges: Sequence[UidRange],
    change: tuple[FlagChange, int] | tuple[FlagChange, int, int],
    modseq: int,
    *,
    unchanged_since: int | None = None,
) -> Marked:
    """Apply a STORE, with ``unchanged_since`` only to items no newer. Counters follow in the same transaction.

    A third number in ``change``: bits that REPLACE leaves as they are, none of them among its own. The items are read
    before they change, in this transaction, and each combination of flags is worked out once.
    """
    mode, bits, kept = (*change, 0)[:3]
    asked = merged(ranges)
    rows = list_columns_within(connection, place, asked)
    become = {flags: mode.applied(flags, bits, kept) for flags in {row[1] for row in rows}}
    refused: list[int] = []
    if unchanged_since is not None:
        refused = [uid for uid, _flags, known in rows if known > unchanged_since]
        rows = [row for row in rows if row[2] <= unchanged_since]
    moving = [(uid, flags) for uid, flags, _known in rows if become[flags] != flags]
    before = Counter(map(itemgetter(1), moving))
    row = mailboxes.find_mailbox(connection, *place)
    modseq_before = 0 if row is None else row.highestmodseq
    if not before:
        return Marked([], modseq, refused, modseq_before)
    note_changes(connection, place, list(map(itemgetter(0), moving)), modseq)
    _write_flags(connection, place, asked, (mode, bits, kept), (modseq, unchanged_since))
    after = Counter(dict.fromkeys(before, 0))
    for flags, count in before.items():
        after[become[flags]] += count
    _move_counters(connection, place, modseq, tuple(map(int.__sub__, _counts(after), _counts(before))))
    return Marked([(uid, become[flags]) for uid, flags in moving], modseq, refused, modseq_before)


def _write_flags(
    connection: Connection,
    place: tuple[AccountId, MailboxId],
    ranges: Sequence[UidRange],
    change: tuple[FlagChange, int, int],
    modseqs: tuple[int, int | None],
) -> None:
    """The same change in SQL. ``modseqs``: the new one, and the highest of an item that is changed."""
    mode, bits, kept = change
    modseq, unchanged_since = modseqs
    new: ColumnElement[int]
    differs: ColumnElement[bool]
    match mode:
        case FlagChange.ADD:
            new, differs = _item.c.flags.bitwise_or(bits), _item.c.flags.bitwise_and(bits) != bits
        case FlagChange.REMOVE:
            new, differs = _item.c.flags.bitwise_and(~bits), _item.c.flags.bitwise_and(bits) != 0
        case FlagChange.REPLACE:
            new = _item.c.flags.bitwise_and(kept).bitwise_or(bits) if kept else literal(bits)
            differs = _item.c.flags != new
    for part in slices(ranges):
        here = and_(_item.c.account_id == place[0], _item.c.mailbox_id == place[1], within(_item.c.uid, part))
        if unchanged_since is not None:
            here = and_(here, _item.c.modseq <= unchanged_since)
        connection.execute(update(_item).where(here, differs).values(flags=new, modseq=modseq))


_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)


def _counts(combinations: Counter[int]) -> tuple[int, int]:
    r"""How many of these are not \Seen, and how many are \Deleted."""
    unseen = sum(count for flags, count in combinations.items() if not flags & _SEEN)
    return unseen, sum(count for flags, count in combinations.items() if flags & _DELETED)


def _move_counters(
    connection: Connection, place: tuple[AccountId, MailboxId], modseq: int, delta: tuple[int, ...]
) -> None:
    table = schema.mailbox
    connection.execute(
        update(table)
        .where(table.c.account_id == place[0], table.c.mailbox_id == place[1])
        .values(
            unseen_count=table.c.unseen_count + delta[0],
            deleted_count=table.c.deleted_count + delta[1],
            highestmodseq=modseq,
        )
    )


@dataclass(frozen=True, slots=True)
class _Stone:
    """A row of ``tombstone``."""

    account_id: AccountId
    mailbox_id: MailboxId
    uid: int
    modseq: int


_ADD_STONE = HotInsert[_Stone](schema.tombstone)


@dataclass(frozen=True, slots=True)
class Expunged:
    """What left, and the blob files that no account holds any more (delete after the commit)."""

    uids: list[int]
    orphans: list[BlobId]


def expunge(
    connection: Connection,
    place: tuple[AccountId, MailboxId],
    ranges: Sequence[UidRange],
    modseq: int,
    *,
    keeps_blobs: bool = False,
) -> Expunged:
    """Remove items: seals first, their texts in the index too, tombstones written, counters moved, blobs released.

    ``keeps_blobs``: each one has another holder already (a MOVE's new item), so nothing is looked for.
    """
    gone: list[tuple[int, int, bytes, int, bool]] = []
    for part in slices(ranges):
        here = and_(_item.c.account_id == place[0], _item.c.mailbox_id == place[1], within(_item.c.uid, part))
        query = (
            delete(_item)
            .where(here)
            .returning(_item.c.uid, _item.c.flags, _item.c.blob_id, _item.c.padded_bytes, _item.c.is_adopted)
        )
        rows = connection.execute(query).all()
        gone.extend(
            (uid, flags, bytes(blob_id), padded, adopted) for uid, flags, blob_id, padded, adopted in rows
        )
        connection.execute(
            delete(_seal).where(
                _seal.c.account_id == place[0], _seal.c.mailbox_id == place[1], within(_seal.c.uid, part)
            )
        )
    if not gone:
        return Expunged([], [])
    uids = sorted(row[0] for row in gone)
    drop_segments(connection, place, [(uid, uid) for uid in uids])
    _ADD_STONE.run(connection, [_Stone(*place, row[0], modseq) for row in gone])
    table = schema.mailbox
    connection.execute(
        update(table)
        .where(table.c.account_id == place[0], table.c.mailbox_id == place[1])
        .values(
            exists_count=table.c.exists_count - len(gone),
            unseen_count=table.c.unseen_count - sum(not row[1] & _SEEN for row in gone),
            deleted_count=table.c.deleted_count - sum(bool(row[1] & _DELETED) for row in gone),
            unadopted_count=table.c.unadopted_count - sum(not row[4] for row in gone),
            padded_bytes=table.c.padded_bytes - sum(row[3] for row in gone),
            highestmodseq=modseq,
        )
    )
    blob_ids = set() if keeps_blobs else {BlobId(row[2]) for row in gone}
    return Expunged(uids, _release(connection, place[0], blob_ids))


def _release(connection: Connection, account_id: AccountId, blob_ids: set[BlobId]) -> list[BlobId]:
    """Delete blob rows that neither an item nor a waiting job of the account names; returns files left
    without any holder.
    """
    job = schema.job
    ids = list(blob_ids)
    orphans: list[BlobId] = []
    for start in range(0, len(ids), RANGES_PER_STATEMENT):
        part = ids[start : start + RANGES_PER_STATEMENT]
        held = select(_item.c.blob_id).where(_item.c.account_id == account_id, _item.c.blob_id.in_(part))
        sent = select(job.c.blob_id).where(job.c.account_id == account_id, IS_OPEN, job.c.blob_id.in_(part))
        still = {bytes(blob_id) for blob_id in connection.execute(held.union(sent)).scalars()}
        free = [blob_id for blob_id in part if blob_id not in still]
        here = and_(_blob.c.account_id == account_id, _blob.c.blob_id.in_(free))
        # asked before: SQLite 3.40 answers 0 to "octets IS NULL" in the RETURNING of a DELETE
        files = list(
            connection.execute(select(_blob.c.blob_id).where(here, _blob.c.octets.is_(None))).scalars()
        )
        connection.execute(delete(_blob).where(here))
        orphans.extend(BlobId(bytes(each)) for each in files if not has_holder(connection, each))
    return orphans
