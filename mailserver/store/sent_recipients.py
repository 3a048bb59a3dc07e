"""What is known of each recipient of a sent message, while its sender is away: the state that notices moved it to, what
is waited for and until when.

The recipient is an HMAC bound to the one sending: who holds the database sees neither an address nor that two messages
went to the same one. ``order`` names the people for the notice that nothing came; it is emptied once none can follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, select, update

from mailserver.model.address import Address
from mailserver.model.ids import AccountId, JobId
from mailserver.model.notice import Expectation, NoticeState
from mailserver.store import schema
from mailserver.store.hot_statements import HotInsert
from mailserver.store.row_macs import RowMacs

_table = schema.sent_recipient
_ADD: HotInsert[dict[str, Any]] = HotInsert(_table, itemgetter)

PlaceOfRow = tuple[AccountId, bytes, int]
"""A row's primary key."""


@dataclass(frozen=True, slots=True)
class SentRecipientRow:
    """One recipient of one sending. ``job_id`` is None for one of this operator; ``code`` is 900–906 with a failure, else
    0; ``due_at`` is None when no time runs; ``told_at``: when the sender was told that nothing had come.
    """

    account_id: AccountId
    sent_id: bytes
    position: int
    recipient_mac: bytes
    job_id: JobId | None
    state: NoticeState
    expected: Expectation
    code: int
    changed_at: int
    due_at: int | None
    told_at: int | None
    order: bytes

    def mac_fields(self) -> tuple[bytes | int | str | None, ...]:
        """What the row MAC covers: all of it."""
        return (
            self.account_id,
            self.sent_id,
            self.position,
            self.recipient_mac,
            self.job_id,
            self.state.value,
            self.expected.value,
            self.code,
            self.changed_at,
            self.due_at,
            self.told_at,
            self.order,
        )

    def ended(self) -> "SentRecipientRow":
        """Nobody is to be told of anything any more."""
        return replace(self, due_at=None, order=b"")


class SentRecipientStore:
    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def mac_of(self, account_id: AccountId, sent_id: bytes, recipient: Address) -> bytes:
        return self._macs.sign("sent-recipient-name", (account_id, sent_id, recipient.key))

    def add_recipients(self, connection: Connection, rows: Sequence[SentRecipientRow]) -> None:
        if rows:
            _ADD.run(connection, [self._values(row) for row in rows])

    def mark(self, connection: Connection, row: SentRecipientRow) -> None:
        """Write the row anew."""
        connection.execute(update(_table).where(*_place(row)).values(**self._values(row)))

    def list_recipients(
        self, connection: Connection, account_id: AccountId, sent_id: bytes | None = None
    ) -> list[SentRecipientRow]:
        """Those that are followed, of one sending or of all, in order. Raises Corrupt when one was altered."""
        query = select(_table).where(_table.c.account_id == account_id)
        if sent_id is not None:
            query = query.where(_table.c.sent_id == sent_id)
        query = query.order_by(_table.c.sent_id, _table.c.position)
        return [self._row(found) for found in connection.execute(query).all()]

    def find_by_job(self, connection: Connection, job_id: JobId) -> SentRecipientRow | None:
        """Raises Corrupt when the row was altered."""
        found = connection.execute(select(_table).where(_table.c.job_id == job_id)).first()
        return None if found is None else self._row(found)

    def is_unchanged(self, connection: Connection, row: SentRecipientRow) -> bool:
        """Whether nobody has written the row since it was read; it is locked until the Unit ends."""
        query = select(_table.c.row_mac).where(*_place(row)).with_for_update()
        found = connection.execute(query).scalar()
        return found is not None and self._macs.is_sound("sent_recipient", row.mac_fields(), found)

    def list_due(
        self, connection: Connection, now: int, limit: int
    ) -> tuple[list[SentRecipientRow], list[PlaceOfRow]]:
        """Whose time is over, those of one sending together; and the places of rows that were altered."""
        query = select(_table).where(_table.c.due_at <= now)
        query = query.order_by(_table.c.due_at, _table.c.account_id, _table.c.sent_id, _table.c.position)
        due: list[SentRecipientRow] = []
        altered: list[PlaceOfRow] = []
        for found in connection.execute(query.limit(limit)).all():
            if self._macs.is_sound("sent_recipient", tuple(found)[:-1], found.row_mac):
                due.append(self._row(found))
            else:
                altered.append((found.account_id, found.sent_id, found.position))
        return due, altered

    def _values(self, row: SentRecipientRow) -> dict[str, object]:
        values = {name: getattr(row, name) for name in row.__slots__}
        mac = self._macs.sign("sent_recipient", row.mac_fields())
        return values | {"state": row.state.value, "expected": row.expected.value, "row_mac": mac}

    def _row(self, found: Row[Any]) -> SentRecipientRow:
        fields: tuple[Any, ...] = tuple(found)[:-1]
        self._macs.check("sent_recipient", fields, found.row_mac)  # before any word of it is understood
        row = SentRecipientRow(*fields)
        return replace(row, state=NoticeState(row.state), expected=Expectation(row.expected))


def end_altered(connection: Connection, place: PlaceOfRow) -> None:
    """Let no time run for a row that was altered: it stays refused, and is not met at every round."""
    account_id, sent_id, position = place
    here = (_table.c.account_id == account_id, _table.c.sent_id == sent_id, _table.c.position == position)
    connection.execute(update(_table).where(*here).values(due_at=None))


def _place(row: SentRecipientRow) -> tuple[Any, ...]:
    return (
        _table.c.account_id == row.account_id,
        _table.c.sent_id == row.sent_id,
        _table.c.position == row.position,
    )
