"""Accounts, addresses, identities, slots and counters."""

from dataclasses import replace

import pytest
from store.store_rows import NOW, account_row, add_account, read, slot_row, write

from mailserver.model.account import AccountKind, AccountState
from mailserver.model.errors import Conflict, NotFound
from mailserver.model.ids import AccountId, SlotId
from mailserver.store.store import Store

NOBODY = AccountId(b"\xee" * 16)


@pytest.mark.parametrize("kind", AccountKind)
@pytest.mark.parametrize("second_factor", [None, b"\x00sealed\xff"])
def test_account_comes_back_as_written(store: Store, kind: AccountKind, second_factor: bytes | None) -> None:
    row = add_account(store, kind=kind, second_factor=second_factor)
    found = read(store, lambda c: store.accounts.load_account(c, row.account_id))
    assert found == row
    assert {type(value) for value in (found.account_id, found.pseudonym, found.profile)} == {bytes}


def test_unknown_account(store: Store) -> None:
    with pytest.raises(NotFound) as refused:
        read(store, lambda c: store.accounts.load_account(c, NOBODY))
    assert refused.value.code == "account"


def test_an_id_is_given_once(store: Store) -> None:
    row = add_account(store)
    with pytest.raises(Conflict) as refused:
        write(store, lambda c: store.accounts.add_account(c, row))
    assert refused.value.code == "constraint"


def test_accounts_are_listed_oldest_first(store: Store) -> None:
    late, early = add_account(store, created_at=NOW + 9), add_account(store, created_at=NOW)
    assert read(store, lambda c: list(store.accounts.list_accounts(c))) == [early, late]


def test_replaced_account_keeps_its_mac(store: Store) -> None:
    row = add_account(store)
    changed = replace(row, state=AccountState.DISABLED, profile=b"other", second_factor=b"totp")
    write(store, lambda c: store.accounts.replace_account(c, changed))
    assert read(store, lambda c: store.accounts.load_account(c, row.account_id)) == changed


def test_address_belongs_to_one_account(store: Store) -> None:
    first, second = add_account(store), add_account(store)
    mac = store.macs.lookup("address", "camille@a.localhost")
    write(store, lambda c: store.accounts.add_address(c, first.account_id, mac, b"sealed"))
    assert read(store, lambda c: store.accounts.find_by_address(c, mac)) == first.account_id
    assert read(store, lambda c: store.accounts.find_by_address(c, bytes(32))) is None
    with pytest.raises(Conflict) as refused:
        write(store, lambda c: store.accounts.add_address(c, second.account_id, mac, b"sealed"))
    assert refused.value.code == "constraint"
    assert read(store, lambda c: store.accounts.list_addresses(c, second.account_id)) == []


def test_addresses_keep_their_order(store: Store) -> None:
    row = add_account(store)
    for rank in (3, 1, 2):
        write(
            store,
            lambda c, r=rank: store.accounts.add_address(c, row.account_id, bytes([r]) * 32, bytes([r])),
        )
    assert read(store, lambda c: store.accounts.list_addresses(c, row.account_id)) == [b"\1", b"\2", b"\3"]


def test_identity_belongs_to_one_account(store: Store) -> None:
    first, second = add_account(store), add_account(store)
    mac = store.macs.lookup("identity", "1.2.3|279035121518989")
    write(store, lambda c: store.accounts.add_identity(c, first.account_id, mac))
    assert read(store, lambda c: store.accounts.find_by_identity(c, mac)) == first.account_id
    assert read(store, lambda c: store.accounts.find_identity(c, first.account_id)) == mac
    assert read(store, lambda c: store.accounts.find_by_identity(c, bytes(32))) is None
    assert read(store, lambda c: store.accounts.find_identity(c, second.account_id)) is None
    with pytest.raises(Conflict):
        write(store, lambda c: store.accounts.add_identity(c, second.account_id, mac))


def test_slots_are_found_by_kind_and_tag(store: Store) -> None:
    account_id = add_account(store).account_id
    first = slot_row(account_id, tag_mac=b"\1" * 32, expires_at=NOW + 1)
    second = slot_row(account_id, tag_mac=b"\2" * 32, created_at=NOW + 1)
    other = slot_row(account_id, kind="password", tag_mac=None)
    for slot in (second, first, other):
        write(store, lambda c, s=slot: store.accounts.add_slot(c, s))
    find = store.accounts.find_slots
    assert read(store, lambda c: find(c, account_id, kind="app-password")) == [first, second]
    assert read(store, lambda c: find(c, account_id, kind="app-password", tag_mac=b"\2" * 32)) == [second]
    assert read(store, lambda c: find(c, account_id, kind="password")) == [other]
    assert read(store, lambda c: find(c, NOBODY, kind="password")) == []


def test_deleting_a_slot_moves_the_revocation_counter(store: Store) -> None:
    account_id, other = add_account(store).account_id, add_account(store).account_id
    slot = slot_row(account_id)
    write(store, lambda c: store.accounts.add_slot(c, slot))
    write(store, lambda c: store.accounts.delete_slot(c, account_id, slot.slot_id))
    assert read(store, lambda c: store.accounts.find_slots(c, account_id, kind=slot.kind)) == []
    counters = read(store, lambda c: store.accounts.list_revocations(c, [account_id, other, NOBODY]))
    assert counters == {account_id: 1, other: 0}
    write(store, lambda c: store.accounts.delete_slot(c, account_id, SlotId(bytes(16))))
    assert read(store, lambda c: store.accounts.list_revocations(c, [account_id])) == {account_id: 2}
    assert read(store, lambda c: store.accounts.list_revocations(c, [])) == {}


def test_a_failed_unit_leaves_nothing(store: Store) -> None:
    row = account_row()

    def run(connection: object) -> None:
        store.accounts.add_account(connection, row)  # type: ignore[arg-type]
        raise Conflict("second-thought")

    with pytest.raises(Conflict) as refused:
        write(store, run)
    assert refused.value.code == "second-thought"
    assert read(store, lambda c: list(store.accounts.list_accounts(c))) == []
