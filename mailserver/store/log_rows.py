"""Rows of the access log: the act inserts entry, account head and a pending leaf, with no global counter; one
sequencer moves pending leaves, in each account's order, into the tree's tiles and checkpoints (L5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from mailserver.model.ids import AccountId, EntryId
from mailserver.store import schema
from mailserver.store.row_macs import RowMacs


@dataclass(frozen=True, slots=True)
class LogHead:
    """The account's chain: the next sequence number and the hash of its last leaf (zeros before the first)."""

    next_sequence: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class NewEntry:
    entry_id: EntryId
    sequence: int
    created_at: int
    leaf: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True)
class EntryRow:
    entry_id: EntryId
    sequence: int
    created_at: int
    leaf: bytes
    leaf_index: int | None
    sealed: bytes


_head, _entry, _pending = schema.log_head, schema.log_entry, schema.log_pending


def load_head(connection: Connection, account_id: AccountId) -> LogHead:
    """Locks the head on PostgreSQL; on SQLite the writer is alone."""
    return _head_of(connection.execute(_head_query(account_id).with_for_update()).first())


def head_of(connection: Connection, account_id: AccountId) -> LogHead:
    """The head, for readers: no lock."""
    return _head_of(connection.execute(_head_query(account_id)).first())


def _head_query(account_id: AccountId) -> Select[tuple[int, bytes]]:
    return select(_head.c.sequence, _head.c.leaf_hash).where(_head.c.account_id == account_id)


def _head_of(found: Row[tuple[int, bytes]] | None) -> LogHead:
    return LogHead(0, bytes(32)) if found is None else LogHead(found.sequence, bytes(found.leaf_hash))


def add_entries(
    connection: Connection, macs: RowMacs, account_id: AccountId, entries: Sequence[NewEntry], head: LogHead
) -> None:
    """Insert entries in order and move the account's head to ``head``."""
    connection.execute(
        insert(_entry),
        [
            {
                "account_id": account_id,
                "sequence": new.sequence,
                "entry_id": new.entry_id,
                "created_at": new.created_at,
                "leaf": new.leaf,
                "leaf_index": None,
                "entry": new.sealed,
            }
            for new in entries
        ],
    )
    connection.execute(
        insert(_pending),
        [
            {
                "account_id": account_id,
                "sequence": new.sequence,
                "created_at": new.created_at,
                "leaf": new.leaf,
                "row_mac": macs.sign("log_pending", (account_id, new.sequence, new.leaf)),
            }
            for new in entries
        ],
    )
    values = {"sequence": head.next_sequence, "leaf_hash": head.leaf_hash}
    if entries[0].sequence == 0:
        connection.execute(insert(_head), [values | {"account_id": account_id}])
    else:
        connection.execute(update(_head).where(_head.c.account_id == account_id).values(**values))


def list_entries(
    connection: Connection, account_id: AccountId, *, newest: int | None = None
) -> list[EntryRow]:
    """Entries in order; ``newest`` keeps only the last n."""
    query = select(
        _entry.c.entry_id,
        _entry.c.sequence,
        _entry.c.created_at,
        _entry.c.leaf,
        _entry.c.leaf_index,
        _entry.c.entry,
    ).where(_entry.c.account_id == account_id)
    query = query.order_by(_entry.c.sequence.desc())
    if newest is not None:
        query = query.limit(newest)
    rows = [EntryRow(*found) for found in connection.execute(query)]
    return rows[::-1]


@dataclass(frozen=True, slots=True)
class PendingLeaf:
    account_id: AccountId
    sequence: int
    leaf: bytes


def list_pending(connection: Connection, macs: RowMacs, limit: int | None) -> list[PendingLeaf]:
    """Pending leaves, each account's in order; every row's MAC is checked. Raises Corrupt on a planted one."""
    query = select(_pending).order_by(_pending.c.account_id, _pending.c.sequence).limit(limit)
    leaves: list[PendingLeaf] = []
    for found in connection.execute(query).all():
        macs.check("log_pending", (found.account_id, found.sequence, found.leaf), found.row_mac)
        leaves.append(PendingLeaf(AccountId(bytes(found.account_id)), found.sequence, bytes(found.leaf)))
    return leaves


def mark_sequenced(connection: Connection, leaves: Sequence[PendingLeaf], first_index: int) -> None:
    """Give the leaves their place in the tree and drop them from the pending rows."""
    for offset, leaf in enumerate(leaves):
        here = (_entry.c.account_id == leaf.account_id, _entry.c.sequence == leaf.sequence)
        connection.execute(update(_entry).where(*here).values(leaf_index=first_index + offset))
        connection.execute(
            delete(_pending).where(
                _pending.c.account_id == leaf.account_id, _pending.c.sequence == leaf.sequence
            )
        )


_tile, _checkpoint = schema.log_tile, schema.log_checkpoint


def find_tile(connection: Connection, level: int, position: int) -> bytes | None:
    """The hashes of one tile (C2SP tlog-tiles), full or partial."""
    query = select(_tile.c.hashes).where(_tile.c.level == level, _tile.c.position == position)
    found = connection.execute(query).scalar()
    return None if found is None else bytes(found)


def mark_tile(connection: Connection, level: int, position: int, hashes: bytes) -> None:
    here = (_tile.c.level == level, _tile.c.position == position)
    if connection.execute(update(_tile).where(*here).values(hashes=hashes)).rowcount == 0:
        connection.execute(insert(_tile), [{"level": level, "position": position, "hashes": hashes}])


def add_checkpoint(connection: Connection, tree_size: int, created_at: int, note: bytes) -> None:
    values = {"tree_size": tree_size, "created_at": created_at, "note": note}
    connection.execute(insert(_checkpoint), [values])


def find_checkpoint(connection: Connection) -> tuple[int, bytes] | None:
    """The newest checkpoint: tree size and signed note."""
    query = select(_checkpoint.c.tree_size, _checkpoint.c.note).order_by(_checkpoint.c.tree_size.desc())
    found = connection.execute(query.limit(1)).first()
    return None if found is None else (found.tree_size, bytes(found.note))


def find_oldest_pending(connection: Connection) -> int | None:
    """When the oldest unsequenced entry was written (seconds), for the custodian's 120 s rule (K7)."""
    return connection.execute(select(func.min(_pending.c.created_at))).scalar()
