"""Items: one placement of a message in a mailbox, its seal beside it, its octets in ``blob``.

UIDs never move. Every change takes the account's next mod-sequence; what leaves writes a tombstone. The wraps go
first when a message is deleted (shredding), its octets when no holder is left.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import starmap
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_, select, update
from sqlalchemy.sql import operators

from mailserver.model.ids import AccountId, BlobId, EmailId, ItemId, MailboxId
from mailserver.store import schema
from mailserver.store.hot_statements import HotInsert, HotRead

UidRange = tuple[int, int]
"""First and last UID, both included."""
EVERY_UID: list[UidRange] = [(1, 2**32 - 1)]
RANGES_PER_STATEMENT = 200
UIDS_PER_STATEMENT = 500
_item, _seal, _blob = schema.item, schema.seal, schema.blob


class NewItem(NamedTuple):
    """A row of ``item`` and its ``seal``, ready to insert. A tuple, because a COPY makes thousands of them."""

    account_id: AccountId
    mailbox_id: MailboxId
    uid: int
    item_id: ItemId
    email_id: EmailId
    blob_id: BlobId
    flags: int
    modseq: int
    padded_bytes: int
    received_at: int
    saved_at: int
    is_adopted: bool
    wrap: bytes
    place_tag: bytes
    summary: bytes
    row_mac: bytes | None


class ItemRow(NamedTuple):
    """An item with its seal, as stored: what is adopted may say 1. A tuple, because pages make thousands of them."""

    uid: int
    item_id: ItemId
    email_id: EmailId
    blob_id: BlobId
    flags: int
    modseq: int
    padded_bytes: int
    received_at: int
    saved_at: int
    is_adopted: bool
    wrap: bytes
    place_tag: bytes
    summary: bytes
    row_mac: bytes | None


_ADD_ITEM, _ADD_SEAL = HotInsert[NewItem](_item), HotInsert[NewItem](_seal)


def add_items(connection: Connection, items: Sequence[NewItem]) -> None:
    _ADD_ITEM.run(connection, items)
    _ADD_SEAL.run(connection, items)


@dataclass(frozen=True, slots=True)
class BlobRow:
    """``octets`` is None when the sealed bytes are a file of the blob folder."""

    blob_id: BlobId
    stored_bytes: int
    digest: bytes
    octets: bytes | None


@dataclass(frozen=True, slots=True)
class _HeldBlob:
    """A row of ``blob``."""

    account_id: AccountId
    blob_id: BlobId
    stored_bytes: int
    digest: bytes
    octets: bytes | None


_ADD_BLOB = HotInsert[_HeldBlob](_blob)


def add_blob(connection: Connection, account_id: AccountId, row: BlobRow) -> None:
    """Sealed octets of one account, or the mark that they are a file."""
    add_blobs(connection, account_id, [row])


def add_blobs(connection: Connection, account_id: AccountId, rows: Iterable[BlobRow]) -> None:
    """As ``add_blob``."""
    held = [_HeldBlob(account_id, row.blob_id, row.stored_bytes, row.digest, row.octets) for row in rows]
    _ADD_BLOB.run(connection, held)


_FIND_BLOB = HotRead(
    select(_blob.c.blob_id, _blob.c.stored_bytes, _blob.c.digest, _blob.c.octets).where(
        _blob.c.account_id == bindparam("account"), _blob.c.blob_id == bindparam("blob")
    ),
    BlobRow,
)


def find_blob(connection: Connection, account_id: AccountId, blob_id: BlobId) -> BlobRow | None:
    """The sealed octets that an account holds under this id, or None."""
    return _FIND_BLOB.first(connection, {"account": account_id, "blob": blob_id})


def lock_blob(connection: Connection, account_id: AccountId, blob_id: BlobId) -> bool:
    """Whether the account holds the blob, which it keeps until this transaction ends (PostgreSQL; SQLite writes alone)."""
    query = select(_blob.c.blob_id).where(_blob.c.account_id == account_id, _blob.c.blob_id == blob_id)
    return connection.execute(query.with_for_update(read=True)).first() is not None


def has_holder(connection: Connection, blob_id: BlobId) -> bool:
    """True while any account holds the blob."""
    return (
        connection.execute(select(_blob.c.blob_id).where(_blob.c.blob_id == blob_id).limit(1)).first()
        is not None
    )


def within(table_uid: ColumnElement[int], ranges: Sequence[UidRange]) -> ColumnElement[bool]:
    return or_(*(operators.eq(table_uid, lo) if lo == hi else table_uid.between(lo, hi) for lo, hi in ranges))


def merged(ranges: Sequence[UidRange]) -> list[UidRange]:
    """The same UIDs in ascending ranges that do not overlap."""
    found: list[UidRange] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        elif first <= last:
            found.append((first, last))
    return found


def uid_ranges(uids: Sequence[int]) -> list[UidRange]:
    """Ascending UIDs as ranges."""
    if uids and uids[-1] - uids[0] == len(uids) - 1:
        return [(uids[0], uids[-1])]
    ranges: list[UidRange] = []
    for uid in uids:
        if ranges and ranges[-1][1] == uid - 1:
            ranges[-1] = (ranges[-1][0], uid)
        else:
            ranges.append((uid, uid))
    return ranges


def slices(ranges: Sequence[UidRange]) -> Iterable[Sequence[UidRange]]:
    for start in range(0, len(ranges), RANGES_PER_STATEMENT):
        yield ranges[start : start + RANGES_PER_STATEMENT]


def list_flags_within(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, ranges: Sequence[UidRange]
) -> list[tuple[int, int]]:
    """(uid, flags) of the items in these ranges, by UID."""
    rows = list_columns_within(connection, (account_id, mailbox_id), merged(ranges))
    return [(uid, flags) for uid, flags, _modseq in rows]


def list_columns_within(
    connection: Connection, place: tuple[AccountId, MailboxId], ranges: Sequence[UidRange]
) -> list[tuple[int, int, int]]:
    """(uid, flags, modseq) of the items in these ranges, which are ascending and disjoint; by UID."""
    here = {"account": place[0], "mailbox": place[1]}
    if len(ranges) == 1:
        return _COLUMNS_BETWEEN.all(connection, {**here, "first": ranges[0][0], "last": ranges[0][1]})
    found: list[tuple[int, int, int]] = []
    for part in slices(ranges):
        rows = connection.execute(_COLUMNS.where(within(_item.c.uid, part)), here).all()
        found.extend((uid, flags, modseq) for uid, flags, modseq in rows)
    return sorted(found)


_COLUMNS = select(_item.c.uid, _item.c.flags, _item.c.modseq).where(
    _item.c.account_id == bindparam("account"), _item.c.mailbox_id == bindparam("mailbox")
)
_COLUMNS_BETWEEN: HotRead[tuple[int, int, int]] = HotRead(
    _COLUMNS.where(_item.c.uid.between(bindparam("first"), bindparam("last"))).order_by(_item.c.uid),
    lambda *row: row,
)


def sum_padded(
    connection: Connection, place: tuple[AccountId, MailboxId], ranges: Sequence[UidRange], only: int = 0
) -> int:
    """Padded octets of the items in these ranges that have all flags of ``only``."""
    total = 0
    for part in slices(merged(ranges)):
        query = select(func.sum(_item.c.padded_bytes)).where(
            _item.c.account_id == place[0],
            _item.c.mailbox_id == place[1],
            within(_item.c.uid, part),
            _item.c.flags.bitwise_and(only) == only,
        )
        total += int(connection.execute(query).scalar() or 0)
    return total


_ROWS = (
    select(
        _item.c.uid,
        _item.c.item_id,
        _item.c.email_id,
        _item.c.blob_id,
        _item.c.flags,
        _item.c.modseq,
        _item.c.padded_bytes,
        _item.c.received_at,
        _item.c.saved_at,
        _item.c.is_adopted,
        _seal.c.wrap,
        _seal.c.place_tag,
        _seal.c.summary,
        _seal.c.row_mac,
    )
    .join(
        _seal,
        and_(
            _seal.c.account_id == _item.c.account_id,
            _seal.c.mailbox_id == _item.c.mailbox_id,
            _seal.c.uid == _item.c.uid,
        ),
    )
    .where(_item.c.account_id == bindparam("account"), _item.c.mailbox_id == bindparam("mailbox"))
    .order_by(_item.c.uid)
)
_ROWS_BETWEEN = HotRead(_ROWS.where(_item.c.uid.between(bindparam("first"), bindparam("last"))), ItemRow)
_ROWS_AMONG = _ROWS.where(_item.c.uid.in_(bindparam("uids", expanding=True)))


def list_items(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, ranges: Sequence[UidRange]
) -> list[ItemRow]:
    """Items with their seals, by UID. The caller bounds the ranges: a page is about 1 MiB."""
    place = {"account": account_id, "mailbox": mailbox_id}
    rows: list[ItemRow] = []
    scattered: list[int] = []
    for first, last in merged(ranges):
        if first == last and len(ranges) > 1:
            scattered.append(first)
            continue
        rows += _ROWS_BETWEEN.all(connection, {**place, "first": first, "last": last})
    for start in range(0, len(scattered), UIDS_PER_STATEMENT):
        uids = scattered[start : start + UIDS_PER_STATEMENT]
        rows.extend(starmap(ItemRow, connection.execute(_ROWS_AMONG, {**place, "uids": uids}).all()))
    if scattered:
        rows.sort(key=attrgetter("uid"))
    return rows


_ROWS_WITH_BLOBS = _ROWS.add_columns(
    _blob.c.blob_id.label("held"), _blob.c.stored_bytes, _blob.c.digest, _blob.c.octets
).outerjoin(_blob, and_(_blob.c.account_id == _item.c.account_id, _blob.c.blob_id == _item.c.blob_id))
_BLOBS_AMONG = _ROWS_WITH_BLOBS.where(_item.c.uid.in_(bindparam("uids", expanding=True)))
_ITEM_ROW_COLUMNS = 14


def _with_blob(*row: bytes) -> tuple[ItemRow, BlobRow | None]:
    item, blob = row[:_ITEM_ROW_COLUMNS], row[_ITEM_ROW_COLUMNS:]
    return ItemRow(*item), None if blob[0] is None else BlobRow(*blob)  # type: ignore[arg-type]


_BLOBS_BETWEEN = HotRead(
    _ROWS_WITH_BLOBS.where(_item.c.uid.between(bindparam("first"), bindparam("last"))), _with_blob
)


def list_items_with_blobs(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, uids: Sequence[int]
) -> list[tuple[ItemRow, BlobRow | None]]:
    """Items with their seals and their blob rows, by UID; ``uids`` ascend and are few: each may hold 64 KiB."""
    if not uids:
        return []
    place = {"account": account_id, "mailbox": mailbox_id}
    if uids[-1] - uids[0] + 1 == len(uids):  # the usual case, and the cheaper statement
        return _BLOBS_BETWEEN.all(connection, {**place, "first": uids[0], "last": uids[-1]})
    found = connection.execute(_BLOBS_AMONG, {**place, "uids": list(uids)}).all()
    return list(starmap(_with_blob, found))


def list_unadopted(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, limit: int
) -> list[ItemRow]:
    """The oldest items still sealed to the account's public key."""
    query = (
        select(_item.c.uid)
        .where(
            _item.c.account_id == account_id, _item.c.mailbox_id == mailbox_id, _item.c.is_adopted.is_(False)
        )
        .order_by(_item.c.uid)
        .limit(limit)
    )
    uids = list(connection.execute(query).scalars())
    return list_items(connection, account_id, mailbox_id, [(uid, uid) for uid in uids])


