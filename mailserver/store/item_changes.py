"""Changes to items: STORE and expunge, with the mailbox's counters moved in the same transaction.

What leaves writes a tombstone; its seal and its text in the index go first (shredding), its octets when no holder is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, literal, select, update

from mailserver.model.account import Flag
from mailserver.model.ids import AccountId, BlobId, MailboxId
from mailserver.store import schema
from mailserver.store.items import RANGES_PER_STATEMENT, UidRange, has_holder, merged, slices, within
from mailserver.store.jobs import JobState
from mailserver.store.segment_rows import drop_segments

_item, _seal, _blob = schema.item, schema.seal, schema.blob


class FlagChange(StrEnum):
    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"

    def applied(self, flags: int, bits: int) -> int:
        """What ``flags`` become."""
        match self:
            case FlagChange.ADD:
                return flags | bits
            case FlagChange.REMOVE:
                return flags & ~bits
            case FlagChange.REPLACE:
                return bits


@dataclass(frozen=True, slots=True)
class Marked:
    """What a STORE did: (uid, flags) of the items that changed, at ``modseq``; and the UIDs that it left alone because
    they had changed since the mod-sequence that was asked for (RFC 7162 §3.1.3). Both by UID.
    """

    changed: list[tuple[int, int]]
    modseq: int
    refused: list[int]


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

    A third number in ``change``: bits that REPLACE leaves as they are, none of them among its own.
    """
    mode, bits, kept = (*change, 0)[:3]
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
    changed: list[tuple[int, int]] = []
    refused: list[int] = []
    for part in slices(merged(ranges)):
        here = and_(_item.c.account_id == place[0], _item.c.mailbox_id == place[1], within(_item.c.uid, part))
        if unchanged_since is not None:
            newer = select(_item.c.uid).where(here, _item.c.modseq > unchanged_since)
            refused.extend(connection.execute(newer).scalars())
            here = and_(here, _item.c.modseq <= unchanged_since)
        before = _count_flags(connection, and_(here, differs))
        query = update(_item).where(here, differs).values(flags=new, modseq=modseq)
        rows = connection.execute(query.returning(_item.c.uid, _item.c.flags)).all()
        if rows:
            changed.extend((uid, flags) for uid, flags in rows)
            unseen = sum(not flags & Flag.SEEN for _uid, flags in rows)
            deleted = sum(bool(flags & Flag.DELETED) for _uid, flags in rows)
            _move_counters(connection, place, modseq, (unseen - before[0], deleted - before[1]))
    return Marked(sorted(changed), modseq, sorted(refused))


def _count_flags(connection: Connection, here: ColumnElement[bool]) -> tuple[int, int]:
    seen = _item.c.flags.bitwise_and(int(Flag.SEEN))
    deleted = _item.c.flags.bitwise_and(int(Flag.DELETED))
    query = select(
        func.coalesce(func.sum(case((seen == 0, 1), else_=0)), 0),
        func.coalesce(func.sum(case((deleted != 0, 1), else_=0)), 0),
    ).where(here)
    unseen, gone = connection.execute(query).one()
    return int(unseen), int(gone)


def _move_counters(
    connection: Connection, place: tuple[AccountId, MailboxId], modseq: int, delta: tuple[int, int]
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
    stones = [
        {"account_id": place[0], "mailbox_id": place[1], "uid": row[0], "modseq": modseq} for row in gone
    ]
    connection.execute(insert(schema.tombstone), stones)
    table = schema.mailbox
    connection.execute(
        update(table)
        .where(table.c.account_id == place[0], table.c.mailbox_id == place[1])
        .values(
            exists_count=table.c.exists_count - len(gone),
            unseen_count=table.c.unseen_count - sum(not row[1] & Flag.SEEN for row in gone),
            deleted_count=table.c.deleted_count - sum(bool(row[1] & Flag.DELETED) for row in gone),
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
        sent = select(job.c.blob_id).where(
            job.c.account_id == account_id, job.c.state == JobState.WAITING.value, job.c.blob_id.in_(part)
        )
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
