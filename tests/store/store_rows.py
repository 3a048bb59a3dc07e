"""Rows with invented content for the store's tests, and short ways to write and read."""

from collections.abc import Callable
from itertools import count
from typing import TypeVar

from sqlalchemy import Connection, func, select

from mailserver.crypto.secret import Secret, random_id
from mailserver.model.account import AccountKind, AccountState, Flag, Role
from mailserver.model.ids import AccountId, BlobId, EmailId, ItemId, JobId, MailboxId, SlotId
from mailserver.store import items, mailboxes, schema
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.items import BlobRow, NewItem
from mailserver.store.jobs import JobRow, JobState, Lane
from mailserver.store.mailboxes import Arrivals, MailboxRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

T = TypeVar("T")
ROW_KEY = Secret(bytes(range(32)))
NOW = 1_790_000_000
_numbers = count(1)


def numbered_id() -> bytes:
    """Ids in ascending order, so that a test reads in the order it writes."""
    return next(_numbers).to_bytes(16, "big")


def write(store: Store, run: Callable[[Connection], T], account_id: AccountId = AccountId(bytes(16))) -> T:
    return store.writer.commit(Unit(account_id, run))


def read(store: Store, run: Callable[[Connection], T]) -> T:
    with store.database.read() as connection:
        return run(connection)


def account_row(kind: AccountKind = AccountKind.PER, **more: object) -> AccountRow:
    values = {
        "account_id": AccountId(numbered_id()),
        "kind": kind,
        "state": AccountState.ACTIVE,
        "created_at": NOW,
        "epoch": 1,
        "pseudonym": random_id(),
        "mail_public": b"mail public",
        "space_public": b"space public",
        "signing_public": b"signing public",
        "profile": b"sealed profile",
        "second_factor": None,
    }
    return AccountRow(**values | more)  # type: ignore[arg-type]


def slot_row(account_id: AccountId, **more: object) -> SlotRow:
    values = {
        "account_id": account_id,
        "slot_id": SlotId(numbered_id()),
        "kind": "app-password",
        "scope": "imap",
        "tag_mac": bytes(32),
        "header": b"header",
        "body": b"body",
        "created_at": NOW,
        "expires_at": None,
    }
    return SlotRow(**values | more)  # type: ignore[arg-type]


def mailbox_row(account_id: AccountId, role: Role = Role.NONE, **more: object) -> MailboxRow:
    mailbox_id = MailboxId(numbered_id())
    return MailboxRow(account_id, mailbox_id, role, NOW, 1, 1, 0, 0, 0, 0, 1, 0, NOW, b"record", **more)  # type: ignore[arg-type]


def job_row(account_id: AccountId, **more: object) -> JobRow:
    values = {
        "job_id": JobId(numbered_id()),
        "account_id": account_id,
        "lane": Lane.RELAY,
        "state": JobState.WAITING,
        "next_hop": "b.localhost",
        "created_at": NOW,
        "next_try_at": NOW,
        "expires_at": NOW + 1000,
        "attempts": 0,
        "delay_noticed": False,
        "key_epoch": 7,
        "blob_id": None,
        "order": b"sealed order",
    }
    return JobRow(**values | more)  # type: ignore[arg-type]


def add_account(store: Store, **more: object) -> AccountRow:
    row = account_row(**more)  # type: ignore[arg-type]
    write(store, lambda connection: store.accounts.add_account(connection, row))
    return row


def add_mailbox(store: Store, account_id: AccountId, role: Role = Role.INBOX) -> MailboxRow:
    row = mailbox_row(account_id, role)
    write(store, lambda connection: mailboxes.add_mailbox(connection, row))
    return row


def place_item(
    connection: Connection,
    box: MailboxRow,
    *,
    flags: int = 0,
    blob: BlobRow | None = None,
    adopted: bool = False,
) -> NewItem:
    """One item as a delivery writes it: mod-sequence, UID and counters, item, seal, blob."""
    modseq = mailboxes.next_modseq(connection, box.account_id)
    arrivals = Arrivals(1, int(not flags & Flag.SEEN), int(bool(flags & Flag.DELETED)), int(not adopted), 100)
    uid = mailboxes.place(connection, box.account_id, box.mailbox_id, modseq, arrivals)
    blob = blob or BlobRow(BlobId(random_id()), 9, bytes(32), b"octets \x00\xff")
    new = new_item(box, uid, modseq, blob.blob_id, flags=flags, adopted=adopted)
    items.add_items(connection, [new])
    items.add_blob(connection, box.account_id, blob)
    return new


def new_item(
    box: MailboxRow, uid: int, modseq: int, blob_id: BlobId, *, flags: int = 0, adopted: bool = False
) -> NewItem:
    return NewItem(
        box.account_id,
        box.mailbox_id,
        uid,
        ItemId(random_id()),
        EmailId(random_id()),
        blob_id,
        int(flags),
        modseq,
        100,
        NOW,
        NOW + 1,
        adopted,
        b"wrap \x00\xff",
        bytes(32),
        b"summary",
        None if adopted else bytes(32),
    )


def row_count(connection: Connection, table: str) -> int:
    return connection.execute(select(func.count()).select_from(schema.metadata.tables[table])).scalar_one()
