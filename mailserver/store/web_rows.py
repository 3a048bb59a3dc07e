"""Rows of the web: sessions (the keys inside are wrapped under the cookie's secret) and one-time codes."""

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from mailserver.model.ids import AccountId, SessionId
from mailserver.store import schema
from mailserver.store.row_macs import RowMacs


@dataclass(frozen=True, slots=True)
class SessionRow:
    account_id: AccountId
    session_id: SessionId
    created_at: int
    seen_at: int
    expires_at: int
    hour: int
    factor: str
    keys: bytes

    def mac_fields(self) -> tuple[bytes | int | str, ...]:
        """``seen_at`` moves at each request and is left out."""
        return (
            self.account_id,
            self.session_id,
            self.created_at,
            self.expires_at,
            self.hour,
            self.factor,
            self.keys,
        )


@dataclass(frozen=True, slots=True)
class CodeRow:
    """A one-time code: only an HMAC of it is kept."""

    account_id: AccountId
    purpose: str
    verifier: bytes
    tries_left: int
    expires_at: int
    sent_at: int
    sent_in_hour: int
    hour_started_at: int


class WebStore:
    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def add_session(self, connection: Connection, row: SessionRow) -> None:
        values = {name: getattr(row, name) for name in row.__slots__}
        values["row_mac"] = self._macs.sign("session", row.mac_fields())
        connection.execute(insert(schema.session), [values])

    def find_session(
        self, connection: Connection, account_id: AccountId, session_id: SessionId
    ) -> SessionRow | None:
        """The session, or None. Raises Corrupt("row-mac")."""
        table = schema.session
        query = select(table).where(table.c.account_id == account_id, table.c.session_id == session_id)
        found = connection.execute(query).first()
        if found is None:
            return None
        row = SessionRow(
            account_id,
            session_id,
            found.created_at,
            found.seen_at,
            found.expires_at,
            found.hour,
            found.factor,
            bytes(found.keys),
        )
        self._macs.check("session", row.mac_fields(), found.row_mac)
        return row


def mark_seen(connection: Connection, account_id: AccountId, session_id: SessionId, now: int) -> None:
    table = schema.session
    here = (table.c.account_id == account_id, table.c.session_id == session_id)
    connection.execute(update(table).where(*here).values(seen_at=now))


def delete_session(connection: Connection, account_id: AccountId, session_id: SessionId) -> None:
    table = schema.session
    connection.execute(
        delete(table).where(table.c.account_id == account_id, table.c.session_id == session_id)
    )


def delete_sessions(connection: Connection, account_id: AccountId) -> None:
    connection.execute(delete(schema.session).where(schema.session.c.account_id == account_id))


def find_code(connection: Connection, account_id: AccountId, purpose: str) -> CodeRow | None:
    table = schema.code
    query = select(table).where(table.c.account_id == account_id, table.c.purpose == purpose)
    found = connection.execute(query).first()
    return None if found is None else CodeRow(*found)


def mark_code(connection: Connection, row: CodeRow) -> None:
    """Write the code in place of the previous one."""
    delete_code(connection, row.account_id, row.purpose)
    connection.execute(insert(schema.code), [{name: getattr(row, name) for name in row.__slots__}])


def take_try(connection: Connection, account_id: AccountId, purpose: str, now: int) -> CodeRow | None:
    """Use one of the code's tries; None when it is spent or over. Atomic under parallel replays (S10)."""
    table = schema.code
    taken = connection.execute(
        update(table)
        .where(
            table.c.account_id == account_id,
            table.c.purpose == purpose,
            table.c.tries_left > 0,
            table.c.expires_at > now,
        )
        .values(tries_left=table.c.tries_left - 1)
    )
    return find_code(connection, account_id, purpose) if taken.rowcount else None


def delete_code(connection: Connection, account_id: AccountId, purpose: str) -> None:
    table = schema.code
    connection.execute(delete(table).where(table.c.account_id == account_id, table.c.purpose == purpose))


def mark_code_used(connection: Connection, account_id: AccountId, purpose: str) -> None:
    """Single use: no try is left, while the hour's send count stays."""
    table = schema.code
    here = (table.c.account_id == account_id, table.c.purpose == purpose)
    connection.execute(update(table).where(*here).values(tries_left=0))
