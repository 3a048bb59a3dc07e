"""Fetching the files that large mail left here, with the code of its message; and the sender's own look at them.

An address that nothing is behind, a term that is over and a wrong code are one answer (K22). A download is in the
sender's log before its first byte leaves (L4): one entry a file, reader, network and day, since a download may be
resumed in many requests.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

from mailserver.audit.events import Actor, ActorKind, AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.audit.receipt import Purpose, ReadReceipt
from mailserver.crypto.blob import Decryptor
from mailserver.crypto.ctx import ctx
from mailserver.crypto.secret import Secret
from mailserver.mime.kept_files import KeptFile, KeptNote
from mailserver.model.errors import Corrupt, Denied, Malformed, NotFound
from mailserver.model.ids import BlobId, KeptId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.kept_files import (
    Found,
    data_key,
    last_day,
    open_contents,
    page_url,
    parse_code,
    parse_kept_id,
    record_context,
)
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.service.sealing import unpad_summary
from mailserver.store import items
from mailserver.store.database import Connection
from mailserver.store.kept_rows import KeptRow, delete_kept
from mailserver.store.read_receipts import commit_reading
from mailserver.store.space_rows import add_delivery, has_delivery
from mailserver.store.store import Store
from mailserver.store.writer import Unit

PIECE_BYTES = 256 * 1024
SOMEBODY = Actor(ActorKind.UNIDENTIFIED, "")
"""Who has the code and did not sign in."""


@dataclass(frozen=True, slots=True)
class OpenedKept:
    """Kept files that a code has opened, for one request: what they are, not yet their octets."""

    row: KeptRow
    found: tuple[Found, ...]
    secret: Secret

    def __repr__(self) -> str:
        return "OpenedKept(…)"

    @property
    def until(self) -> date:
        return last_day(self.row)

    @property
    def files(self) -> tuple[KeptFile, ...]:
        return tuple(each.file for each in self.found)

    def load_file(self, rank: int) -> KeptFile:
        """Raises NotFound("kept-file")."""
        if not 0 <= rank < len(self.found):
            raise NotFound("kept-file")
        return self.found[rank].file


@dataclass(frozen=True, slots=True)
class SentKept:
    """What a sender sees of the files of one message."""

    kept_id: KeptId
    subject: str
    files: tuple[tuple[str, int], ...]
    """Names and sizes."""
    sent_at: datetime
    until: date

    def __repr__(self) -> str:
        return "SentKept(…)"


class KeptFetching:
    """``url`` is where this server's pages are: what notes of ours name."""

    def __init__(self, store: Store, url: str) -> None:
        self._store = store
        self._url = url

    def find_kept_id(self, note: KeptNote) -> KeptId | None:
        """What a message's note names here; None when another operator keeps the files."""
        prefix = page_url(self._url, "")
        try:
            return parse_kept_id(note.url.removeprefix(prefix)) if note.url.startswith(prefix) else None
        except NotFound:
            return None

    def open_kept(self, kept_id: KeptId, code: str, now: datetime) -> OpenedKept:
        """What the code opens. Raises Denied("kept-code"): nothing there, nothing any more, or another code."""
        try:
            secret = parse_code(code)
        except Malformed:
            raise Denied("kept-code") from None
        with self._store.database.read() as connection:
            row = self._store.kept.find_kept(connection, kept_id)
        if row is None or row.expires_at <= now.timestamp():
            raise Denied("kept-code")
        try:
            return OpenedKept(row, open_contents(row, secret), secret)
        except Corrupt:
            raise Denied("kept-code") from None

    def fetch(
        self, opened: OpenedKept, rank: int, who: Actor, origin: Origin, now: datetime
    ) -> Callable[[int, int], Iterator[bytes]]:
        """Log the download, then give what reads the file: ``start`` and ``stop`` as a slice → its octets in pieces.

        Raises NotFound("kept-file"), Corrupt, and Unavailable when the log cannot be written.
        """
        receipt = self._log_fetch(opened, rank, (who, origin), now)
        return self._reader(opened, rank, receipt)

    def _log_fetch(
        self, opened: OpenedKept, rank: int, reader: tuple[Actor, Origin], now: datetime
    ) -> ReadReceipt:
        (who, origin), row, file = reader, opened.row, opened.load_file(rank)
        said = (row.kept_id.hex(), str(rank), who.kind.value, who.handle, origin.network, f"{now.date()}")
        fingerprint = self._store.macs.lookup("kept-fetch", "|".join(said))
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, row.account_id)
        what = AuditObject(ObjectKind.FILE, file.filename)
        entry = prepare_entry(account, AuditEvent(EventKind.FETCHED, now, who, what, origin))

        def run(connection: Connection) -> None:
            if not has_delivery(connection, row.account_id, fingerprint):
                add_delivery(connection, row.account_id, fingerprint, int(now.timestamp()))
                add_entries(connection, self._store.macs, [entry])

        unit = Unit(row.account_id, run)
        return commit_reading(self._store.writer, unit, [_name(row, rank)], Purpose.EXPORT)

    def _reader(
        self, opened: OpenedKept, rank: int, receipt: ReadReceipt
    ) -> Callable[[int, int], Iterator[bytes]]:
        """No other code opens kept files."""
        row, found = opened.row, opened.found[rank]
        receipt.consume(row.account_id, _name(row, rank), Purpose.EXPORT)
        with self._store.database.read() as connection:
            blob = items.find_blob(connection, row.account_id, row.blob_id)
        if blob is None:
            raise Corrupt("blob-missing")
        key = data_key(opened.secret, row.kept_id, row.blob_id)
        read_at = self._store.blobs.reader(row.blob_id)
        decryptor = Decryptor(key, ctx("blob", row.blob_id), read_at, blob.stored_bytes)
        if found.start + found.file.size_bytes > decryptor.plain_bytes:
            raise Corrupt("blob-length")

        def pieces(start: int, stop: int) -> Iterator[bytes]:
            for at in range(start, min(stop, found.file.size_bytes), PIECE_BYTES):
                end = min(at + PIECE_BYTES, stop, found.file.size_bytes)
                yield decryptor.read(found.start + at, found.start + end)

        return pieces

    def list_sent(self, account: OpenAccount) -> list[SentKept]:
        """The account's own kept files, the newest first."""
        with self._store.database.read() as connection:
            rows = self._store.kept.list_kept(connection, account.account_id)
        pair = account.space_root().pair(account.account.epoch)
        sent = []
        for row in rows:
            plain = pair.open(row.record, record_context(row.account_id, row.kept_id))
            said = json.loads(unpad_summary(plain))
            files = tuple((str(name), int(size)) for name, size in said["files"])
            at = datetime.fromtimestamp(row.created_at, UTC)
            sent.append(SentKept(row.kept_id, said["subject"], files, at, last_day(row)))
        return sent

    def withdraw(self, account: OpenAccount, kept_id: KeptId, origin: Origin, now: datetime) -> None:
        """End them before their time: from now on the code opens nothing. Raises NotFound("kept-files")."""
        sent = next((each for each in self.list_sent(account) if each.kept_id == kept_id), None)
        if sent is None:
            raise NotFound("kept-files")
        objects = [AuditObject(ObjectKind.FILE, name) for name, _size in sent.files]
        who = actor_of(account)
        events = [AuditEvent(EventKind.DELETED, now, who, what, origin) for what in objects]
        entries = [prepare_entry(account.account, event) for event in events]

        def run(connection: Connection) -> list[BlobId]:
            add_entries(connection, self._store.macs, entries)
            return delete_kept(connection, account.account_id, kept_id)

        for blob_id in self._store.writer.commit(Unit(account.account_id, run, shreds=True)):
            self._store.blobs.delete(blob_id)


def _name(row: KeptRow, rank: int) -> bytes:
    """What a receipt names: one file of one message."""
    return row.kept_id + rank.to_bytes(2, "big")
