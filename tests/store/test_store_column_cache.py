"""The cache of columns, beside a second process that changes the same mailboxes: always what the store says."""

import random
from collections.abc import Callable

import pytest
from store.store_rows import add_account, add_mailbox, place_item, read, write

from mailserver.model.account import Flag
from mailserver.model.mailbox_columns import MailboxColumns
from mailserver.service import column_cache
from mailserver.service.column_cache import ColumnCache
from mailserver.store import item_changes, item_columns, mailboxes, schema
from mailserver.store.item_changes import FlagChange
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.store import Store

STEPS = 60


@pytest.fixture
def box(store: Store) -> MailboxRow:
    return add_mailbox(store, add_account(store).account_id)


def row_of(store: Store, box: MailboxRow) -> MailboxRow:
    return read(store, lambda c: mailboxes.load_mailbox(c, box.account_id, box.mailbox_id))


def cached(store: Store, cache: ColumnCache, box: MailboxRow) -> MailboxColumns:
    return read(store, lambda c: cache.load(c, mailboxes.load_mailbox(c, box.account_id, box.mailbox_id)))


def stored(store: Store, box: MailboxRow) -> MailboxColumns:
    return read(store, lambda c: item_columns.load_columns(c, box.account_id, box.mailbox_id))


def change(store: Store, box: MailboxRow, draw: random.Random) -> None:
    """A delivery, a STORE or an EXPUNGE of some messages."""
    place = (box.account_id, box.mailbox_id)
    uids = [uid for uid in stored(store, box).uids if draw.random() < 0.3]
    ranges = [(uid, uid) for uid in uids]

    def run(connection) -> None:
        match draw.randrange(3):
            case 0:
                for _ in range(draw.randrange(1, 4)):
                    place_item(connection, box)
            case 1 if ranges:
                modseq = mailboxes.next_modseq(connection, box.account_id)
                bits = draw.choice([Flag.SEEN, Flag.DELETED, 1 << 40])
                item_changes.mark_flags(connection, place, ranges, (FlagChange.ADD, int(bits)), modseq)
            case 2 if ranges:
                modseq = mailboxes.next_modseq(connection, box.account_id)
                item_changes.expunge(connection, place, ranges, modseq)

    write(store, run)


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_the_store_says(
    store: Store, open_another: Callable[..., Store], box: MailboxRow, seed: int
) -> None:
    draw, cache, other = random.Random(seed), ColumnCache(), open_another()
    for _ in range(STEPS):
        change(draw.choice([store, other]), box, draw)
        if draw.random() < 0.5:
            assert cached(store, cache, box) == stored(store, box)
    assert cached(store, cache, box) == stored(store, box)


def test_nothing_new_is_read_from_memory(
    store: Store, box: MailboxRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ColumnCache()
    write(store, lambda c: place_item(c, box))
    first = cached(store, cache, box)
    with monkeypatch.context() as nothing_read:
        nothing_read.delattr(column_cache.item_columns, "load_columns")
        nothing_read.delattr(column_cache.changes, "list_changes")
        assert cached(store, cache, box) is first
    write(store, lambda c: place_item(c, box))
    with monkeypatch.context() as changes_only:
        changes_only.delattr(column_cache.item_columns, "load_columns")
        assert list(cached(store, cache, box).uids) == [1, 2]
    assert list(first.uids) == [1]


def test_columns_of_another_moment_are_not_found(store: Store, box: MailboxRow) -> None:
    cache, empty = ColumnCache(), row_of(store, box)
    assert cache.find(empty) is None
    write(store, lambda c: place_item(c, box))
    first = cached(store, cache, box)
    assert cache.find(row_of(store, box)) is first
    assert cache.find(empty) is None
    write(store, lambda c: place_item(c, box))
    assert cache.find(row_of(store, box)) is None


def test_an_earlier_moment_is_read_and_not_kept(
    store: Store, open_another: Callable[..., Store], box: MailboxRow
) -> None:
    """A transaction that began before another thread brought the cache up to date."""
    cache = ColumnCache()
    write(store, lambda c: place_item(c, box))
    with store.database.read() as early:
        before = mailboxes.load_mailbox(early, box.account_id, box.mailbox_id)
        write(open_another(), lambda c: place_item(c, box))
        late = cached(store, cache, box)
        assert list(cache.load(early, before).uids) == [1]
    assert list(late.uids) == [1, 2]
    assert cached(store, cache, box) is late


def test_columns_that_do_not_add_up_are_read_again(store: Store, box: MailboxRow) -> None:
    """A tombstone that is missing would leave a message that is gone."""
    cache = ColumnCache()
    for _ in range(3):
        write(store, lambda c: place_item(c, box))
    assert len(cached(store, cache, box)) == 3

    def expunge(connection) -> None:
        modseq = mailboxes.next_modseq(connection, box.account_id)
        item_changes.expunge(connection, (box.account_id, box.mailbox_id), [(2, 2)], modseq)
        connection.execute(schema.tombstone.delete())

    write(store, expunge)
    assert list(cached(store, cache, box).uids) == [1, 3]


def test_what_was_not_looked_at_leaves_first(store: Store) -> None:
    account = add_account(store).account_id
    boxes = [add_mailbox(store, account) for _ in range(3)]
    for each in boxes:
        for _ in range(4):
            write(store, lambda c, each=each: place_item(c, each))
    cache = ColumnCache(most_messages=9)
    first, second = (cached(store, cache, each) for each in boxes[:2])
    assert cached(store, cache, boxes[0]) is first
    cached(store, cache, boxes[2])
    assert cached(store, cache, boxes[0]) is first
    assert cached(store, cache, boxes[1]) is not second
    tiny = ColumnCache(most_messages=3)
    assert cached(store, tiny, boxes[0]) == first
    assert cached(store, tiny, boxes[0]) is not cached(store, tiny, boxes[0])
