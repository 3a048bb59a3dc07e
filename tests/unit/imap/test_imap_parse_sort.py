"""SORT and THREAD as they are asked for."""

import pytest

from mailserver.imap.commands import (
    ResultOption,
    ResultRange,
    Returns,
    Sort,
    SortCriterion,
    SortKey,
    Thread,
    ThreadAlgorithm,
)
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.search_keys import AndKey, EveryKey, FlagKey, HeaderKey, TextKey

ALL = EveryKey()


def parsed(*texts, literals=()):
    return parse_command(RawCommand((b"a " + texts[0], *texts[1:]), literals))[1]


COMMANDS = {
    b"SORT (DATE) UTF-8 ALL": Sort((SortCriterion(SortKey.DATE),), ALL, "UTF-8"),
    b"sort (reverse date Subject) utf-8 seen from x": Sort(
        (SortCriterion(SortKey.DATE, is_reverse=True), SortCriterion(SortKey.SUBJECT)),
        AndKey((FlagKey("\\Seen"), HeaderKey("from", "x"))),
        "UTF-8",
    ),
    b'UID SORT (DISPLAYTO) "US-ASCII" ALL': Sort(
        (SortCriterion(SortKey.DISPLAYTO),), ALL, "US-ASCII", uid=True
    ),
    b"SORT RETURN (COUNT PARTIAL -1:-2) (SIZE) UTF-8 ALL": Sort(
        (SortCriterion(SortKey.SIZE),),
        ALL,
        "UTF-8",
        returns=Returns(frozenset({ResultOption.COUNT}), ResultRange(-1, -2)),
    ),
    b"SORT (ARRIVAL) KLINGON ALL": Sort((SortCriterion(SortKey.ARRIVAL),), ALL, "KLINGON"),
    b"THREAD REFERENCES UTF-8 ALL": Thread(ThreadAlgorithm.REFERENCES, ALL, "UTF-8"),
    b"UID THREAD orderedsubject US-ASCII SEEN": Thread(
        ThreadAlgorithm.ORDEREDSUBJECT, FlagKey("\\Seen"), "US-ASCII", uid=True
    ),
}


@pytest.mark.parametrize("line", COMMANDS)
def test_command(line):
    assert parsed(line) == COMMANDS[line]


def test_texts_are_decoded():
    assert parsed(b"SORT (DATE) ISO-8859-1 TEXT ", b"", literals=(b"\xe9",)).key == TextKey("é", True)
    assert parsed(b"THREAD REFERENCES UTF-8 BODY ", b"", literals=(b"\xc3\xa9",)).key == TextKey("é", False)


BAD = {
    b"SORT": "missing_space",
    b"SORT (DATE)": "missing_space",
    b"SORT (DATE) UTF-8": "missing_space",
    b"SORT (DATE) UTF-8 COLOUR": "bad_search_key",
    b"SORT (DATE) UTF-8 ALL ": "bad_search_key",
    b"SORT () UTF-8 ALL": "bad_sort_key",
    b"SORT (COLOUR) UTF-8 ALL": "bad_sort_key",
    b"SORT (REVERSE) UTF-8 ALL": "missing_space",
    b"SORT (REVERSE REVERSE DATE) UTF-8 ALL": "bad_sort_key",
    b"SORT (DATE" + b" DATE" * 32 + b") UTF-8 ALL": "too_many_items",
    b"SORT RETURN (DATE) UTF-8 ALL": "bad_result_option",
    b"SORT RETURN () UTF-8 ALL": "bad_syntax",
    b"SORT DATE UTF-8 ALL": "bad_syntax",
    b'SORT (DATE) UTF-8 SUBJECT "\xff"': "bad_text",
    b"THREAD": "missing_space",
    b"THREAD JWZ UTF-8 ALL": "bad_thread_algorithm",
    b"THREAD REFERENCES ALL": "missing_space",
    b"THREAD REFERENCES UTF-8": "missing_space",
    b"UID SORTED (DATE) UTF-8 ALL": "unknown_command",
}


@pytest.mark.parametrize("line", BAD)
def test_refusal(line):
    with pytest.raises(BadCommand) as caught:
        parsed(line)
    assert (caught.value.code, caught.value.tag) == (BAD[line], "a")
