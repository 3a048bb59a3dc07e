"""Contacts keep the order of commits, not of seconds, and a row cannot be moved in it."""

import pytest
from sqlalchemy import update
from store.store_rows import NOW, numbered_id, read, write

from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId
from mailserver.store import schema, space_rows
from mailserver.store.space_rows import SealedRecord
from mailserver.store.store import Store

ME, OTHER = AccountId(b"\x01" * 16), AccountId(b"\x02" * 16)


def test_the_same_second_keeps_the_order_of_commits(store: Store) -> None:
    ids = sorted((numbered_id() for _ in range(6)), reverse=True)
    rows = [SealedRecord(each, NOW, b"record") for each in ids]
    for rank, row in enumerate(rows):
        write(store, lambda c, r=row, n=rank: store.space.add_contact(c, ME, r, n))
    assert read(store, lambda c: store.space.list_contacts(c, ME)) == rows


def test_a_moved_contact_is_refused(store: Store) -> None:
    write(store, lambda c: store.space.add_contact(c, ME, SealedRecord(numbered_id(), NOW, b"r"), 4))
    write(store, lambda c: c.execute(update(schema.contact).values(sequence=5)).rowcount)
    with pytest.raises(Corrupt) as refused:
        read(store, lambda c: store.space.list_contacts(c, ME))
    assert refused.value.code == "row-mac"


def test_a_mark_copied_to_another_account_folds_nothing(store: Store) -> None:
    mark = b"\x05" * 32
    write(store, lambda c: space_rows.add_delivery(c, ME, mark, NOW))
    write(store, lambda c: c.execute(update(schema.delivery).values(account_id=OTHER)).rowcount)
    for account_id in (ME, OTHER):
        assert not read(store, lambda c, a=account_id: space_rows.has_delivery(c, a, mark))


def test_a_turn_is_claimed_once_in_its_time(store: Store) -> None:
    mark = b"\x06" * 32
    claim = lambda at, who=ME: write(store, lambda c: space_rows.claim_turn(c, who, mark, at, seconds=60))
    assert [claim(NOW), claim(NOW), claim(NOW + 59), claim(NOW + 60), claim(NOW + 61)] == [
        True, False, False, True, False,
    ]  # fmt: skip
    assert claim(NOW, OTHER)
