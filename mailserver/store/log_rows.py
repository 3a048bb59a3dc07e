"""Rows of the access log: the act inserts entry, account head and a pending leaf, with no global counter; one
sequencer moves pending leaves, in each account's order, into the tree's tiles and checkpoints (L5).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, EntryId
from mailserver.store import schema
from mailserver.store.hot_statements import HotInsert, HotRead
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


_Values = dict[str, bytes | int | None]
_FoundHead = tuple[int, bytes, bytes]


def _found(*values: Any) -> _FoundHead:
    sequence, leaf_hash, mac = values
    return sequence, leaf_hash, mac


_HEAD_QUERY = select(_head.c.sequence, _head.c.leaf_hash, _head.c.row_mac).where(
    _head.c.account_id == bindparam("account")
)
_HEAD = HotRead(_HEAD_QUERY, _found)
_LOCKED_HEAD = HotRead(_HEAD_QUERY.with_for_update(), _found)
_MOVE_HEAD = HotRead(
    update(_head)
    .where(_head.c.account_id == bindparam("account"))
    .values(sequence=bindparam("next"), leaf_hash=bindparam("leaf"), row_mac=bindparam("mac"))
    .returning(_head.c.sequence, _head.c.leaf_hash, _head.c.row_mac),
    _found,
)
_ADD_HEAD: HotInsert[_Values] = HotInsert(_head, itemgetter)
_ADD_ENTRY: HotInsert[_Values] = HotInsert(_entry, itemgetter)
_ADD_PENDING: HotInsert[_Values] = HotInsert(_pending, itemgetter)


def load_head(connection: Connection, macs: RowMacs, account_id: AccountId) -> LogHead:
    """Locks the head on PostgreSQL; on SQLite the writer is alone. Raises Corrupt when it was altered."""
    return _head_of(macs, account_id, _LOCKED_HEAD.first(connection, {"account": account_id}))


def head_of(connection: Connection, macs: RowMacs, account_id: AccountId) -> LogHead:
    """The head, for readers: no lock. Raises Corrupt when it was altered."""
    return _head_of(macs, account_id, _HEAD.first(connection, {"account": account_id}))


def _head_of(macs: RowMacs, account_id: AccountId, found: _FoundHead | None) -> LogHead:
    if found is None:
        return LogHead(0, bytes(32))
    sequence, leaf_hash, mac = found
    macs.check("log_head", (account_id, sequence, leaf_hash), mac)
    return LogHead(sequence, bytes(leaf_hash))


def list_altered_heads(connection: Connection, macs: RowMacs) -> list[AccountId]:
    """Accounts whose head does not carry its MAC."""
    return [
        AccountId(bytes(found.account_id))
        for found in connection.execute(select(_head)).all()
        if not macs.is_sound("log_head", (found.account_id, found.sequence, found.leaf_hash), found.row_mac)
    ]


def add_entries(
    connection: Connection, macs: RowMacs, account_id: AccountId, entries: Sequence[NewEntry], head: LogHead
) -> None:
    """Insert entries in order and move the account's head to ``head``."""
    _ADD_ENTRY.run(
        connection,
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
    _ADD_PENDING.run(
        connection,
        [
            {
                "account_id": account_id,
                "sequence": new.sequence,
                "created_at": new.created_at,
                "leaf": new.leaf,
                "row_mac": macs.sign("log_pending", (account_id, new.sequence, new.created_at, new.leaf)),
            }
            for new in entries
        ],
    )
    mac = macs.sign("log_head", (account_id, head.next_sequence, head.leaf_hash))
    if entries[0].sequence == 0:
        first: _Values = {
            "account_id": account_id,
            "sequence": head.next_sequence,
            "leaf_hash": head.leaf_hash,
            "row_mac": mac,
        }
        _ADD_HEAD.run(connection, [first])
    else:
        moved = {"account": account_id, "next": head.next_sequence, "leaf": head.leaf_hash, "mac": mac}
        _MOVE_HEAD.first(connection, moved)


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
    found = read_pending(connection, macs, limit, frozenset())
    if found.planted:
        raise Corrupt("row-mac", "log_pending")
    return found.leaves


@dataclass(frozen=True, slots=True)
class PendingPage:
    """Leaves that wait. ``planted``: accounts with a row that does not carry its MAC; their sound rows are here too."""

    leaves: list[PendingLeaf]
    planted: frozenset[AccountId]


def read_pending(
    connection: Connection, macs: RowMacs, limit: int | None, skipped: Collection[AccountId]
) -> PendingPage:
    """At most ``limit`` rows, each account's in order, without the ``skipped`` accounts'."""
    query = select(_pending).order_by(_pending.c.account_id, _pending.c.sequence).limit(limit)
    if skipped:
        query = query.where(_pending.c.account_id.not_in(skipped))
    leaves: list[PendingLeaf] = []
    planted: set[AccountId] = set()
    for found in connection.execute(query).all():
        account_id = AccountId(bytes(found.account_id))
        fields = (found.account_id, found.sequence, found.created_at, found.leaf)
        if macs.is_sound("log_pending", fields, found.row_mac):
            leaves.append(PendingLeaf(account_id, found.sequence, bytes(found.leaf)))
        else:
            planted.add(account_id)
    return PendingPage(leaves, frozenset(planted))


def list_pseudonyms(connection: Connection, account_ids: Collection[AccountId]) -> dict[AccountId, bytes]:
    """The pseudonyms under which these accounts' chains stand."""
    table = schema.account
    query = select(table.c.account_id, table.c.pseudonym).where(table.c.account_id.in_(account_ids))
    return {AccountId(bytes(row.account_id)): bytes(row.pseudonym) for row in connection.execute(query)}


_PLACE = (
    update(_entry)
    .where(_entry.c.account_id == bindparam("account"), _entry.c.sequence == bindparam("at"))
    .values(leaf_index=bindparam("index"))
)
_DROP_PENDING = delete(_pending).where(
    _pending.c.account_id == bindparam("account"), _pending.c.sequence == bindparam("at")
)


def mark_sequenced(connection: Connection, leaves: Sequence[PendingLeaf], first_index: int) -> None:
    """Give the leaves their place in the tree and drop them from the pending rows."""
    if leaves:
        places = [{"account": leaf.account_id, "at": leaf.sequence} for leaf in leaves]
        indexed = [place | {"index": first_index + offset} for offset, place in enumerate(places)]
        connection.execute(_PLACE, indexed)
        connection.execute(_DROP_PENDING, places)


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


def find_oldest_pending(connection: Connection, skipped: Collection[AccountId] = ()) -> int | None:
    """When the oldest unsequenced entry of the other accounts was written (seconds), for the 120 s rule (K7)."""
    query = select(func.min(_pending.c.created_at))
    if skipped:
        query = query.where(_pending.c.account_id.not_in(skipped))
    return connection.execute(query).scalar()
