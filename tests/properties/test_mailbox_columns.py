"""Columns after changes are the columns of the mailbox that changed."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.model.errors import Corrupt
from mailserver.model.mailbox_columns import MailboxColumns, parse_columns

boxes = st.dictionaries(
    st.integers(1, 30), st.tuples(st.integers(0, 2**62), st.integers(1, 2**62)), max_size=12
)


def columns_of(box: dict[int, tuple[int, int]]) -> MailboxColumns:
    uids = sorted(box)
    return parse_columns(uids, (box[uid][0] for uid in uids), (box[uid][1] for uid in uids))


@given(boxes, st.data())
def test_changes_lead_from_one_mailbox_to_the_next(
    box: dict[int, tuple[int, int]], data: st.DataObject
) -> None:
    before = columns_of(box)
    kept = {uid: row for uid, row in box.items() if data.draw(st.booleans())}
    changed = {uid: (row[0] ^ 1, row[1] + 1) for uid, row in kept.items() if data.draw(st.booleans())}
    arrived = {31 + at: (at, at + 1) for at in range(data.draw(st.integers(0, 3)))}
    news = sorted((uid, *row) for uid, row in (changed | arrived).items())
    gone = sorted({*box, 40} - {*kept})
    after = before.with_changes(news, gone)
    assert after == columns_of(kept | changed | arrived)
    assert after.rows() == sorted((uid, *row) for uid, row in (kept | changed | arrived).items())
    assert before == columns_of(box), "a value stays what it is"
    assert len(after) == len(after.uids)


@pytest.mark.parametrize(
    ("uids", "flags", "modseqs"),
    [([1, 1], [0, 0], [1, 1]), ([2, 1], [0, 0], [1, 1]), ([1], [], [1]), ([1], [0], [])],
)
def test_what_is_no_mailbox(uids: list[int], flags: list[int], modseqs: list[int]) -> None:
    with pytest.raises(Corrupt) as caught:
        parse_columns(uids, flags, modseqs)
    assert caught.value.code == "bad_columns"


def test_a_change_of_what_is_not_there() -> None:
    with pytest.raises(Corrupt) as caught:
        parse_columns([1, 3], [0, 0], [1, 1]).with_changes([(2, 0, 5)], [])
    assert caught.value.code == "bad_columns"


def test_arrays_are_shared_and_not_lists() -> None:
    assert isinstance(parse_columns([1], [2], [3]).uids, array)
