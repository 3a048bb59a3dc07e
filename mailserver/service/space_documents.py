"""A patient's filed documents: the list, and the one path that opens a document for a person's eyes (L10).

A list opens records alone; the octets need a receipt, which exists once the opening is in the access log. What is
marked invisible to the patient is stored and not listed, and cannot be opened either.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.audit.receipt import Purpose, ReadReceipt
from mailserver.crypto.blob import Decryptor
from mailserver.crypto.ctx import ctx
from mailserver.crypto.hkdf import derive
from mailserver.crypto.secret import Secret
from mailserver.crypto.wrap import unwrap
from mailserver.documents.record import DocumentRecord, parse_record
from mailserver.model.account import AccountKind
from mailserver.model.errors import Corrupt, Denied, Malformed, NotFound
from mailserver.model.ids import DocumentId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.filing import document_info, title_of
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.service.sealing import unpad_summary
from mailserver.store import items
from mailserver.store.database import Connection
from mailserver.store.read_receipts import commit_reading
from mailserver.store.space_rows import DocumentRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

PIECE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Replacement:
    """Who says that a document is replaced: only its own sender's word is taken for a fact.

    The identifiers of what is replaced are no secret, and any listed sender may write them; ``sender`` is empty for
    records that do not know it.
    """

    sender: str
    is_same_sender: bool


@dataclass(frozen=True, slots=True)
class FiledDocument:
    """A document as its list shows it. ``replaced_by``: of another that says it takes its place, None without one."""

    document_id: DocumentId
    record: DocumentRecord
    filed_at: int
    replaced_by: Replacement | None


@dataclass(frozen=True, slots=True)
class OpenedDocument:
    """A document whose opening is in the log. Its octets are opened as they are asked for, never all at once unasked.

    ``read`` gives those from a place up to another and raises Corrupt for an altered blob.
    """

    record: DocumentRecord
    read: Callable[[int, int], bytes]

    def __repr__(self) -> str:
        return "OpenedDocument(…)"

    def head(self) -> bytes:
        """Its first octets, at most one piece."""
        return self.read(0, min(PIECE_BYTES, self.record.size_bytes))

    def whole(self) -> bytes:
        return self.read(0, self.record.size_bytes)

    def pieces(self) -> Iterator[bytes]:
        """All of it, in flat memory."""
        size = self.record.size_bytes
        for start in range(0, size, PIECE_BYTES):
            yield self.read(start, min(start + PIECE_BYTES, size))


class SpaceDocuments:
    def __init__(self, store: Store) -> None:
        self._store = store

    def list_documents(self, account: OpenAccount) -> list[FiledDocument]:
        """What the patient may see, newest first. A record that was altered is left out of the list (S12)."""
        _demand_patient(account)
        with self._store.database.read() as connection:
            rows = self._store.space.list_documents(connection, account.account_id)
        listed = []
        for row in rows:
            try:
                record = self._open_record(account, row)
            except (Corrupt, Malformed):
                continue
            if record.is_listed_for_patient:
                listed.append((row, record))
        claims = _Claims([record for _row, record in listed])
        return [
            FiledDocument(row.document_id, record, row.filed_at, claims.find(record))
            for row, record in listed
        ]

    def load_document(self, account: OpenAccount, document_id: DocumentId) -> FiledDocument:
        """One line of the list. Raises NotFound("document") for what is not listed."""
        for each in self.list_documents(account):
            if each.document_id == document_id:
                return each
        raise NotFound("document")

    def open_document(
        self, account: OpenAccount, document_id: DocumentId, origin: Origin, now: datetime
    ) -> OpenedDocument:
        """Log the opening, then give what opens the octets. Raises NotFound("document"), Corrupt, and Unavailable when the
        log cannot be written: nothing is shown then (L4).
        """
        _demand_patient(account)
        with self._store.database.read() as connection:
            row = self._store.space.load_document(connection, account.account_id, document_id)
        record = self._open_record(account, row)
        if not record.is_listed_for_patient:
            raise NotFound("document")
        what = AuditObject(ObjectKind.DOCUMENT, title_of(record))
        event = AuditEvent(EventKind.DOCUMENT_OPENED, now, actor_of(account), what, origin)
        entry = prepare_entry(account.account, event)

        def run(connection: Connection) -> None:
            add_entries(connection, self._store.macs, [entry])

        unit = Unit(account.account_id, run)
        receipt = commit_reading(self._store.writer, unit, [document_id], Purpose.SHOW)
        return OpenedDocument(record, self._show(account, row, record, receipt))

    def _show(
        self, account: OpenAccount, row: DocumentRow, record: DocumentRecord, receipt: ReadReceipt
    ) -> Callable[[int, int], bytes]:
        """What reads the octets of a document, for one receipt. No other code opens them for showing."""
        receipt.consume(account.account_id, row.document_id, Purpose.SHOW)
        data_key = _data_key(account, row)
        with self._store.database.read() as connection:
            blob = items.find_blob(connection, account.account_id, row.blob_id)
        if blob is None:
            raise Corrupt("blob-missing")
        octets = blob.octets
        read_at = self._store.blobs.reader(row.blob_id) if octets is None else lambda lo, hi: octets[lo:hi]
        decryptor = Decryptor(data_key, ctx("blob", row.blob_id), read_at, blob.stored_bytes)
        if record.size_bytes > decryptor.plain_bytes:
            raise Corrupt("blob-length")
        return decryptor.read

    def _open_record(self, account: OpenAccount, row: DocumentRow) -> DocumentRecord:
        """What lists say of a document; its octets stay closed."""
        info = document_info(account.account_id, row.document_id, row.blob_id)
        record_key = derive(_data_key(account, row), "record")
        return parse_record(unpad_summary(unwrap(record_key, row.record, info)))


class _Claims:
    """What the documents of one list say that they replace."""

    def __init__(self, records: Sequence[DocumentRecord]) -> None:
        self._by_id: dict[str, list[DocumentRecord]] = defaultdict(list)
        for record in records:
            for replaced in {record.replaces_entry_id, record.replaces_unique_id} - {""}:
                self._by_id[replaced].append(record)

    def find(self, record: DocumentRecord) -> Replacement | None:
        """Its own sender's word if there is one, else the newest of the others'."""
        found = [
            Replacement(other.sender, _is_same_sender(record, other))
            for identifier in (record.entry_id, record.unique_id)
            for other in self._by_id.get(identifier, ())
            if other is not record
        ]
        return max(found, key=lambda each: each.is_same_sender, default=None)


def _is_same_sender(one: DocumentRecord, other: DocumentRecord) -> bool:
    """One address: a domain may be that of all doctors of a country."""
    return bool(one.sender) and one.sender.casefold() == other.sender.casefold()


def _data_key(account: OpenAccount, row: DocumentRow) -> Secret:
    info = document_info(account.account_id, row.document_id, row.blob_id)
    return Secret(account.space_root().pair(account.account.epoch).open(row.wrap, info))


def _demand_patient(account: OpenAccount) -> None:
    if account.account.kind is not AccountKind.PATIENT:
        raise Denied("no-space")
