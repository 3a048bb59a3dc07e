"""What ESEARCH tells is what SEARCH tells, whatever part is asked for."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap.commands import ResultOption, ResultRange, Returns
from mailserver.imap.cursor import Cursor
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse_results import parse_range, parse_returns
from mailserver.imap.results import format_esearch
from mailserver.imap.sequence_set import parse_sequence_set
from mailserver.model.errors import Malformed

results = st.lists(st.integers(1, 60), unique=True)
ends = st.integers(1, 2**32 - 1) | st.integers(1, 30)
ranges = st.builds(ResultRange, ends, ends) | st.builds(
    ResultRange, ends.map(int.__neg__), ends.map(int.__neg__)
)


def numbers_of(octets):
    found = parse_sequence_set(octets, most_ranges=100)
    return [number for first, last in found.ranges for number in range(first, last + 1)]


@given(results)
def test_all_is_the_whole_result_in_its_order(result):
    told = format_esearch("a", result, Returns(frozenset({ResultOption.ALL})), uid=False)
    found = re.search(rb" ALL ([0-9:,]+)\r\n", told)
    assert (numbers_of(found[1]) if found else []) == result


@given(results, ranges)
def test_partial_is_the_part(result, asked):
    told = format_esearch("a", result, Returns(frozenset(), asked), uid=True)
    found = re.search(rb" PARTIAL \((\S+) (\S+)\)\r\n", told)
    assert parse_range(Cursor(RawCommand((found[1],)))) == asked
    places = range(1, len(result) + 1) if asked.first > 0 else range(-len(result), 0)
    low, high = sorted((asked.first, asked.last))
    part = [number for place, number in zip(places, result, strict=True) if low <= place <= high]
    assert ([] if found[2] == b"NIL" else numbers_of(found[2])) == part


@given(results, ranges, st.sets(st.sampled_from([ResultOption.MIN, ResultOption.MAX])))
def test_what_is_saved_is_part_of_the_result(result, asked, more):
    concerned = Returns(frozenset({ResultOption.SAVE, *more}), asked).concerned(result)
    assert set(asked.part_of(result)) <= set(concerned) <= set(result)


@given(st.binary(max_size=30) | st.text("() MINAXCOUTPRL-:19", max_size=30).map(str.encode))
def test_only_malformed_escapes(octets):
    try:
        parse_returns(Cursor(RawCommand((octets,))))
    except Malformed:
        return
