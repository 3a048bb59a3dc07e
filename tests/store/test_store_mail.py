"""Mailboxes, items and blobs: what the state machine does not reach."""

from dataclasses import replace

import pytest
from sqlalchemy import select
from store.store_rows import (
    NOW,
    add_account,
    add_mailbox,
    job_row,
    mailbox_row,
    new_item,
    place_item,
    read,
    row_count,
    write,
)

from mailserver.crypto.secret import random_id
from mailserver.model.account import Flag, Role
from mailserver.model.errors import Conflict, NotFound
from mailserver.model.ids import AccountId, BlobId, MailboxId
from mailserver.store import changes, item_changes, item_columns, items, mailboxes, schema
from mailserver.store.item_changes import FlagChange
from mailserver.store.items import BlobRow
from mailserver.store.jobs import JobState, mark_final
from mailserver.store.mailboxes import Arrivals, MailboxRow
from mailserver.store.store import Store

MANY = 450
EVERYTHING = [(1, 2**32 - 1)]


@pytest.fixture
def box(store: Store) -> MailboxRow:
    return add_mailbox(store, add_account(store).account_id)


def _place(box: MailboxRow) -> tuple[AccountId, MailboxId]:
    return box.account_id, box.mailbox_id


def _fill(store: Store, box: MailboxRow, number: int) -> None:
    """Many items of one shared blob, in one transaction."""

    def run(connection: object) -> None:
        modseq = mailboxes.next_modseq(connection, box.account_id)
        mailboxes.place(connection, *_place(box), modseq, Arrivals(number, number, 0, number, 100 * number))
        blob = BlobRow(BlobId(random_id()), 9, bytes(32), b"sealed")
        items.add_items(
            connection, [new_item(box, uid, modseq, blob.blob_id) for uid in range(1, number + 1)]
        )
        items.add_blob(connection, box.account_id, blob)

    write(store, run)


def test_mailbox_comes_back_as_written(store: Store, box: MailboxRow) -> None:
    other = mailbox_row(box.account_id, Role.SENT)
    write(store, lambda c: mailboxes.add_mailbox(c, other))
    assert read(store, lambda c: mailboxes.load_mailbox(c, *_place(box))) == box
    assert read(store, lambda c: mailboxes.load_by_role(c, box.account_id, Role.SENT)) == other
    found = read(store, lambda c: mailboxes.list_mailboxes(c, box.account_id))
    assert {row.mailbox_id: row for row in found} == {row.mailbox_id: row for row in (box, other)}
    assert type(found[0].mailbox_id) is bytes
    assert type(found[0].record) is bytes


def test_unknown_mailboxes(store: Store, box: MailboxRow) -> None:
    missing = MailboxId(random_id())
    assert read(store, lambda c: mailboxes.find_mailbox(c, box.account_id, missing)) is None
    for call in (
        lambda c: mailboxes.load_mailbox(c, box.account_id, missing),
        lambda c: mailboxes.load_by_role(c, box.account_id, Role.TRASH),
        lambda c: mailboxes.place(c, box.account_id, missing, 2, Arrivals(1, 1, 0, 1, 9)),
    ):
        with pytest.raises(NotFound) as refused:
            write(store, call)
        assert refused.value.code == "mailbox"
    with pytest.raises(NotFound) as refused:
        write(store, lambda c: mailboxes.next_modseq(c, AccountId(random_id())))
    assert refused.value.code == "account"


def test_uidvalidity_always_grows(store: Store, box: MailboxRow) -> None:
    validity = lambda now: write(store, lambda c: mailboxes.next_uidvalidity(c, box.account_id, now))
    assert validity(NOW + 5) == NOW + 5
    assert validity(NOW) == NOW + 1, "two mailboxes made in one second"
    assert validity(0) == NOW + 1, "a clock that went back"
    nobody = AccountId(random_id())
    assert write(store, lambda c: mailboxes.next_uidvalidity(c, nobody, NOW)) == NOW


def test_a_record_is_replaced_with_what_it_vouches_for(store: Store, box: MailboxRow) -> None:
    changed = replace(box, record=b"\x00new", role=Role.NONE, uidvalidity=box.uidvalidity + 1)
    write(store, lambda c: mailboxes.mark_record(c, replace(changed, exists_count=7)))
    assert read(store, lambda c: mailboxes.load_mailbox(c, *_place(box))) == changed


def test_deleted_mailbox_leaves_no_tombstone(store: Store, box: MailboxRow) -> None:
    write(store, lambda c: place_item(c, box))
    write(store, lambda c: item_changes.expunge(c, _place(box), EVERYTHING, 9))
    write(store, lambda c: mailboxes.delete_mailbox(c, *_place(box)))
    for table in ("mailbox", "tombstone", "changed_range", "item", "seal", "blob"):
        assert read(store, lambda c, t=table: row_count(c, t)) == 0, table


