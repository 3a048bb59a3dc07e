"""Rows of accounts: public keys, addresses, insurance identities, slots and counters.

Every row here decides who may read or write, so each carries a row MAC (K23), checked on the way out.
Addresses and insurance numbers are looked up by HMAC; their text is sealed under a service key by the caller.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from mailserver.model.account import AccountKind, AccountState
from mailserver.model.errors import Corrupt, NotFound
from mailserver.model.ids import AccountId, SlotId
from mailserver.store import schema
from mailserver.store.hot_statements import HotRead
from mailserver.store.news import News, add_news
from mailserver.store.row_macs import RowMacs


@dataclass(frozen=True, slots=True)
class AccountRow:
    account_id: AccountId
    kind: AccountKind
    state: AccountState
    created_at: int
    epoch: int
    pseudonym: bytes
    mail_public: bytes
    space_public: bytes
    signing_public: bytes
    profile: bytes
    second_factor: bytes | None

    def mac_fields(self) -> tuple[bytes | int | str | None, ...]:
        """Every column but the MAC, in the order of the table."""
        return (
            self.account_id,
            self.kind.value,
            self.state.value,
            self.created_at,
            self.epoch,
            self.pseudonym,
            self.mail_public,
            self.space_public,
            self.signing_public,
            self.profile,
            self.second_factor,
        )


@dataclass(frozen=True, slots=True)
class SlotRow:
    account_id: AccountId
    slot_id: SlotId
    kind: str
    scope: str
    tag_mac: bytes | None
    header: bytes
    body: bytes
    created_at: int
    expires_at: int | None

    def mac_fields(self) -> tuple[bytes | int | str | None, ...]:
        """Every column but the MAC, in the order of the table."""
        return (
            self.account_id,
            self.slot_id,
            self.kind,
            self.scope,
            self.tag_mac,
            self.header,
            self.body,
            self.created_at,
            self.expires_at,
        )


def _account_of(*values: Any) -> tuple[AccountRow, bytes]:
    """A row of ``schema.account``, in the order of its columns: the last is its MAC."""
    account_id, kind, state, created_at, epoch, *octets, second_factor, mac = values
    pseudonym, mail, space, signing, profile = map(bytes, octets)
    row = AccountRow(
        AccountId(bytes(account_id)),
        AccountKind(kind),
        AccountState(state),
        created_at,
        epoch,
        pseudonym,
        mail,
        space,
        signing,
        profile,
        None if second_factor is None else bytes(second_factor),
    )
    return row, mac


def _columns(*values: Any) -> tuple[Any, ...]:
    return values


# What every delivery and login reads: built once, because building a statement costs more than running it.
_LOAD = HotRead(
    select(schema.account).where(schema.account.c.account_id == bindparam("account")), _account_of
)
_BY_ADDRESS = HotRead(
    select(schema.address.c.account_id, schema.address.c.address, schema.address.c.row_mac).where(
        schema.address.c.address_mac == bindparam("mac")
    ),
    _columns,
)
_ADDRESSES = (
    select(schema.address)
    .where(schema.address.c.account_id == bindparam("account"))
    .order_by(schema.address.c.address_mac)
)
_SLOTS = (
    select(schema.slot)
    .where(schema.slot.c.account_id == bindparam("account"), schema.slot.c.kind == bindparam("kind"))
    .order_by(schema.slot.c.created_at)
)
_SLOT = select(schema.slot).where(
    schema.slot.c.account_id == bindparam("account"), schema.slot.c.slot_id == bindparam("slot")
)
_SLOTS_BY_TAG = _SLOTS.where(schema.slot.c.tag_mac == bindparam("tag"))
_REVOCATIONS = select(schema.counter.c.account_id, schema.counter.c.revocation).where(
    schema.counter.c.account_id.in_(bindparam("accounts", expanding=True))
)


class AccountStore:
    """Reads and writes account rows; every row read is checked against its MAC before use."""

    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def add_account(self, connection: Connection, row: AccountRow) -> None:
        """Raises Conflict("constraint") when the id exists."""
        mac = self._macs.sign("account", row.mac_fields())
        connection.execute(insert(schema.account), [_account_values(row) | {"row_mac": mac}])
        connection.execute(
            insert(schema.counter), [{"account_id": row.account_id, "modseq": 1, "revocation": 0}]
        )

    def load_account(self, connection: Connection, account_id: AccountId) -> AccountRow:
        """Raises NotFound("account"), Corrupt("row-mac")."""
        found = _LOAD.first(connection, {"account": account_id})
        if found is None:
            raise NotFound("account")
        return self._checked(*found)

    def list_accounts(self, connection: Connection) -> Iterator[AccountRow]:
        for found in connection.execute(select(schema.account).order_by(schema.account.c.created_at)).all():
            yield self._checked(*_account_of(*found))

    def _checked(self, row: AccountRow, mac: bytes) -> AccountRow:
        self._macs.check("account", row.mac_fields(), mac)
        return row

    def replace_account(self, connection: Connection, row: AccountRow) -> None:
        """Write a changed row (state, profile, second factor) with its new MAC."""
        add_news(connection, News.RECIPIENTS)
        values = _account_values(row) | {"row_mac": self._macs.sign("account", row.mac_fields())}
        connection.execute(
            update(schema.account).where(schema.account.c.account_id == row.account_id).values(**values)
        )

    def add_address(
        self, connection: Connection, account_id: AccountId, address_mac: bytes, sealed: bytes
    ) -> None:
        """Raises Conflict("constraint") when the address is taken."""
        mac = self._macs.sign("address", (address_mac, account_id, sealed))
        values = {"address_mac": address_mac, "account_id": account_id, "address": sealed, "row_mac": mac}
        connection.execute(insert(schema.address), [values])

    def find_by_address(self, connection: Connection, address_mac: bytes) -> AccountId | None:
        """The account of a blind index of an address, or None."""
        found = _BY_ADDRESS.first(connection, {"mac": address_mac})
        if found is None:
            return None
        account_id, address, mac = found
        self._macs.check("address", (address_mac, account_id, address), mac)
        return AccountId(bytes(account_id))

    def list_addresses(self, connection: Connection, account_id: AccountId) -> list[bytes]:
        """The sealed addresses of an account, always in the same order."""
        rows = connection.execute(_ADDRESSES, {"account": account_id}).all()
        for row in rows:
            self._macs.check("address", (row.address_mac, row.account_id, row.address), row.row_mac)
        return [bytes(row.address) for row in rows]

    def add_identity(self, connection: Connection, account_id: AccountId, ins_mac: bytes) -> None:
        """Raises Conflict("constraint") when a space for this person exists."""
        mac = self._macs.sign("identity", (ins_mac, account_id))
        connection.execute(
            insert(schema.identity), [{"ins_mac": ins_mac, "account_id": account_id, "row_mac": mac}]
        )

    def find_by_identity(self, connection: Connection, ins_mac: bytes) -> AccountId | None:
        """The account of a blind index of an insurance identity, or None."""
        table = schema.identity
        found = connection.execute(select(table).where(table.c.ins_mac == ins_mac)).first()
        if found is None:
            return None
        self._macs.check("identity", (found.ins_mac, found.account_id), found.row_mac)
        return AccountId(bytes(found.account_id))

    def find_identity(self, connection: Connection, account_id: AccountId) -> bytes | None:
        """The INS MAC of a patient account."""
        table = schema.identity
        found = connection.execute(select(table).where(table.c.account_id == account_id)).first()
        if found is None:
            return None
        self._macs.check("identity", (found.ins_mac, found.account_id), found.row_mac)
        return bytes(found.ins_mac)

    def add_slot(self, connection: Connection, row: SlotRow) -> None:
        mac = self._macs.sign("slot", row.mac_fields())
        connection.execute(insert(schema.slot), [_slot_values(row) | {"row_mac": mac}])

    def delete_slot(self, connection: Connection, account_id: AccountId, slot_id: SlotId) -> None:
        """Shred a slot and end its connections: the revocation counter moves (K4)."""
        table = schema.slot
        connection.execute(delete(table).where(table.c.account_id == account_id, table.c.slot_id == slot_id))
        self.add_revocation(connection, account_id)

    def add_revocation(self, connection: Connection, account_id: AccountId) -> None:
        table = schema.counter
        connection.execute(
            update(table).where(table.c.account_id == account_id).values(revocation=table.c.revocation + 1)
        )

    def find_slots(
        self, connection: Connection, account_id: AccountId, *, kind: str, tag_mac: bytes | None = None
    ) -> list[SlotRow]:
        """Slots of one kind; with ``tag_mac`` only the app password whose public tag it is."""
        parameters = {"account": account_id, "kind": kind}
        if tag_mac is None:
            rows = connection.execute(_SLOTS, parameters).all()
        else:
            rows = connection.execute(_SLOTS_BY_TAG, {**parameters, "tag": tag_mac}).all()
        return [self._slot(found) for found in rows]

    def list_ended(self, connection: Connection, kind: str, before: int, limit: int) -> list[SlotRow]:
        """Slots of one kind that ended before a second, the oldest first. A row that was altered is passed over: whoever
        uses it, or ``pli check``, tells.
        """
        table = schema.slot
        ended = select(table).where(table.c.kind == kind, table.c.expires_at < before)
        found = connection.execute(ended.order_by(table.c.expires_at).limit(limit)).all()
        rows = []
        for each in found:
            with contextlib.suppress(Corrupt):
                rows.append(self._slot(each))
        return rows

    def load_slot(self, connection: Connection, account_id: AccountId, slot_id: SlotId) -> SlotRow:
        """Raises NotFound("slot"), Corrupt("row-mac")."""
        found = connection.execute(_SLOT, {"account": account_id, "slot": slot_id}).first()
        if found is None:
            raise NotFound("slot")
        return self._slot(found)

    def _slot(self, found: Row[tuple[object, ...]]) -> SlotRow:
        values = found._mapping  # noqa: SLF001 # as above
        row = SlotRow(
            AccountId(bytes(values["account_id"])),
            SlotId(bytes(values["slot_id"])),
            values["kind"],
            values["scope"],
            None if values["tag_mac"] is None else bytes(values["tag_mac"]),
            bytes(values["header"]),
            bytes(values["body"]),
            values["created_at"],
            values["expires_at"],
        )
        self._macs.check("slot", row.mac_fields(), values["row_mac"])
        return row

    def list_revocations(self, connection: Connection, account_ids: list[AccountId]) -> dict[AccountId, int]:
        """Revocation counters of connected accounts; each worker polls them every 500 ms."""
        rows = connection.execute(_REVOCATIONS, {"accounts": account_ids})
        return {AccountId(bytes(row.account_id)): row.revocation for row in rows}


def lock_accounts(connection: Connection, account_ids: Iterable[AccountId]) -> None:
    """Lock accounts in ascending order, before anything else of theirs: no deadlock between nodes (R8).

    For PostgreSQL; on SQLite a write transaction is alone.
    """
    table = schema.counter
    query = select(table.c.account_id).where(table.c.account_id.in_(sorted(account_ids)))
    connection.execute(query.order_by(table.c.account_id).with_for_update()).all()


_ACCOUNT_COLUMNS = tuple(column.name for column in schema.account.c if column.name != "row_mac")
_SLOT_COLUMNS = tuple(column.name for column in schema.slot.c if column.name != "row_mac")


def _account_values(row: AccountRow) -> dict[str, bytes | int | str | None]:
    return dict(zip(_ACCOUNT_COLUMNS, row.mac_fields(), strict=True))


def _slot_values(row: SlotRow) -> dict[str, bytes | int | str | None]:
    return dict(zip(_SLOT_COLUMNS, row.mac_fields(), strict=True))
