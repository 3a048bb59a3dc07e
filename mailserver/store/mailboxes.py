"""Mailbox rows: counters are kept, never counted; the name and the keywords live in the sealed record.

``uidnext`` and ``highestmodseq`` only grow; mailbox ids are random and never reused, so no key depends on
UIDVALIDITY.
"""

import logging
from dataclasses import dataclass, fields

from sqlalchemy import Connection, bindparam, delete, func, insert, literal_column, select, update

from mailserver.model.account import Role
from mailserver.model.errors import NotFound
from mailserver.model.ids import AccountId, MailboxId
from mailserver.store import schema
from mailserver.store.hot_statements import HotRead

_table = schema.mailbox
LARGE_MAILBOX = 100_000
_GROWTH_TOLD = 10_000

logger = logging.getLogger("pli.store")


@dataclass(frozen=True, slots=True)
class MailboxRow:
    account_id: AccountId
    mailbox_id: MailboxId
    role: Role
    uidvalidity: int
    uidnext: int
    highestmodseq: int
    exists_count: int
    unseen_count: int
    deleted_count: int
    padded_bytes: int
    first_recent_uid: int
    unadopted_count: int
    created_at: int
    record: bytes | None


_COLUMNS = tuple(_table.c[field.name] for field in fields(MailboxRow))
_ALL = select(*_COLUMNS).where(_table.c.account_id == bindparam("account"))
_BY_ROLE = _ALL.where(_table.c.role == bindparam("role")).order_by(_table.c.created_at, _table.c.mailbox_id)


def _row(account_id: AccountId, mailbox_id: MailboxId, role: str, *rest: int) -> MailboxRow:
    """The columns as they stand; the last is the record."""
    return MailboxRow(account_id, mailbox_id, Role(role), *rest)  # type: ignore[arg-type]


_LIST = HotRead(_ALL, _row)
_LOAD_BY_ROLE = HotRead(_BY_ROLE, _row)
_LOAD = HotRead(_ALL.where(_table.c.mailbox_id == bindparam("mailbox")), _row)


def add_mailbox(connection: Connection, row: MailboxRow) -> None:
    values = {column.name: getattr(row, column.name) for column in _COLUMNS} | {"role": row.role.value}
    connection.execute(insert(_table), [values])


def list_mailboxes(connection: Connection, account_id: AccountId) -> list[MailboxRow]:
    return _LIST.all(connection, {"account": account_id})


def find_mailbox(connection: Connection, account_id: AccountId, mailbox_id: MailboxId) -> MailboxRow | None:
    return _LOAD.first(connection, {"account": account_id, "mailbox": mailbox_id})


def load_mailbox(connection: Connection, account_id: AccountId, mailbox_id: MailboxId) -> MailboxRow:
    row = find_mailbox(connection, account_id, mailbox_id)
    if row is None:
        raise NotFound("mailbox")
    return row


def load_by_role(connection: Connection, account_id: AccountId, role: Role) -> MailboxRow:
    """The special-use mailbox (the oldest if several were made)."""
    found = _LOAD_BY_ROLE.first(connection, {"account": account_id, "role": role.value})
    if found is None:
        raise NotFound("mailbox")
    return found


def mark_record(connection: Connection, row: MailboxRow) -> None:
    """Replace the sealed record (name, subscription, keywords) and what it vouches for: the role, UIDVALIDITY."""
    here = (_table.c.account_id == row.account_id, _table.c.mailbox_id == row.mailbox_id)
    values = {"record": row.record, "role": row.role.value, "uidvalidity": row.uidvalidity}
    connection.execute(update(_table).where(*here).values(values))


def mark_modseq(connection: Connection, row: MailboxRow) -> None:
    """Raise the mailbox's highest mod-sequence: something of it changed that is no message (RFC 7162 §3.2)."""
    here = (_table.c.account_id == row.account_id, _table.c.mailbox_id == row.mailbox_id)
    connection.execute(update(_table).where(*here).values(highestmodseq=row.highestmodseq))


