"""Rows of files that stay here: found by their address, listed to their sender, ended by them or by their date."""

from dataclasses import replace

from store.store_rows import NOW, numbered_id, read, write

from mailserver.model.ids import AccountId, BlobId, KeptId
from mailserver.store import items, kept_rows
from mailserver.store.items import BlobRow
from mailserver.store.kept_rows import KeptRow
from mailserver.store.store import Store

ME, OTHER = AccountId(b"\x01" * 16), AccountId(b"\x02" * 16)


def kept(store: Store, account_id: AccountId = ME, at: int = NOW, padded: int = 9) -> KeptRow:
    """A row with its object."""
    row = KeptRow(
        account_id,
        KeptId(numbered_id()),
        BlobId(numbered_id()),
        at,
        at + 100,
        padded,
        b"\x00contents\xff",
        b"record",
    )

    def run(connection) -> None:
        items.add_blob(connection, account_id, BlobRow(row.blob_id, 20, bytes(32), None))
        store.kept.add_kept(connection, row)

    write(store, run)
    return row


def test_found_by_their_address_and_listed_to_their_sender(store: Store) -> None:
    old, new, other = kept(store), kept(store, at=NOW + 5), kept(store, OTHER)
    assert read(store, lambda c: store.kept.find_kept(c, old.kept_id)) == old
    assert read(store, lambda c: store.kept.find_kept(c, KeptId(bytes(16)))) is None
    assert read(store, lambda c: store.kept.list_kept(c, ME)) == [new, old]
    assert read(store, lambda c: store.kept.list_kept(c, OTHER)) == [other]


def test_what_they_take(store: Store) -> None:
    assert read(store, lambda c: kept_rows.sum_kept_bytes(c, ME)) == 0
    kept(store, padded=7)
    kept(store, padded=5)
    kept(store, OTHER, padded=100)
    assert read(store, lambda c: kept_rows.sum_kept_bytes(c, ME)) == 12


def test_their_sender_alone_ends_them(store: Store) -> None:
    row, stays = kept(store), kept(store)
    assert write(store, lambda c: kept_rows.delete_kept(c, OTHER, row.kept_id)) == []
    assert read(store, lambda c: store.kept.find_kept(c, row.kept_id)) == row
    assert write(store, lambda c: kept_rows.delete_kept(c, ME, row.kept_id)) == [row.blob_id]
    assert read(store, lambda c: store.kept.list_kept(c, ME)) == [stays]
    assert read(store, lambda c: items.find_blob(c, ME, row.blob_id)) is None
    assert write(store, lambda c: kept_rows.delete_kept(c, ME, row.kept_id)) == []


def test_their_date_ends_them(store: Store) -> None:
    early, other, late = kept(store), kept(store, OTHER), kept(store, at=NOW + 1)
    assert write(store, lambda c: kept_rows.delete_expired(c, NOW + 99)) == []
    gone = write(store, lambda c: kept_rows.delete_expired(c, NOW + 100))
    assert sorted(gone) == sorted([early.blob_id, other.blob_id])
    assert read(store, lambda c: store.kept.list_kept(c, ME)) == [late]
    assert read(store, lambda c: store.kept.list_kept(c, OTHER)) == []


def test_a_row_may_come_again_after_its_end(store: Store) -> None:
    row = kept(store)
    write(store, lambda c: kept_rows.delete_kept(c, ME, row.kept_id))
    again = replace(row, expires_at=NOW + 500)
    write(store, lambda c: store.kept.add_kept(c, again))
    assert read(store, lambda c: store.kept.find_kept(c, row.kept_id)) == again