def test_items_come_back_as_written(store: Store, box: MailboxRow) -> None:
    new = write(store, lambda c: place_item(c, box, flags=Flag.SEEN | 1 << 61))
    (row,) = read(store, lambda c: items.list_items(c, *_place(box), [(1, 1)]))
    names = set(new.__slots__) - {"account_id", "mailbox_id"}
    assert {name: getattr(row, name) for name in names} == {name: getattr(new, name) for name in names}
    assert {type(value) for value in (row.item_id, row.wrap, row.summary, row.row_mac)} == {bytes}
    assert not row.is_adopted
    with pytest.raises(Conflict):
        write(store, lambda c: items.add_items(c, [new]))


def test_more_ranges_than_one_statement_takes(store: Store, box: MailboxRow) -> None:
    _fill(store, box, MANY)
    odd = [(uid, uid) for uid in range(1, MANY + 1, 2)]
    assert len(odd) > items.RANGES_PER_STATEMENT
    rows = read(store, lambda c: items.list_items(c, *_place(box), odd))
    assert [row.uid for row in rows] == [uid for uid, _same in odd]
    marked = write(
        store, lambda c: item_changes.mark_flags(c, _place(box), odd, (FlagChange.ADD, 1 << 61), 5)
    )
    assert marked.changed == [(uid, 1 << 61) for uid, _same in odd]
    gone = write(store, lambda c: item_changes.expunge(c, _place(box), odd, 6))
    assert (len(gone.uids), gone.orphans) == (len(odd), [])
    row = read(store, lambda c: mailboxes.load_mailbox(c, *_place(box)))
    assert (row.exists_count, row.unseen_count, row.highestmodseq) == (MANY // 2, MANY // 2, 6)
    assert read(store, lambda c: changes.list_changes(c, *_place(box), 5))[1] == gone.uids


def test_ranges_that_overlap_count_once(store: Store, box: MailboxRow) -> None:
    _fill(store, box, 5)
    ranges = [(2, 4), (3, 5), (4, 4), (9, 8)]
    place = _place(box)
    marked = write(store, lambda c: item_changes.mark_flags(c, place, ranges, (FlagChange.ADD, 8), 5))
    assert len(marked.changed) == 4
    assert write(store, lambda c: item_changes.expunge(c, place, ranges, 6)).uids == [2, 3, 4, 5]
    row = read(store, lambda c: mailboxes.load_mailbox(c, *place))
    assert (row.exists_count, row.deleted_count, row.padded_bytes) == (1, 0, 100)


def test_octets_are_summed(store: Store, box: MailboxRow) -> None:
    other = add_mailbox(store, box.account_id)
    stranger = add_mailbox(store, add_account(store).account_id)
    assert read(store, lambda c: mailboxes.sum_counters(c, box.account_id)) == (0, 0)
    _fill(store, box, 5)
    _fill(store, other, 2)
    _fill(store, stranger, 3)
    assert read(store, lambda c: mailboxes.sum_counters(c, box.account_id)) == (7, 700)
    padded = read(store, lambda c: items.list_items(c, *_place(box), [(1, 1)]))[0].padded_bytes
    change = (FlagChange.ADD, int(Flag.DELETED | Flag.SEEN))
    write(store, lambda c: item_changes.mark_flags(c, _place(box), [(2, 3)], change, 9))
    for ranges, only, count in (
        (items.EVERY_UID, 0, 5),
        ([(1, 2), (2, 2), (9, 9)], 0, 2),
        (items.EVERY_UID, Flag.DELETED, 2),
        (items.EVERY_UID, Flag.DELETED | Flag.FLAGGED, 0),
        ([(3, 9)], Flag.DELETED, 1),
        ([], 0, 0),
    ):
        found = read(store, lambda c, r=ranges, o=only: items.sum_padded(c, _place(box), r, o))
        assert found == count * padded, (ranges, only)


def test_nothing_asked_nothing_done(store: Store, box: MailboxRow) -> None:
    _fill(store, box, 2)
    place = _place(box)
    before = read(store, lambda c: mailboxes.load_mailbox(c, *place))
    nothing = item_changes.Marked([], 9, [])
    assert write(store, lambda c: item_changes.mark_flags(c, place, [], (FlagChange.ADD, 1), 9)) == nothing
    assert write(store, lambda c: item_changes.expunge(c, place, [(7, 9)], 9)) == item_changes.Expunged(
        [], []
    )
    assert read(store, lambda c: items.list_items(c, *place, [])) == []
    assert read(store, lambda c: items.list_unadopted(c, box.account_id, MailboxId(bytes(16)), 9)) == []
    assert read(store, lambda c: mailboxes.load_mailbox(c, *place)) == before


def test_blob_in_a_row_and_in_a_file(store: Store, box: MailboxRow) -> None:
    small = BlobRow(BlobId(random_id()), 4, b"\x01" * 32, b"\x00\xff\x80a")
    large = BlobRow(BlobId(random_id()), 1 << 40, b"\x02" * 32, None)
    for blob in (small, large):
        write(store, lambda c, b=blob: items.add_blob(c, box.account_id, b))
        found = read(store, lambda c, b=blob: items.find_blob(c, box.account_id, b.blob_id))
        assert found == blob
        assert read(store, lambda c, b=blob: items.has_holder(c, b.blob_id))
    other = AccountId(random_id())
    assert read(store, lambda c: items.find_blob(c, other, small.blob_id)) is None, "a blob is one account's"
    assert not read(store, lambda c: items.has_holder(c, BlobId(random_id())))


@pytest.mark.parametrize("is_file", [True, False])
def test_the_last_copy_releases_its_blob(store: Store, box: MailboxRow, is_file: bool) -> None:
    blob = BlobRow(BlobId(random_id()), 9, bytes(32), None if is_file else b"sealed")
    first = write(store, lambda c: place_item(c, box, blob=blob))
    archive = add_mailbox(store, box.account_id, Role.ARCHIVE)
    write(store, lambda c: items.add_items(c, [new_item(archive, 1, 9, first.blob_id, adopted=True)]))
    leave = lambda place: write(store, lambda c: item_changes.expunge(c, _place(place), EVERYTHING, 9))
    assert leave(box).orphans == []
    assert read(store, lambda c: items.find_blob(c, box.account_id, blob.blob_id)) == blob
    assert leave(archive).orphans == ([blob.blob_id] if is_file else [])
    assert read(store, lambda c: items.find_blob(c, box.account_id, blob.blob_id)) is None


def test_a_shared_file_stays_while_another_account_holds_it(store: Store, box: MailboxRow) -> None:
    blob = BlobRow(BlobId(random_id()), 9, bytes(32), None)
    other = add_mailbox(store, add_account(store).account_id)
    for each in (box, other):
        write(store, lambda c, e=each: place_item(c, e, blob=blob))
    assert write(store, lambda c: item_changes.expunge(c, _place(box), EVERYTHING, 9)).orphans == []
    assert read(store, lambda c: items.find_blob(c, box.account_id, blob.blob_id)) is None
    assert write(store, lambda c: item_changes.expunge(c, _place(other), EVERYTHING, 9)).orphans == [
        blob.blob_id
    ]


def test_what_waits_to_be_sent_keeps_its_blob(store: Store, box: MailboxRow) -> None:
    """The sender deletes their own copy while the queue still needs the octets."""
    blob = BlobRow(BlobId(random_id()), 9, bytes(32), None)
    job = job_row(box.account_id, blob_id=blob.blob_id)
    write(store, lambda c: place_item(c, box, blob=blob))
    write(store, lambda c: store.jobs.add_jobs(c, [job]))
    assert write(store, lambda c: item_changes.expunge(c, _place(box), EVERYTHING, 9)).orphans == []
    assert read(store, lambda c: items.find_blob(c, box.account_id, blob.blob_id)) == blob
    write(store, lambda c: mark_final(c, job, JobState.DONE))
    write(store, lambda c: items.add_items(c, [new_item(box, 9, 9, blob.blob_id)]))
    assert write(store, lambda c: item_changes.expunge(c, _place(box), EVERYTHING, 9)).orphans == [
        blob.blob_id
    ]


def test_expunge_takes_the_wraps_away(store: Store, box: MailboxRow) -> None:
    write(store, lambda c: place_item(c, box))
    write(store, lambda c: item_changes.expunge(c, _place(box), EVERYTHING, 9))
    assert read(store, lambda c: row_count(c, "seal")) == 0
    stone = read(store, lambda c: c.execute(select(schema.tombstone)).one())
    assert (stone.uid, stone.modseq) == (1, 9)


def test_a_reader_sees_one_moment(store: Store, box: MailboxRow) -> None:
    """Counters and flags read in one transaction belong together, whatever is committed meanwhile."""
    with store.database.read() as connection:
        before = mailboxes.load_mailbox(connection, *_place(box))
        write(store, lambda c: place_item(c, box))
        assert item_columns.load_columns(connection, *_place(box)).rows() == []
        assert mailboxes.load_mailbox(connection, *_place(box)) == before
    assert len(read(store, lambda c: item_columns.load_columns(c, *_place(box)).rows())) == 1


def test_ids_compare_as_bytes(store: Store) -> None:
    """Ascending order is that of unsigned bytes on both databases: what the writer's lock order rests on."""
    account_ids = [AccountId(bytes([first]) * 16) for first in (0xFF, 0x00, 0x80, 0x7F)]
    for account_id in account_ids:
        add_account(store, account_id=account_id)
    table = schema.counter
    found = read(
        store, lambda c: c.execute(select(table.c.account_id).order_by(table.c.account_id)).scalars().all()
    )
    assert list(map(bytes, found)) == sorted(account_ids)
