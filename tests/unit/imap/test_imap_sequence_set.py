from array import array

import pytest

from mailserver.imap.sequence_set import (
    SAVED,
    STAR,
    SequenceSet,
    compact,
    format_sequence_set,
    intersect_runs,
    parse_sequence_set,
)
from mailserver.model.errors import Malformed

UIDS = array("Q", [2, 3, 5, 8, 9])


def parsed(text):
    return parse_sequence_set(text, most_ranges=10)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (b"1", ((1, 1),)),
        (b"*", ((STAR, STAR),)),
        (b"4:2,7", ((2, 4), (7, 7))),
        (b"*:4", ((4, STAR),)),
        (b"4294967295", ((4294967295, 4294967295),)),
    ],
)
def test_parse(text, ranges):
    assert parsed(text).ranges == ranges


@pytest.mark.parametrize(
    "text", [b"", b"0", b"01", b"1:", b":1", b"1,,2", b"1:2:3", b"4294967296", b"-1", b"1 "]
)
def test_parse_refusal(text):
    with pytest.raises(Malformed) as caught:
        parsed(text)
    assert caught.value.code == "bad_sequence_set"


def test_too_many_ranges():
    assert len(parsed(b"1," * 9 + b"1").ranges) == 10
    with pytest.raises(Malformed) as caught:
        parsed(b"1," * 10 + b"1")
    assert caught.value.code == "too_many_ranges"


@pytest.mark.parametrize("ranges", [(), ((0, 1),), ((3, 2),), ((1, STAR + 1),)])
def test_no_such_set(ranges):
    with pytest.raises(Malformed) as caught:
        SequenceSet(ranges)
    assert caught.value.code == "bad_sequence_set"


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        (b"1:*", [(0, 5)]),
        (b"*", [(4, 5)]),
        (b"500:*", [(4, 5)]),
        (b"3:8", [(1, 4)]),
        (b"4", []),
        (b"9,2:3", [(0, 2), (4, 5)]),
        (b"2,3,5", [(0, 3)]),
        (b"3,4:5", [(1, 3)]),
        (b"2:5,3:9", [(0, 5)]),
    ],
)
def test_runs_of_uids(text, runs):
    assert parsed(text).runs_of_uids(UIDS) == runs


def test_runs_of_an_empty_mailbox():
    assert parsed(b"1:*,*,7").runs_of_uids(array("Q")) == []
    assert parsed(b"1:*,*,7").runs_of_numbers(0) == []


@pytest.mark.parametrize(
    ("text", "runs"),
    [(b"1:*", [(0, 5)]), (b"9:*", [(4, 5)]), (b"4:9", [(3, 5)]), (b"6", []), (b"1,5", [(0, 1), (4, 5)])],
)
def test_runs_of_numbers(text, runs):
    assert parsed(text).runs_of_numbers(5) == runs


@pytest.mark.parametrize(
    ("text", "exists", "expected"),
    [(b"1:5", 5, True), (b"6", 5, False), (b"9:*", 5, True), (b"*", 0, False), (b"1", 0, False)],
)
def test_is_within(text, exists, expected):
    assert parsed(text).is_within(exists) is expected


def test_format():
    assert format_sequence_set(parsed(b"5:3,7,*,2:*")) == b"3:5,7,*,2:*"


def test_saved():
    assert parse_sequence_set(b"$", most_ranges=1) is SAVED
    assert format_sequence_set(SAVED) == b"$"
    assert SAVED.is_within(0)


def test_compact():
    assert format_sequence_set(compact([1, 2, 3, 5, 7, 8])) == b"1:3,5,7:8"
    with pytest.raises(Malformed):
        compact([])


def test_intersect_runs():
    assert intersect_runs([(0, 4), (6, 9)], [(2, 7), (8, 12)]) == [(2, 4), (6, 7), (8, 9)]
    assert intersect_runs([(0, 2)], [(2, 4)]) == intersect_runs([], [(1, 2)]) == []
