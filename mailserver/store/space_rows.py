"""Rows of a patient's space: filed documents, cases set aside, and what correspondents wrote (contacts).

They arrive while the patient is away, sealed to the space key; each carries a row MAC so that a database writer
cannot plant a document or a correspondent.
"""

import hmac
from dataclasses import dataclass

from sqlalchemy import Connection, Row, bindparam, delete, insert, select

from mailserver.model.errors import NotFound
from mailserver.model.ids import AccountId, BlobId, DocumentId
from mailserver.store import schema
from mailserver.store.hot_statements import HotInsert, HotRead
from mailserver.store.row_macs import RowMacs


@dataclass(frozen=True, slots=True)
class DocumentRow:
    document_id: DocumentId
    blob_id: BlobId
    filed_at: int
    padded_bytes: int
    wrap: bytes
    record: bytes

    def mac_fields(self, account_id: AccountId) -> tuple[bytes | int, ...]:
        """What the row MAC covers."""
        return (
            account_id,
            self.document_id,
            self.blob_id,
            self.filed_at,
            self.padded_bytes,
            self.wrap,
            self.record,
        )


@dataclass(frozen=True, slots=True)
class SealedRecord:
    """One sealed record with its id and its time."""

    record_id: bytes
    created_at: int
    record: bytes


class SpaceStore:
    """Reads and writes the rows of patients' spaces."""

    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def add_document(self, connection: Connection, account_id: AccountId, row: DocumentRow) -> None:
        """File one sealed document."""
        values = {
            "account_id": account_id,
            "document_id": row.document_id,
            "blob_id": row.blob_id,
            "filed_at": row.filed_at,
            "padded_bytes": row.padded_bytes,
            "wrap": row.wrap,
            "record": row.record,
            "row_mac": self._macs.sign("document", row.mac_fields(account_id)),
        }
        connection.execute(insert(schema.document), [values])

    def list_documents(self, connection: Connection, account_id: AccountId) -> list[DocumentRow]:
        """Newest first."""
        table = schema.document
        query = select(table).where(table.c.account_id == account_id)
        query = query.order_by(table.c.filed_at.desc(), table.c.document_id)
        return [self._document(account_id, found) for found in connection.execute(query).all()]

    def load_document(
        self, connection: Connection, account_id: AccountId, document_id: DocumentId
    ) -> DocumentRow:
        """One document. Raises NotFound("document"), Corrupt("row-mac")."""
        table = schema.document
        query = select(table).where(table.c.account_id == account_id, table.c.document_id == document_id)
        found = connection.execute(query).first()
        if found is None:
            raise NotFound("document")
        return self._document(account_id, found)

    def _document(self, account_id: AccountId, found: Row[tuple[object, ...]]) -> DocumentRow:
        values = found._mapping  # noqa: SLF001 # SQLAlchemy's public name for a row's mapping
        row = DocumentRow(
            DocumentId(bytes(values["document_id"])),
            BlobId(bytes(values["blob_id"])),
            values["filed_at"],
            values["padded_bytes"],
            bytes(values["wrap"]),
            bytes(values["record"]),
        )
        self._macs.check("document", row.mac_fields(account_id), values["row_mac"])
        return row

    def add_contact(
        self, connection: Connection, account_id: AccountId, row: SealedRecord, sequence: int
    ) -> None:
        """``sequence`` is the account's mod-sequence of this very commit: the order in which messages came."""
        mac = self._macs.sign("contact", (account_id, row.record_id, sequence, row.created_at, row.record))
        values = {
            "account_id": account_id,
            "contact_id": row.record_id,
            "sequence": sequence,
            "created_at": row.created_at,
            "record": row.record,
            "row_mac": mac,
        }
        connection.execute(insert(schema.contact), [values])

    def list_contacts(self, connection: Connection, account_id: AccountId) -> list[SealedRecord]:
        """What was received, oldest first: in the order of commits, which seconds do not tell."""
        table = schema.contact
        rows = []
        query = select(table).where(table.c.account_id == account_id)
        for found in connection.execute(query.order_by(table.c.sequence, table.c.contact_id)).all():
            row = SealedRecord(bytes(found.contact_id), found.created_at, bytes(found.record))
            fields = (account_id, row.record_id, found.sequence, row.created_at, row.record)
            self._macs.check("contact", fields, found.row_mac)
            rows.append(row)
        return rows

    def add_set_aside(self, connection: Connection, account_id: AccountId, row: SealedRecord) -> None:
        mac = self._macs.sign("set_aside", (account_id, row.record_id, row.created_at, row.record))
        values = {"case_id": row.record_id, "created_at": row.created_at, "record": row.record}
        connection.execute(insert(schema.set_aside), [values | {"account_id": account_id, "row_mac": mac}])

    def list_set_aside(self, connection: Connection, account_id: AccountId) -> list[SealedRecord]:
        """Cases set aside, the oldest first."""
        table = schema.set_aside
        rows = []
        query = select(table).where(table.c.account_id == account_id).order_by(table.c.created_at)
        for found in connection.execute(query).all():
            row = SealedRecord(bytes(found.case_id), found.created_at, bytes(found.record))
            self._macs.check(
                "set_aside", (account_id, row.record_id, row.created_at, row.record), found.row_mac
            )
            rows.append(row)
        return rows


def has_delivery(connection: Connection, account_id: AccountId, fingerprint: bytes) -> bool:
    """True when this very message was already delivered to this account within the fold window (R2)."""
    return _marked_at(connection, account_id, _mark(account_id, fingerprint)) is not None


def add_delivery(connection: Connection, account_id: AccountId, fingerprint: bytes, now: int) -> None:
    """Remember a fingerprint, which only holders of the row key can compute."""
    _ADD_MARK.run(connection, [_Mark(account_id, _mark(account_id, fingerprint), now)])


@dataclass(frozen=True, slots=True)
class _Mark:
    """A row of ``delivery``."""

    account_id: AccountId
    fingerprint: bytes
    created_at: int


_ADD_MARK = HotInsert[_Mark](schema.delivery)


def claim_turn(
    connection: Connection, account_id: AccountId, fingerprint: bytes, now: int, *, seconds: int
) -> bool:
    """True, and remembered, unless this was claimed within the last ``seconds``."""
    mark = _mark(account_id, fingerprint)
    marked_at = _marked_at(connection, account_id, mark)
    if marked_at is not None and now - marked_at < seconds:
        return False
    table = schema.delivery
    connection.execute(delete(table).where(table.c.account_id == account_id, table.c.fingerprint == mark))
    add_delivery(connection, account_id, fingerprint, now)
    return True


def delete_deliveries(connection: Connection, before: int) -> None:
    """Forget fingerprints older than the fold window (48 h)."""
    connection.execute(delete(schema.delivery).where(schema.delivery.c.created_at < before))


def _mark(account_id: AccountId, fingerprint: bytes) -> bytes:
    """What is stored of a fingerprint: bound to its account, so that a row copied to another account is no mark."""
    return hmac.digest(fingerprint, b"fold" + account_id, "sha256")


def _marked_at(connection: Connection, account_id: AccountId, mark: bytes) -> int | None:
    return _MARKED_AT.first(connection, {"account": account_id, "mark": mark})


_MARKED_AT = HotRead(
    select(schema.delivery.c.created_at).where(
        schema.delivery.c.account_id == bindparam("account"),
        schema.delivery.c.fingerprint == bindparam("mark"),
    ),
    int,
)
