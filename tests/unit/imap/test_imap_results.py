"""RETURN (…): what is read, what is told and what is saved."""

import pytest

from mailserver.imap.commands import ResultOption, ResultRange, Returns
from mailserver.imap.cursor import Cursor
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse_results import parse_range, parse_returns
from mailserver.imap.results import format_esearch, format_numbers
from mailserver.model.errors import Malformed


def returns(text):
    cursor = Cursor(RawCommand((text,)))
    found = parse_returns(cursor)
    cursor.end()
    return found


def options(*names):
    return frozenset(map(ResultOption, names))


READ = {
    b"()": Returns(options("ALL")),
    b"(ALL)": Returns(options("ALL")),
    b"(min Max)": Returns(options("MIN", "MAX")),
    b"(COUNT COUNT)": Returns(options("COUNT")),
    b"(SAVE)": Returns(options("SAVE")),
    b"(PARTIAL 1:500)": Returns(options(), ResultRange(1, 500)),
    b"(COUNT PARTIAL -1:-100 SAVE)": Returns(options("COUNT", "SAVE"), ResultRange(-1, -100)),
    b"(PARTIAL 500:400)": Returns(options(), ResultRange(500, 400)),
}


@pytest.mark.parametrize("text", READ)
def test_read(text):
    assert returns(text) == READ[text]


REFUSED = {
    b"(UPDATE)": "bad_result_option",
    b"(ALL PARTIAL 1:2)": "bad_result_option",
    b"(PARTIAL 1:2 PARTIAL 3:4)": "bad_result_option",
    b"(PARTIAL)": "missing_space",
    b"(PARTIAL 0:5)": "bad_partial",
    b"(PARTIAL 1:*)": "bad_partial",
    b"(PARTIAL 1:-5)": "bad_partial",
    b"(PARTIAL -1:5)": "bad_partial",
    b"(PARTIAL 5)": "bad_partial",
    b"(PARTIAL 1:9999999999)": "bad_number",
    b"ALL": "bad_syntax",
    b"( ALL)": "bad_result_option",
    b"(" + b"MIN " * 16 + b"MAX)": "too_many_items",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text):
    with pytest.raises(Malformed) as caught:
        returns(text)
    assert caught.value.code == REFUSED[text]


@pytest.mark.parametrize(
    ("wire", "part"),
    [
        (b"1:3", "abc"),
        (b"3:1", "abc"),
        (b"2:2", "b"),
        (b"4:9", "de"),
        (b"6:9", ""),
        (b"-1:-2", "de"),
        (b"-2:-1", "de"),
        (b"-4:-9", "ab"),
        (b"-5:-5", "a"),
        (b"-6:-9", ""),
    ],
)
def test_range(wire, part):
    assert parse_range(Cursor(RawCommand((wire,)))).part_of("abcde") == part


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1, -1), (0, 0), (-2, 3)])
def test_range_has_one_sign(first, last):
    with pytest.raises(Malformed):
        ResultRange(first, last)


@pytest.mark.parametrize(
    ("text", "concerned"),
    [
        (b"(SAVE)", [2, 4, 6, 8]),
        (b"(SAVE ALL)", [2, 4, 6, 8]),
        (b"(SAVE COUNT)", [2, 4, 6, 8]),
        (b"(SAVE MIN)", [2]),
        (b"(SAVE MAX)", [8]),
        (b"(SAVE MIN MAX)", [2, 8]),
        (b"(SAVE MIN COUNT)", [2, 4, 6, 8]),
        (b"(SAVE MAX ALL)", [2, 4, 6, 8]),
        (b"(SAVE PARTIAL 2:3)", [4, 6]),
        (b"(SAVE PARTIAL 9:10)", []),
        (b"(SAVE PARTIAL 2:3 MIN)", [2, 4, 6]),
        (b"(SAVE PARTIAL 2:3 MAX)", [4, 6, 8]),
        (b"(SAVE PARTIAL 2:2 MIN MAX)", [2, 4, 8]),
        (b"(SAVE PARTIAL 2:2 COUNT)", [2, 4, 6, 8]),
    ],
)
def test_concerned(text, concerned):
    """RFC 5182 §2.4 and the table of RFC 9394 §3.2."""
    assert list(returns(text).concerned([2, 4, 6, 8])) == concerned
    assert list(returns(text).concerned([])) == []


def test_only_save_alone_is_silent():
    silent = [
        text for text in (b"(SAVE)", b"(SAVE MIN)", b"(SAVE PARTIAL 1:2)", b"()") if returns(text).is_silent
    ]
    assert silent == [b"(SAVE)"]


@pytest.mark.parametrize(
    ("text", "numbers", "told"),
    [
        (b"()", [2, 10, 11], b"ALL 2,10:11"),
        (b"(MIN COUNT)", [2, 10, 11], b"MIN 2 COUNT 3"),
        (b"(MIN MAX)", [7, 9, 3800], b"MIN 7 MAX 3800"),
        (b"(COUNT ALL)", [5, 4, 3, 7, 8], b"COUNT 5 ALL 5,4,3,7:8"),
        (b"(MIN MAX ALL)", [], b""),
        (b"(MIN COUNT)", [], b"COUNT 0"),
        (b"(PARTIAL 1:2)", [3, 4, 6], b"PARTIAL (1:2 3:4)"),
        (b"(PARTIAL -1:-2 COUNT)", [3, 4, 6], b"COUNT 3 PARTIAL (-1:-2 4,6)"),
        (b"(PARTIAL 400:300)", [3], b"PARTIAL (400:300 NIL)"),
        (b"(SAVE MAX)", [3, 4], b"MAX 4"),
    ],
)
def test_esearch(text, numbers, told):
    rest = b" " + told if told else b""
    assert format_esearch("A1", numbers, returns(text), uid=False) == b'* ESEARCH (TAG "A1")' + rest + b"\r\n"


def test_esearch_of_uids_with_modseq():
    told = format_esearch("a]", [3], returns(b"()"), uid=True, highest_modseq=9)
    assert told == b'* ESEARCH (TAG "a]") UID ALL 3 MODSEQ 9\r\n'


def test_numbers():
    assert format_numbers("SEARCH", []) == b"* SEARCH\r\n"
    assert format_numbers("SEARCH", [], highest_modseq=3) == b"* SEARCH\r\n"
    assert format_numbers("SEARCH", [2, 4]) == b"* SEARCH 2 4\r\n"
    assert format_numbers("SORT", [4, 2], highest_modseq=9) == b"* SORT 4 2 (MODSEQ 9)\r\n"
