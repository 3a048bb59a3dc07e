"""Sealed text segments: no two meet, none is put after a message of it left, and each goes with the first that leaves."""

import random
from dataclasses import replace

import pytest
from store.store_rows import add_account, add_mailbox, place_item, read, row_count, write

from mailserver.crypto.secret import random_id
from mailserver.model.ids import SegmentId
from mailserver.store import item_changes, mailboxes, segment_rows
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.segment_rows import SegmentRow, SegmentSpan
from mailserver.store.store import Store

MANY = 60
EVERYTHING = [(1, 2**32 - 1)]


@pytest.fixture
def box(store: Store) -> MailboxRow:
    box = add_mailbox(store, add_account(store).account_id)
    write(store, lambda c: [place_item(c, box, adopted=True) for _item in range(MANY)])
    return box


def place_of(box: MailboxRow):
    return box.account_id, box.mailbox_id


def put(store: Store, box: MailboxRow, uids: list[int], octets: bytes = b"sealed") -> bool:
    row = SegmentRow(SegmentSpan(uids[0], uids[-1], SegmentId(random_id()), len(octets)), octets)
    return write(store, lambda c: segment_rows.put_segment(c, place_of(box), row, uids))


def ranges_in(store: Store, box: MailboxRow) -> list[tuple[int, int]]:
    spans = read(store, lambda c: segment_rows.list_spans(c, place_of(box)))
    return [(span.first_uid, span.last_uid) for span in spans]


def expunge(store: Store, box: MailboxRow, uids: list[int]) -> None:
    def run(connection) -> None:
        modseq = mailboxes.next_modseq(connection, box.account_id)
        item_changes.expunge(connection, place_of(box), [(uid, uid) for uid in uids], modseq)

    write(store, run)


def test_a_segment_comes_back(store: Store, box: MailboxRow) -> None:
    assert put(store, box, [1, 2, 3], b"one")
    assert put(store, box, [4, 5], b"two")
    spans = read(store, lambda c: segment_rows.list_spans(c, place_of(box)))
    assert [(span.first_uid, span.last_uid, span.stored_bytes) for span in spans] == [(1, 3, 3), (4, 5, 3)]
    rows = read(store, lambda c: segment_rows.list_segments(c, place_of(box), [4, 1, 9]))
    assert [(row.span, row.octets) for row in rows] == [(spans[0], b"one"), (spans[1], b"two")]
    assert "sealed" not in repr(replace(rows[0], octets=b"sealed"))


def test_a_new_one_takes_the_place_of_those_it_meets(store: Store, box: MailboxRow) -> None:
    for uids in ([1, 2, 3], [4, 5, 6], [7, 8], [20]):
        put(store, box, uids)
    assert put(store, box, [6, 7])
    assert ranges_in(store, box) == [(1, 3), (6, 7), (20, 20)]


def test_none_is_put_for_a_message_that_left(store: Store, box: MailboxRow) -> None:
    expunge(store, box, [2])
    assert not put(store, box, [1, 2, 3])
    assert not put(store, box, [60, 61])
    assert ranges_in(store, box) == []
    assert put(store, box, [1, 3])


def test_each_goes_with_the_first_that_leaves(store: Store, box: MailboxRow) -> None:
    other = add_mailbox(store, box.account_id)
    write(store, lambda c: [place_item(c, other, adopted=True) for _item in range(9)])
    for uids in ([1, 2, 3], [4, 6], [7, 8, 9], [10, 11]):
        put(store, box, uids)
    put(store, other, [1, 2, 3, 4, 5, 6, 7, 8, 9])
    expunge(store, box, [5, 8])
    assert ranges_in(store, box) == [(1, 3), (10, 11)]
    expunge(store, box, [12])
    expunge(store, box, [1])
    assert ranges_in(store, box) == [(10, 11)]
    assert ranges_in(store, other) == [(1, 9)]


@pytest.mark.parametrize("seed", range(8))
def test_dropping_against_a_plain_list(store: Store, box: MailboxRow, seed: int) -> None:
    draw = random.Random(seed)
    cuts = sorted(draw.sample(range(1, MANY + 1), 24))
    spans = [(cuts[at], cuts[at + 1]) for at in range(0, 24, 2)]
    for first, last in spans:
        put(store, box, [first, last] if first < last else [first])
    leaving = sorted(draw.sample(range(1, MANY + 1), draw.randint(1, 9)))
    expunge(store, box, leaving)
    kept = [(first, last) for first, last in spans if not any(first <= uid <= last for uid in leaving)]
    assert ranges_in(store, box) == kept


def test_a_deleted_mailbox_leaves_none(store: Store, box: MailboxRow) -> None:
    put(store, box, [1, 2])

    def run(connection) -> None:
        modseq = mailboxes.next_modseq(connection, box.account_id)
        item_changes.expunge(connection, place_of(box), EVERYTHING, modseq)
        mailboxes.delete_mailbox(connection, *place_of(box))

    write(store, run)
    assert read(store, lambda c: row_count(c, "text_segment")) == 0