@dataclass(frozen=True, slots=True)
class Resealed:
    """The seal of an adopted item."""

    uid: int
    wrap: bytes
    place_tag: bytes
    summary: bytes


_ADOPT_ITEM = (
    update(_item)
    .where(
        _item.c.account_id == bindparam("a"),
        _item.c.mailbox_id == bindparam("m"),
        _item.c.uid == bindparam("u"),
    )
    .values(is_adopted=True)
)
_ADOPT_SEAL = (
    update(_seal)
    .where(
        _seal.c.account_id == bindparam("a"),
        _seal.c.mailbox_id == bindparam("m"),
        _seal.c.uid == bindparam("u"),
    )
    .values(
        wrap=bindparam("new_wrap"), place_tag=bindparam("tag"), summary=bindparam("new_summary"), row_mac=None
    )
)


def mark_adopted(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, resealed: Sequence[Resealed]
) -> None:
    """Replace the seals of items that are still unadopted; one that left meanwhile is skipped."""
    if not resealed:
        return
    uids = [new.uid for new in resealed]
    query = select(_item.c.uid).where(
        _item.c.account_id == account_id,
        _item.c.mailbox_id == mailbox_id,
        _item.c.uid.between(min(uids), max(uids)),
        _item.c.is_adopted.is_(False),
    )
    waiting = set(connection.execute(query).scalars().all())
    fresh = [new for new in resealed if new.uid in waiting]
    if not fresh:
        return
    here = {"a": account_id, "m": mailbox_id}
    connection.execute(_ADOPT_ITEM, [here | {"u": new.uid} for new in fresh])
    seals = [
        here | {"u": new.uid, "new_wrap": new.wrap, "tag": new.place_tag, "new_summary": new.summary}
        for new in fresh
    ]
    connection.execute(_ADOPT_SEAL, seals)
    table = schema.mailbox
    connection.execute(
        update(table)
        .where(table.c.account_id == account_id, table.c.mailbox_id == mailbox_id)
        .values(unadopted_count=table.c.unadopted_count - len(fresh))
    )
