"""Records of what was sent: one account's, in order, found by Message-ID, checked, forgotten."""

import pytest
from store.store_rows import NOW, numbered_id, read, write

from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId
from mailserver.store import schema, sent_rows
from mailserver.store.sent_rows import SentRow
from mailserver.store.store import Store

ME, OTHER = AccountId(b"\x01" * 16), AccountId(b"\x02" * 16)


def add(store: Store, account_id: AccountId, message_id: str, at: int = NOW) -> SentRow:
    row = SentRow(account_id, numbered_id(), store.sent.index_of(account_id, message_id), at, b"sealed")
    write(store, lambda c: store.sent.add_sent(c, row))
    return row


def test_found_by_account_and_message_id(store: Store) -> None:
    later, first, again = (
        add(store, ME, "<b@x>", NOW + 9),
        add(store, ME, "<a@x>"),
        add(store, ME, "<a@x>", NOW + 1),
    )
    other = add(store, OTHER, "<a@x>")
    assert read(store, lambda c: store.sent.list_sent(c, ME)) == [first, again, later]
    find = lambda account, text: read(
        store, lambda c: store.sent.list_sent(c, account, store.sent.index_of(account, text))
    )
    assert find(ME, "<a@x>") == [first, again]
    assert find(OTHER, "<a@x>") == [other]
    assert find(OTHER, "<b@x>") == []
    assert first.message_mac != other.message_mac


@pytest.mark.parametrize("change", [{"record": b"other"}, {"created_at": NOW + 1}, {"account_id": OTHER}])
def test_an_altered_row_is_corrupt(store: Store, change: dict[str, object]) -> None:
    add(store, ME, "<a@x>")
    write(store, lambda c: c.execute(schema.sent.update().values(change)))
    owner = OTHER if "account_id" in change else ME
    with pytest.raises(Corrupt, match="row-mac"):
        read(store, lambda c: store.sent.list_sent(c, owner))


def test_old_ones_are_forgotten(store: Store) -> None:
    add(store, ME, "<a@x>")
    kept = add(store, ME, "<b@x>", NOW + 1)
    write(store, lambda c: sent_rows.delete_sent(c, NOW + 1))
    assert read(store, lambda c: store.sent.list_sent(c, ME)) == [kept]


def test_pages_and_one_of_an_account(store: Store) -> None:
    rows = [add(store, ME, f"<{number}@x>", NOW + number // 2) for number in range(5)]
    other = add(store, OTHER, "<a@x>", NOW)
    newest_first = sorted(rows, key=lambda row: (row.created_at, row.sent_id), reverse=True)
    page = lambda limit, place=None: read(store, lambda c: store.sent.list_page(c, ME, limit, place))
    assert page(9) == newest_first
    first = page(2)
    assert first == newest_first[:2]
    assert page(2, (first[-1].created_at, first[-1].sent_id)) == newest_first[2:4]
    mac = store.sent.index_of(ME, "<2@x>")
    assert read(store, lambda c: store.sent.list_page(c, ME, 9, message_mac=mac)) == [rows[2]]
    find = lambda account, sent_id: read(store, lambda c: store.sent.find_sent(c, account, sent_id))
    assert find(ME, rows[3].sent_id) == rows[3]
    assert find(ME, other.sent_id) is None
    write(store, lambda c: c.execute(schema.sent.update().values(record=b"other")))
    for look in (lambda: page(1), lambda: find(ME, rows[0].sent_id)):
        with pytest.raises(Corrupt, match="row-mac"):
            look()
