"""Text segments: what is found in one is what is found in each text alone; any octets are read or are Malformed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailserver.model.errors import Malformed
from mailserver.service import text_segment
from mailserver.service.text_segment import (
    TextEntry,
    encode_text,
    format_segment,
    make_entry,
    pack_entries,
    parse_segment,
)

WORDS = st.text(alphabet="ab\n é\u20acΣ\ud800\0", max_size=12)
TEXTS = st.lists(st.tuples(WORDS, st.none() | WORDS), min_size=1, max_size=12)


def entries_of(texts: list[tuple[str, str | None]]) -> list[TextEntry]:
    return [make_entry(7 + 3 * at, *text) for at, text in enumerate(texts)]


def whole(text: tuple[str, str | None]) -> str:
    header, body = text
    return header if body is None else f"{header}\n{body}"


@given(TEXTS, WORDS)
@example([("aa", "aa"), ("aa", None)], "aaa")
@example([("", ""), ("", None), ("a", "")], "\n")
def test_a_segment_finds_what_each_text_holds(texts: list[tuple[str, str | None]], needle: str) -> None:
    segment = parse_segment(format_segment(entries_of(texts)) + b"\0" * 9)
    numbered = list(zip(segment.uids, texts, strict=True))
    by_text = [uid for uid, text in numbered if needle in whole(text)]
    by_body = [uid for uid, text in numbered if needle in (text[1] or "")]
    assert segment.find_uids(encode_text(needle), with_header=True) == by_text
    assert segment.find_uids(encode_text(needle), with_header=False) == by_body


@given(TEXTS)
def test_entries_come_back(texts: list[tuple[str, str | None]]) -> None:
    entries = entries_of(texts)
    assert list(parse_segment(format_segment(entries)).entries()) == entries


@given(st.binary(max_size=60), st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4))
def test_only_malformed_escapes(tail: bytes, flips: list[tuple[int, int]]) -> None:
    for octets in (tail, format_segment(entries_of([("abc", "d"), ("e", None)]))):
        altered = bytearray(octets)
        for at, value in flips:
            if at < len(altered):
                altered[at] = value
        try:
            segment = parse_segment(bytes(altered))
        except Malformed:
            continue
        assert list(segment.uids) == sorted(set(segment.uids))
        assert set(segment.find_uids(b"a", with_header=True)) <= set(segment.uids)


@given(TEXTS, st.integers(1, 30), st.integers(1, 4))
def test_packing_keeps_the_order_and_the_bounds(
    texts: list[tuple[str, str | None]], most_bytes: int, most_items: int
) -> None:
    entries = entries_of(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_segment, "SEGMENT_BYTES", most_bytes)
        patch.setattr(text_segment, "SEGMENT_ITEMS", most_items)
        parts = list(pack_entries(entries))
    assert [entry for part in parts for entry in part] == entries
    assert all(len(part) <= most_items for part in parts)
    assert all(len(part) == 1 or sum(len(entry.text) for entry in part) <= most_bytes for part in parts)


def test_nothing_private_is_in_a_repr() -> None:
    entry = make_entry(3, "objet", "phlogistique")
    assert "objet" not in repr(entry)
    assert "phlogistique" not in repr(entry)
    assert "phlogistique" not in repr(parse_segment(format_segment([entry])))
