"""Hot reads give what SQLAlchemy's way gives, in the same transaction, and fail like any other read."""

import pytest
from sqlalchemy import bindparam, select
from store.store_rows import add_account, add_mailbox, place_item, read, write

from mailserver.model.errors import Unavailable
from mailserver.store import items, mailboxes, schema
from mailserver.store.hot_statements import HotRead
from mailserver.store.store import Store

_item = schema.item
QUERY = (
    select(_item.c.uid, _item.c.email_id, _item.c.is_adopted, _item.c.received_at)
    .where(_item.c.uid >= bindparam("first"), _item.c.account_id == bindparam("account"))
    .order_by(_item.c.uid)
)


def test_the_same_rows(store: Store) -> None:
    box = add_mailbox(store, add_account(store).account_id)
    for _ in range(4):
        write(store, lambda c: place_item(c, box))
    hot = HotRead(QUERY, lambda *row: row)
    for first in (1, 3, 9, 1):
        parameters = {"account": box.account_id, "first": first}
        expected = read(store, lambda c, p=parameters: [tuple(row) for row in c.execute(QUERY, p)])
        assert read(store, lambda c, p=parameters: hot.all(c, p)) == expected
    assert len(expected) == 4


def test_it_sees_its_own_transaction(store: Store) -> None:
    box = add_mailbox(store, add_account(store).account_id)
    place = (box.account_id, box.mailbox_id)

    def run(connection) -> int:
        place_item(connection, box)
        return mailboxes.load_mailbox(connection, *place).exists_count

    with store.database.read() as early:
        assert mailboxes.load_mailbox(early, *place).exists_count == 0
        assert write(store, run) == 1
        assert mailboxes.load_mailbox(early, *place).exists_count == 0
        assert items.list_items(early, *place, [(1, 9)]) == []
    assert [row.uid for row in read(store, lambda c: items.list_items(c, *place, [(1, 9)]))] == [1]


def test_a_store_that_fails_is_unavailable(store: Store) -> None:
    box = add_mailbox(store, add_account(store).account_id)
    write(store, schema.seal.drop)
    with pytest.raises(Unavailable):
        read(store, lambda c: items.list_items(c, box.account_id, box.mailbox_id, [(1, 9)]))
