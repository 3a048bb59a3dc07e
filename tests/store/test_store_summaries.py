"""The narrow statement of searches reads what the wide one reads, whatever UIDs it is asked for."""

import pytest
from store.store_rows import add_account, add_mailbox, place_item, read, write

from mailserver.model.account import Role
from mailserver.store import items
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.store import Store
from mailserver.store.summary_rows import SummaryRow, list_summary_rows


@pytest.fixture
def box(store: Store) -> MailboxRow:
    account = add_account(store)
    box, other = add_mailbox(store, account.account_id), add_mailbox(store, account.account_id, Role.TRASH)

    def fill(connection: object) -> None:
        for number in range(20):
            place_item(connection, box, adopted=bool(number % 3))
            place_item(connection, other)

    write(store, fill)
    return box


@pytest.mark.parametrize(
    "uids",
    [[], [7], [1, 20], [2, 3, 4], [1, 3, 5, 7], [5, 6, 19], [19, 20, 21, 40], [99], list(range(1, 21))],
)
def test_summary_rows(store: Store, box: MailboxRow, uids: list[int]) -> None:
    place = (box.account_id, box.mailbox_id)
    found = read(store, lambda c: list_summary_rows(c, *place, uids))
    whole = read(store, lambda c: items.list_items(c, *place, [(uid, uid) for uid in uids]))
    assert found == [SummaryRow(*(getattr(row, name) for name in SummaryRow._fields)) for row in whole]
