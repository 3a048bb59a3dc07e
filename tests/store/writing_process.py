"""What the children of test_store_processes do: modules that a spawned process can import."""

from pathlib import Path

from store.store_rows import ROW_KEY, place_item

from mailserver.model.ids import AccountId, EntryId
from mailserver.store import log_rows, mailboxes
from mailserver.store.database import Connection, Database
from mailserver.store.feed import Feed
from mailserver.store.log_rows import LogHead, NewEntry
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.migrations import upgrade
from mailserver.store.store import Store, open_store
from mailserver.store.writer import Unit


def deliver_many(url: str, folder: str, boxes: list[MailboxRow], number: int) -> None:
    """``number`` deliveries to each box, all submitted at once; half of the Units touch the log head first."""
    store = open_store(url, Path(folder), ROW_KEY)
    futures = [
        store.writer.submit(Unit(box.account_id, _unit(store, box, log_first=bool(rank % 2))))
        for rank in range(number)
        for box in boxes
    ]
    for future in futures:
        future.result(60)
    store.close()


def _unit(store: Store, box: MailboxRow, *, log_first: bool) -> object:
    def log(connection: Connection) -> None:
        head = log_rows.load_head(connection, store.macs, box.account_id)
        entry = NewEntry(EntryId(bytes(16)), head.next_sequence, 0, b"leaf", b"sealed")
        log_rows.add_entries(
            connection, store.macs, box.account_id, [entry], LogHead(head.next_sequence + 1, bytes(32))
        )

    def run(connection: Connection) -> None:
        if log_first:
            log(connection)
        place_item(connection, mailboxes.load_mailbox(connection, box.account_id, box.mailbox_id))
        if not log_first:
            log(connection)

    return run


def upgrade_store(url: str) -> None:
    database = Database(url)
    upgrade(database)
    database.close()


def publish(folder: str, account_ids: list[bytes]) -> None:
    feed = Feed(Path(folder), "child")
    feed.publish(AccountId(each) for each in account_ids)
    feed.close()
