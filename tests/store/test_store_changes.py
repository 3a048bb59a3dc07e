"""What changed since a mod-sequence: exact, however few ranges are kept and however much they cover."""

import random

import pytest
from alembic import command
from sqlalchemy import func, select
from store.store_rows import add_account, add_mailbox, place_item, read, write

from mailserver.model.account import Flag
from mailserver.store import changes, item_changes, mailboxes, schema
from mailserver.store.item_changes import FlagChange
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.migrations import configuration, upgrade
from mailserver.store.store import Store

MESSAGES = 300


@pytest.fixture
def box(store: Store) -> MailboxRow:
    box = add_mailbox(store, add_account(store).account_id)

    def fill(connection) -> None:
        for _ in range(MESSAGES):
            place_item(connection, box)

    write(store, fill)
    return box


def flag(store: Store, box: MailboxRow, uids: list[int], mode: FlagChange = FlagChange.ADD) -> int:
    """The mod-sequence of a STORE of these messages."""

    def run(connection) -> int:
        modseq = mailboxes.next_modseq(connection, box.account_id)
        place, change = (box.account_id, box.mailbox_id), (mode, int(Flag.FLAGGED))
        item_changes.mark_flags(connection, place, [(uid, uid) for uid in uids], change, modseq)
        return modseq

    return write(store, run)


def changed_since(store: Store, box: MailboxRow, modseq: int) -> list[int]:
    rows, _gone = read(store, lambda c: changes.list_changes(c, box.account_id, box.mailbox_id, modseq))
    return [uid for uid, _flags, _modseq in rows]


def count_ranges(store: Store) -> int:
    return read(store, lambda c: c.execute(select(func.count()).select_from(schema.changed_range)).scalar())


def test_scattered_messages_take_few_ranges(store: Store, box: MailboxRow) -> None:
    scattered = list(range(1, MESSAGES, 2))
    first = flag(store, box, scattered)
    second = flag(store, box, [4, 5, 9])
    assert changed_since(store, box, first - 1) == sorted({*scattered, 4})
    assert changed_since(store, box, first) == [4]  # 5 and 9 had the flag
    assert changed_since(store, box, second) == []
    assert count_ranges(store) <= changes.RANGES_PER_CHANGE + 1


def test_old_ranges_are_thinned_out(store: Store, box: MailboxRow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "RANGES_KEPT", 3)
    draw, last_change = random.Random(7), dict.fromkeys(range(1, MESSAGES + 1), 0)
    started = flag(store, box, [MESSAGES])
    last_change[MESSAGES] = started
    for _ in range(20):
        uid = draw.randrange(1, 9)
        modseq = flag(store, box, [uid])
        if not changed_since(store, box, modseq - 1):
            modseq = flag(store, box, [uid], FlagChange.REMOVE)
        last_change[uid] = modseq
        for since in range(started - 1, modseq + 1):
            expected = [uid for uid, at in last_change.items() if at > since]
            assert changed_since(store, box, since) == expected
        assert count_ranges(store) <= 2 * 3


def test_what_changed_before_the_upgrade_is_told(store: Store, box: MailboxRow) -> None:
    modseq = flag(store, box, [7, 8])
    with store.database.write() as connection:
        command.downgrade(configuration(connection), "0007")
    upgrade(store.database)
    assert changed_since(store, box, modseq - 1) == [7, 8]
    later = flag(store, box, [20])
    assert changed_since(store, box, modseq - 1) == [7, 8, 20]
    assert changed_since(store, box, later - 1) == [20]
