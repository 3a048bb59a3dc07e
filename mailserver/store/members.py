"""Members of shared boxes (K11): which person holds which slot of a box, and their sealed rights there.

The row decides who may read, so it carries a row MAC (K23), checked on the way out. What is not here is not allowed:
a row that somebody deletes takes rights away and gives none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from mailserver.model.errors import NotFound
from mailserver.model.ids import AccountId, SlotId
from mailserver.store import schema
from mailserver.store.row_macs import RowMacs

_table = schema.member


@dataclass(frozen=True, slots=True)
class MemberRow:
    """``account_id`` is the box. ``log_slot_id``: the slot of the box's space root, for who is responsible."""

    account_id: AccountId
    person_id: AccountId
    slot_id: SlotId
    log_slot_id: SlotId | None
    created_at: int
    rights: bytes
    choices: bytes | None

    def mac_fields(self) -> tuple[bytes | int | None, ...]:
        """Every column but the MAC, in the order of the table."""
        return (
            self.account_id,
            self.person_id,
            self.slot_id,
            self.log_slot_id,
            self.created_at,
            self.rights,
            self.choices,
        )


_COLUMNS = tuple(column.name for column in _table.c if column.name != "row_mac")


class MemberStore:
    """Reads and writes member rows. Writes run in a Unit of the box."""

    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def add_member(self, connection: Connection, row: MemberRow) -> None:
        """Raises Conflict("constraint") when the person is a member already."""
        connection.execute(insert(_table), [self._values(row)])

    def mark_member(self, connection: Connection, row: MemberRow) -> None:
        """Write a changed row (rights, choices) with its new MAC."""
        here = self._here(row.account_id, row.person_id)
        connection.execute(update(_table).where(here).values(**self._values(row)))

    def delete_member(self, connection: Connection, account_id: AccountId, person_id: AccountId) -> None:
        connection.execute(delete(_table).where(self._here(account_id, person_id)))

    def load_member(self, connection: Connection, account_id: AccountId, person_id: AccountId) -> MemberRow:
        """Raises NotFound("member"), Corrupt("row-mac")."""
        found = connection.execute(select(_table).where(self._here(account_id, person_id))).first()
        if found is None:
            raise NotFound("member")
        return self._member(found)

    def list_members(self, connection: Connection, account_id: AccountId) -> list[MemberRow]:
        """Who works in a box, always in the same order."""
        query = select(_table).where(_table.c.account_id == account_id)
        return self._list(connection.execute(query.order_by(_table.c.created_at, _table.c.person_id)).all())

    def list_boxes(self, connection: Connection, person_id: AccountId) -> list[MemberRow]:
        """The boxes that a person works in."""
        query = select(_table).where(_table.c.person_id == person_id)
        return self._list(connection.execute(query.order_by(_table.c.account_id)).all())

    def _list(self, rows: Sequence[Row[tuple[object, ...]]]) -> list[MemberRow]:
        return [self._member(found) for found in rows]

    def _member(self, found: Row[tuple[object, ...]]) -> MemberRow:
        values = found._mapping  # noqa: SLF001 # SQLAlchemy's public name for a row's mapping
        row = MemberRow(
            AccountId(bytes(values["account_id"])),
            AccountId(bytes(values["person_id"])),
            SlotId(bytes(values["slot_id"])),
            None if values["log_slot_id"] is None else SlotId(bytes(values["log_slot_id"])),
            values["created_at"],
            bytes(values["rights"]),
            None if values["choices"] is None else bytes(values["choices"]),
        )
        self._macs.check("member", row.mac_fields(), values["row_mac"])
        return row

    def _values(self, row: MemberRow) -> dict[str, bytes | int | None]:
        values = dict(zip(_COLUMNS, row.mac_fields(), strict=True))
        return values | {"row_mac": self._macs.sign("member", row.mac_fields())}

    @staticmethod
    def _here(account_id: AccountId, person_id: AccountId) -> ColumnElement[bool]:
        return (_table.c.account_id == account_id) & (_table.c.person_id == person_id)