def delete_mailbox(connection: Connection, account_id: AccountId, mailbox_id: MailboxId) -> None:
    """Delete the row; the caller has expunged the items first."""
    for table in (schema.tombstone, schema.changed_range, schema.text_segment, _table):
        connection.execute(
            delete(table).where(table.c.account_id == account_id, table.c.mailbox_id == mailbox_id)
        )


def next_uidvalidity(connection: Connection, account_id: AccountId, now: int) -> int:
    """A UIDVALIDITY above every one this account has: seconds, moved up when two are made in one second."""
    highest = connection.execute(
        select(func.max(_table.c.uidvalidity)).where(_table.c.account_id == account_id)
    ).scalar()
    return max(now, (highest or 0) + 1)


_MODSEQ = HotRead(
    update(schema.counter)
    .where(schema.counter.c.account_id == bindparam("account"))
    .values(modseq=schema.counter.c.modseq + literal_column("1"))
    .returning(schema.counter.c.modseq),
    int,
)


def next_modseq(connection: Connection, account_id: AccountId) -> int:
    """The account's next mod-sequence (RFC 7162); it also locks the account's counter row first (R8)."""
    value = _MODSEQ.first(connection, {"account": account_id})
    if value is None:
        raise NotFound("account")
    return value


_PLACE: HotRead[tuple[int, int]] = HotRead(
    update(_table)
    .where(_table.c.account_id == bindparam("account"), _table.c.mailbox_id == bindparam("mailbox"))
    .values(
        uidnext=_table.c.uidnext + bindparam("count"),
        exists_count=_table.c.exists_count + bindparam("count"),
        unseen_count=_table.c.unseen_count + bindparam("unseen"),
        deleted_count=_table.c.deleted_count + bindparam("deleted"),
        unadopted_count=_table.c.unadopted_count + bindparam("unadopted"),
        padded_bytes=_table.c.padded_bytes + bindparam("padded"),
        highestmodseq=bindparam("modseq"),
    )
    .returning(_table.c.uidnext, _table.c.exists_count),
    lambda *row: row,
)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a batch of new items adds to a mailbox's counters."""

    count: int
    unseen: int
    deleted: int
    unadopted: int
    padded_bytes: int


def place(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, modseq: int, arrivals: Arrivals
) -> int:
    """Take ``arrivals.count`` UIDs; returns the first. Raises NotFound when the mailbox is gone.

    Refuses nothing: mail that arrives has no quota. Each ten thousand past ``LARGE_MAILBOX`` is a line in the log.
    """
    parameters = {
        "account": account_id,
        "mailbox": mailbox_id,
        "modseq": modseq,
        "count": arrivals.count,
        "unseen": arrivals.unseen,
        "deleted": arrivals.deleted,
        "unadopted": arrivals.unadopted,
        "padded": arrivals.padded_bytes,
    }
    found = _PLACE.first(connection, parameters)
    if found is None:
        raise NotFound("mailbox")
    uidnext, exists = found
    before = exists - arrivals.count
    if exists >= LARGE_MAILBOX and exists // _GROWTH_TOLD > before // _GROWTH_TOLD:
        logger.warning("a mailbox is large", extra={"account": account_id.hex(), "messages": exists})
    return uidnext - arrivals.count


_SUMS: HotRead[tuple[int | None, int | None]] = HotRead(
    select(func.sum(_table.c.exists_count), func.sum(_table.c.padded_bytes)).where(
        _table.c.account_id == bindparam("account")
    ),
    lambda *row: row,
)


def sum_counters(connection: Connection, account_id: AccountId) -> tuple[int, int]:
    """(messages, padded octets) of an account, from the kept counters."""
    messages, padded = _SUMS.all(connection, {"account": account_id})[0]
    return int(messages or 0), int(padded or 0)


def claim_recent(connection: Connection, account_id: AccountId, mailbox_id: MailboxId) -> None:
    r"""The selecting session takes \Recent: later sessions see none of the present messages as recent."""
    query = update(_table).where(
        _table.c.account_id == account_id,
        _table.c.mailbox_id == mailbox_id,
        _table.c.first_recent_uid != _table.c.uidnext,
    )
    connection.execute(query.values(first_recent_uid=_table.c.uidnext))
