"""Messages that their owner puts into a mailbox: sealed at their UIDs, all in one Unit or none (K14, R1)."""

from collections.abc import Sequence
from dataclasses import dataclass

from mailserver.crypto.secret import random_id
from mailserver.model.errors import NotFound
from mailserver.model.ids import BlobId, EmailId, ItemId, MailboxId
from mailserver.service.box_log import AddEntries
from mailserver.service.keys import OpenAccount
from mailserver.service.sealing import Place, PlaceStamp, SealedBlob
from mailserver.service.transfers import arrivals_of, delete_files
from mailserver.store import item_changes, items, mailboxes
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that only lacks its place: octets sealed under a data key, with what is said of them."""

    blob: SealedBlob
    summary: bytes
    flags: int
    received_at: int


@dataclass(frozen=True, slots=True)
class Placed:
    """Where messages lie: at ``count`` UIDs from ``uid`` on."""

    uidvalidity: int
    uid: int
    modseq: int
    count: int = 1

    @property
    def uids(self) -> Sequence[int]:
        return range(self.uid, self.uid + self.count)


@dataclass(frozen=True, slots=True)
class Leaving:
    """The message that gives way to the new one (RFC 8508 §3.4)."""

    mailbox_id: MailboxId
    uid: int
    add_entries: AddEntries | None = None
    """What the log says of it, in the same Unit."""


def place_messages(
    store: Store,
    account: OpenAccount,
    mailbox_id: MailboxId,
    messages: Sequence[NewMessage],
    now: int,
    leaving: Leaving | None = None,
) -> Placed:
    """Place every message, in order, and take away what leaves. Raises NotFound("mailbox"), NotFound("message")."""
    keys = account.mail_keys()
    ids = [(ItemId(random_id()), EmailId(random_id())) for _new_message in messages]

    def run(connection: Connection) -> tuple[Placed, list[BlobId]]:
        modseq = mailboxes.next_modseq(connection, account.account_id)
        arrivals = arrivals_of([(message.flags, message.blob.padded_bytes) for message in messages])
        first = mailboxes.place(connection, account.account_id, mailbox_id, modseq, arrivals)
        rows = []
        for uid, (message, (item_id, email_id)) in enumerate(zip(messages, ids, strict=True), first):
            place = Place(account.account_id, mailbox_id, uid, item_id)
            stamp = PlaceStamp(message.flags, modseq, message.received_at, now)
            rows.append(keys.seal_item(place, message.blob, message.summary, stamp, email_id))
            items.add_blob(connection, account.account_id, message.blob.row)
        items.add_items(connection, rows)
        orphans = [] if leaving is None else _expunge(connection, account, leaving, modseq)
        row = mailboxes.load_mailbox(connection, account.account_id, mailbox_id)
        return Placed(row.uidvalidity, first, modseq, len(messages)), orphans

    unit = Unit(account.account_id, run, shreds=leaving is not None)
    placed, orphans = store.writer.commit(unit)
    delete_files(store, orphans)
    return placed


def _expunge(connection: Connection, account: OpenAccount, leaving: Leaving, modseq: int) -> list[BlobId]:
    place = (account.account_id, leaving.mailbox_id)
    gone = item_changes.expunge(connection, place, [(leaving.uid, leaving.uid)], modseq)
    if not gone.uids:
        raise NotFound("message")
    if leaving.add_entries is not None:
        leaving.add_entries(connection, gone.uids)
    return gone.orphans
