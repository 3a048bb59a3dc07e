"""Absences and whom they were told to. An absence speaks in its holder's name, so its row carries a MAC (K23).

Of whoever was told only a mark is kept, which nobody without the row key can make or join to another account's, until
the absence is over.
"""

import hmac
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from mailserver.model.ids import AbsenceId, AccountId
from mailserver.store import schema
from mailserver.store.hot_statements import HotRead
from mailserver.store.news import News, add_news
from mailserver.store.row_macs import RowMacs

DAY_SECONDS = 86400
_table = schema.absence
_told = schema.absence_reply


@dataclass(frozen=True, slots=True)
class AbsenceRow:
    """One account's absence. ``ends_at``: the first second after it; ``record`` is sealed under a service key."""

    account_id: AccountId
    absence_id: AbsenceId
    ends_at: int
    record: bytes

    def mac_fields(self) -> tuple[bytes | int, ...]:
        """Every column but the MAC, in the order of the table."""
        return (self.account_id, self.absence_id, self.ends_at, self.record)


# Every delivery asks for it, and nearly every answer is that there is none.
_FIND = HotRead(
    select(_table.c.absence_id, _table.c.ends_at, _table.c.record, _table.c.row_mac).where(
        _table.c.account_id == bindparam("account")
    ),
    lambda *values: values,
)


class AbsenceStore:
    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def find_absence(self, connection: Connection, account_id: AccountId) -> AbsenceRow | None:
        """Past ones too, until they are swept. Raises Corrupt("row-mac")."""
        found = _FIND.first(connection, {"account": account_id})
        if found is None:
            return None
        absence_id, ends_at, record, mac = found
        row = AbsenceRow(account_id, AbsenceId(bytes(absence_id)), ends_at, bytes(record))
        self._macs.check("absence", row.mac_fields(), mac)
        return row

    def replace_absence(self, connection: Connection, row: AbsenceRow) -> None:
        """The account's one absence from now on."""
        delete_absence(connection, row.account_id)
        values = {
            "account_id": row.account_id,
            "absence_id": row.absence_id,
            "ends_at": row.ends_at,
            "record": row.record,
            "row_mac": self._macs.sign("absence", row.mac_fields()),
        }
        connection.execute(insert(_table), [values])


def delete_absence(connection: Connection, account_id: AccountId) -> None:
    add_news(connection, News.RECIPIENTS)
    connection.execute(delete(_table).where(_table.c.account_id == account_id))


@dataclass(frozen=True, slots=True)
class ReplyMark:
    """That one correspondent was told of one absence, at ``replied_at``; forgotten after ``expires_at``."""

    mark: bytes
    replied_at: int
    expires_at: int


def has_reply(connection: Connection, account_id: AccountId, mark: bytes) -> bool:
    stored = _bound(account_id, mark)
    query = select(_told.c.mark).where(_told.c.account_id == account_id, _told.c.mark == stored)
    return connection.execute(query).first() is not None


def claim_reply(connection: Connection, account_id: AccountId, reply: ReplyMark, *, most_a_day: int) -> bool:
    """True, and remembered, unless that correspondent was told before or the account's day has no room left."""
    if has_reply(connection, account_id, reply.mark):
        return False
    since = reply.replied_at - DAY_SECONDS
    today = select(func.count()).where(_told.c.account_id == account_id, _told.c.replied_at > since)
    if (connection.execute(today).scalar() or 0) >= most_a_day:
        return False
    values = {
        "account_id": account_id,
        "mark": _bound(account_id, reply.mark),
        "replied_at": reply.replied_at,
        "expires_at": reply.expires_at,
    }
    connection.execute(insert(_told), [values])
    return True


def _bound(account_id: AccountId, mark: bytes) -> bytes:
    """What is stored of a mark: two accounts that keep the same one have nothing in common."""
    return hmac.digest(mark, b"told" + account_id, "sha256")


def delete_over(connection: Connection, now: int) -> None:
    """Sweep absences that are over, and the marks of those that were told."""
    connection.execute(delete(_table).where(_table.c.ends_at <= now))
    connection.execute(delete(_told).where(_told.c.expires_at <= now))
