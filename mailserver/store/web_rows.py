"""Rows of the web: sessions (the keys inside are wrapped under the cookie's secret) and one-time codes."""

from dataclasses import dataclass, replace

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
    """A one-time code: only an HMAC of it is kept. For an application, ``sent_at`` is the last step used, and
    ``verifier`` the number of wrong codes since.
    """

    account_id: AccountId
    purpose: str
    verifier: bytes
    tries_left: int
    expires_at: int
    sent_at: int
    sent_in_hour: int
    hour_started_at: int

    def mac_fields(self) -> tuple[bytes | int | str, ...]:
        """Every column but the MAC, in the order of the table."""
        return (
            self.account_id,
            self.purpose,
            self.verifier,
            self.tries_left,
            self.expires_at,
            self.sent_at,
            self.sent_in_hour,
            self.hour_started_at,
        )


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

    def find_code(self, connection: Connection, account_id: AccountId, purpose: str) -> CodeRow | None:
        """The code, or None. Raises Corrupt("row-mac")."""
        table = schema.code
        query = select(table).where(table.c.account_id == account_id, table.c.purpose == purpose)
        found = connection.execute(query).first()
        if found is None:
            return None
        *fields, mac = found
        row = CodeRow(*fields)
        self._macs.check("code", row.mac_fields(), mac)
        return row

    def mark_code(self, connection: Connection, row: CodeRow) -> None:
        """Write the code in place of the previous one."""
        delete_code(connection, row.account_id, row.purpose)
        values = {name: getattr(row, name) for name in row.__slots__}
        values["row_mac"] = self._macs.sign("code", row.mac_fields())
        connection.execute(insert(schema.code), [values])

    def take_try(
        self, connection: Connection, account_id: AccountId, purpose: str, now: int
    ) -> CodeRow | None:
        """Use one of the code's tries; None when it is spent or over. Raises Corrupt("row-mac").

        Atomic under parallel replays (S10): of two that read the same row, one writes and the other is refused.
        """
        row = self.find_code(connection, account_id, purpose)
        if row is None or row.tries_left <= 0 or row.expires_at <= now:
            return None
        left = replace(row, tries_left=row.tries_left - 1)
        return left if self._replace_code(connection, row, left) else None

    def mark_code_used(self, connection: Connection, account_id: AccountId, purpose: str) -> None:
        """Single use: no try is left, while the hour's send count stays."""
        row = self.find_code(connection, account_id, purpose)
        if row is not None:
            self._replace_code(connection, row, replace(row, tries_left=0))

    def _replace_code(self, connection: Connection, old: CodeRow, new: CodeRow) -> bool:
        table = schema.code
        changed = connection.execute(
            update(table)
            .where(
                table.c.account_id == old.account_id,
                table.c.purpose == old.purpose,
                table.c.tries_left == old.tries_left,
                table.c.verifier == old.verifier,
            )
            .values(tries_left=new.tries_left, row_mac=self._macs.sign("code", new.mac_fields()))
        )
        return changed.rowcount == 1


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


def delete_code(connection: Connection, account_id: AccountId, purpose: str) -> None:
    table = schema.code
    connection.execute(delete(table).where(table.c.account_id == account_id, table.c.purpose == purpose))
