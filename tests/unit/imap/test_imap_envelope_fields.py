"""What SEARCH reads back from a stored ENVELOPE is what the header said."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap.envelope_fields import (
    FIELDS,
    FieldMatcher,
    find_field,
    find_first_address,
    member_pattern,
    parse_nodes,
)
from mailserver.imap.search import fold
from mailserver.mime.envelope import build_envelope
from mailserver.mime.headers import HeaderBlock

HEAD = (
    b"Date: Mon, 5 Oct 2026 10:00:00 +0200\r\n"
    b'Subject: =?utf-8?q?R=C3=A9sultats?= du "labo"\r\n'
    b'From: "Dr Alix \\"X\\" FICTIF" <alix@b.localhost>\r\n'
    b"To: Groupe: un@a.localhost, Deux <deux@a.localhost>;\r\n"
    b"Message-ID: <1@b.localhost>\r\n\r\n"
)


def test_fields() -> None:
    envelope = build_envelope(HeaderBlock(HEAD)).octets
    assert find_field(envelope, "subject") == ('Résultats du "labo"',)
    assert find_field(envelope, "from") == ('Dr Alix "X" FICTIF <alix@b.localhost>',)
    assert find_field(envelope, "to")[1:3] == ("<un@a.localhost>", "Deux <deux@a.localhost>")
    assert find_field(envelope, "message-id") == ("<1@b.localhost>",)
    assert find_field(envelope, "cc") == ()
    assert find_field(envelope, "in-reply-to") == ()


def test_eight_bit_subject_is_a_literal() -> None:
    envelope = build_envelope(HeaderBlock("Subject: été\r\n\r\n".encode())).octets
    assert b"{" in envelope
    assert find_field(envelope, "subject") == ("été",)


@given(st.binary(max_size=300))
def test_any_octets_give_all_fields(octets: bytes) -> None:
    nodes = parse_nodes(octets)
    assert len(nodes) >= len(FIELDS)
    for name in FIELDS:
        find_field(octets, name)


SYMBOLS = (b"(", b")", b"NIL ", b'"a"', b'"', b"{1}\r\n")


def test_brackets_in_any_order_give_all_fields() -> None:
    """Every row of up to five symbols: what is cut short, or closed too often, is empty."""
    for length in range(6):
        for row in product(SYMBOLS, repeat=length):
            octets = b"".join(row)
            assert len(parse_nodes(octets)) >= len(FIELDS), octets
            for name in ("date", "from", "message-id"):
                assert isinstance(find_field(octets, name), tuple)
                assert all(isinstance(part, bytes) for part in find_first_address(octets, name))


@pytest.mark.parametrize("octets", [b"))", b")(", b")()", b"(()))(", b"", b"(" * 5000, b"{999999999}\r\n"])
def test_an_envelope_that_closes_too_often_is_empty(octets: bytes) -> None:
    assert parse_nodes(octets)[1:] == [None] * (len(FIELDS) - 1)
    assert find_field(octets, "from") == ()


@pytest.mark.parametrize(
    ("name", "text", "is_found"),
    [
        ("from", "fictif", True),
        ("from", "ALIX@B", True),
        ("from", 'dr alix "x" fictif <alix@b.localhost>', True),
        ("from", "<alix", True),
        ("from", "<dr", False),
        ("from", "b.localhost>", True),
        ("from", "nil", False),
        ("from", " ", True),
        ("from", "", True),
        ("sender", "alix", True),
        ("to", "un@a", True),
        ("to", "groupe", True),
        ("to", "groupe@", False),
        ("to", "deux <deux@a", True),
        ("to", "un@a@", False),
        ("to", "nil nil", False),
        ("to", '" "', False),
        ("cc", "", False),
        ("subject", "resultats du", True),
        ("subject", '"labo"', True),
        ("message-id", "<1@b.localhost>", True),
        ("in-reply-to", "", False),
        ("date", "5 oct", True),
    ],
)
def test_matcher(name: str, text: str, is_found: bool) -> None:
    envelope = build_envelope(HeaderBlock(HEAD)).octets
    assert FieldMatcher(name, text, fold).is_match(envelope) is is_found


PIECES = st.sampled_from(
    [
        "a",
        "B",
        "nil",
        "NIL",
        "@",
        " ",
        '"',
        "\\",
        "(",
        ")",
        "<",
        ">",
        "é",
        "=?utf-8?q?=C3=A9?=",
        "x.y",
        ",",
        ":",
        ";",
        "\t",
        "\x01",
    ]
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)
ADDRESSES = st.tuples(
    TEXTS, st.sampled_from(["a", "nil", "x.y", '"a@b"', "é"]), st.sampled_from(["b.localhost", "nil"])
).map(lambda parts: f"{parts[0]} <{parts[1]}@{parts[2]}>")


@given(
    TEXTS,
    st.lists(ADDRESSES | TEXTS, max_size=3),
    st.sampled_from(FIELDS),
    TEXTS | st.sampled_from(["a@b", "a <a@"]),
)
def test_matcher_finds_what_the_texts_hold(subject: str, people: list[str], name: str, needle: str) -> None:
    head = f"Subject: {subject}\r\nFrom: {', '.join(people)}\r\nTo: {', '.join(people[1:])}\r\nMessage-ID: {subject}\r\n\r\n"
    envelope = build_envelope(HeaderBlock(head.encode())).octets
    expected = any(fold(needle) in fold(value) for value in find_field(envelope, name))
    assert FieldMatcher(name, needle, fold).is_match(envelope) is expected


@given(st.sampled_from(FIELDS), TEXTS, st.lists(ADDRESSES, max_size=3))
def test_pattern_finds_the_field(name: str, subject: str, people: list[str]) -> None:
    head = f"Subject: {subject}\r\nFrom: {', '.join(people)}\r\nCc: {', '.join(people)}\r\n\r\n"
    envelope = build_envelope(HeaderBlock(head.encode())).octets
    found = member_pattern(name).match(envelope)
    if found is not None:
        place = FIELDS.index(name)
        assert parse_nodes(b"(" + found[1] + b")", 1)[0] == parse_nodes(envelope)[place]


@given(
    st.binary(max_size=200)
    | st.lists(st.sampled_from([b"(", b")", b'"', b"NIL", b" ", b"a", b"{1}\r\n"])).map(b"".join)
)
def test_any_octets_can_be_matched(octets: bytes) -> None:
    for name in FIELDS:
        assert FieldMatcher(name, "a", fold).is_match(octets) in {True, False}
