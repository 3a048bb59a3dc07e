"""Rows of ``kept``: the files of large mail that stay here until their end. Each carries a row MAC, so that nobody who
writes into the database can lengthen a term or put one sender's files in another's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, func, insert, select

from mailserver.model.ids import AccountId, BlobId, KeptId
from mailserver.store import schema
from mailserver.store.items import has_holder
from mailserver.store.row_macs import RowMacs

_kept, _blob = schema.kept, schema.blob


@dataclass(frozen=True, slots=True)
class KeptRow:
    account_id: AccountId
    kept_id: KeptId
    blob_id: BlobId
    created_at: int
    expires_at: int
    padded_bytes: int
    contents: bytes
    record: bytes

    def mac_fields(self) -> tuple[bytes | int, ...]:
        """What the row MAC covers: all of it."""
        return (
            self.account_id,
            self.kept_id,
            self.blob_id,
            self.created_at,
            self.expires_at,
            self.padded_bytes,
            self.contents,
            self.record,
        )


class KeptStore:
    """Each reading raises Corrupt("row-mac") for a row that was altered or planted."""

    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def add_kept(self, connection: Connection, row: KeptRow) -> None:
        values = {name: getattr(row, name) for name in KeptRow.__slots__}
        values["row_mac"] = self._macs.sign("kept", row.mac_fields())
        connection.execute(insert(_kept), [values])

    def find_kept(self, connection: Connection, kept_id: KeptId) -> KeptRow | None:
        """Whoever sent it; the time is the caller's to judge."""
        found = connection.execute(select(_kept).where(_kept.c.kept_id == kept_id)).first()
        return None if found is None else self._row(found)

    def list_kept(self, connection: Connection, account_id: AccountId) -> list[KeptRow]:
        """What an account's messages keep here, the newest first."""
        query = select(_kept).where(_kept.c.account_id == account_id)
        query = query.order_by(_kept.c.created_at.desc(), _kept.c.kept_id)
        return [self._row(found) for found in connection.execute(query).all()]

    def _row(self, found: Row[tuple[object, ...]]) -> KeptRow:
        values = found._mapping  # noqa: SLF001 # SQLAlchemy's public name for a row's mapping
        row = KeptRow(
            AccountId(bytes(values["account_id"])),
            KeptId(bytes(values["kept_id"])),
            BlobId(bytes(values["blob_id"])),
            values["created_at"],
            values["expires_at"],
            values["padded_bytes"],
            bytes(values["contents"]),
            bytes(values["record"]),
        )
        self._macs.check("kept", row.mac_fields(), values["row_mac"])
        return row


def sum_kept_bytes(connection: Connection, account_id: AccountId) -> int:
    """How much an account's kept files take, padding included."""
    total = connection.execute(select(func.sum(_kept.c.padded_bytes)).where(_kept.c.account_id == account_id))
    return int(total.scalar() or 0)


def delete_kept(connection: Connection, account_id: AccountId, kept_id: KeptId) -> list[BlobId]:
    """End one, if it is there; the files to delete after the commit."""
    here = (_kept.c.account_id == account_id, _kept.c.kept_id == kept_id)
    found = connection.execute(delete(_kept).where(*here).returning(_kept.c.blob_id)).scalars().all()
    return _release(connection, [(account_id, BlobId(bytes(each))) for each in found])


def delete_expired(connection: Connection, now: int) -> list[BlobId]:
    """End all whose time is over; the files to delete after the commit."""
    gone = delete(_kept).where(_kept.c.expires_at <= now).returning(_kept.c.account_id, _kept.c.blob_id)
    found = connection.execute(gone).all()
    return _release(connection, [(AccountId(bytes(a)), BlobId(bytes(b))) for a, b in found])


def _release(connection: Connection, held: Sequence[tuple[AccountId, BlobId]]) -> list[BlobId]:
    for account_id, blob_id in held:
        connection.execute(delete(_blob).where(_blob.c.account_id == account_id, _blob.c.blob_id == blob_id))
    return [blob_id for _account, blob_id in held if not has_holder(connection, blob_id)]
