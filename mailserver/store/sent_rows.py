"""What each account sent: one sealed record a sending, found again by its Message-ID without the owner's key.

The index is an HMAC under the row key of account and Message-ID: who holds the database alone can neither test an id nor
see that two accounts know the same one.
"""

from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

from sqlalchemy import Connection, Row, and_, delete, or_, select

from mailserver.model.ids import AccountId
from mailserver.store import schema
from mailserver.store.hot_statements import HotInsert
from mailserver.store.row_macs import RowMacs

_sent = schema.sent
_ADD: HotInsert[dict[str, object]] = HotInsert(_sent, itemgetter)
SentPlace: TypeAlias = tuple[int, bytes]
"""Where a sending stands among its account's: when, and its id."""


@dataclass(frozen=True, slots=True)
class SentRow:
    """``record`` is sealed to the sender's space; ``message_mac`` is ``SentStore.index_of`` its Message-ID."""

    account_id: AccountId
    sent_id: bytes
    message_mac: bytes
    created_at: int
    record: bytes

    def mac_fields(self) -> tuple[bytes | int, ...]:
        """What the row MAC covers."""
        return (self.account_id, self.sent_id, self.message_mac, self.created_at, self.record)


class SentStore:
    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def index_of(self, account_id: AccountId, message_id: str) -> bytes:
        """Under what a Message-ID is found: by a notice that comes for it too, while its sender is away."""
        return self._macs.sign("sent-message", (account_id, message_id))

    def add_sent(self, connection: Connection, row: SentRow) -> None:
        values = {name: getattr(row, name) for name in row.__slots__}
        mac = self._macs.sign("sent", row.mac_fields())
        _ADD.run(connection, [values | {"row_mac": mac}])

    def list_sent(
        self, connection: Connection, account_id: AccountId, message_mac: bytes | None = None
    ) -> list[SentRow]:
        """Oldest first; ``message_mac``: those of one Message-ID. Raises Corrupt when one was altered."""
        query = select(_sent).where(_sent.c.account_id == account_id)
        if message_mac is not None:
            query = query.where(_sent.c.message_mac == message_mac)
        query = query.order_by(_sent.c.created_at, _sent.c.sent_id)
        return [self._row(found) for found in connection.execute(query).all()]

    def list_page(
        self,
        connection: Connection,
        account_id: AccountId,
        limit: int,
        before: SentPlace | None = None,
        message_mac: bytes | None = None,
    ) -> list[SentRow]:
        """Newest first, at most ``limit``; ``before``: those older than that one; ``message_mac``: those of one
        Message-ID. Raises Corrupt.
        """
        query = select(_sent).where(_sent.c.account_id == account_id)
        if message_mac is not None:
            query = query.where(_sent.c.message_mac == message_mac)
        if before is not None:
            at, sent_id = before
            is_elder = and_(_sent.c.created_at == at, _sent.c.sent_id < sent_id)
            query = query.where(or_(_sent.c.created_at < at, is_elder))
        query = query.order_by(_sent.c.created_at.desc(), _sent.c.sent_id.desc()).limit(limit)
        return [self._row(found) for found in connection.execute(query).all()]

    def find_sent(self, connection: Connection, account_id: AccountId, sent_id: bytes) -> SentRow | None:
        """One sending of this account. Raises Corrupt when it was altered."""
        query = select(_sent).where(_sent.c.account_id == account_id, _sent.c.sent_id == sent_id)
        found = connection.execute(query).first()
        return None if found is None else self._row(found)

    def _row(self, found: Row[tuple[object, ...]]) -> SentRow:
        values = found._mapping  # noqa: SLF001 # SQLAlchemy's public name for a row's mapping
        row = SentRow(
            AccountId(bytes(values["account_id"])),
            bytes(values["sent_id"]),
            bytes(values["message_mac"]),
            values["created_at"],
            bytes(values["record"]),
        )
        self._macs.check("sent", row.mac_fields(), values["row_mac"])
        return row


def delete_sent(connection: Connection, before: int) -> None:
    """Forget what was sent before ``before`` with all that is known of it, as the queue forgets its timelines."""
    known = schema.sent_recipient
    old = select(_sent.c.sent_id).where(_sent.c.created_at < before)
    connection.execute(delete(known).where(known.c.sent_id.in_(old)))
    connection.execute(delete(_sent).where(_sent.c.created_at < before))
