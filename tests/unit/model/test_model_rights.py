"""Rights as letters (RFC 4314 §2.1), and which flags they may change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.model.account import Flag
from mailserver.model.errors import Corrupt, Malformed
from mailserver.model.rights import (
    EVERY_RIGHT,
    MEMBER_RIGHTS,
    Right,
    flag_mask,
    format_optional_rights,
    format_rights,
    parse_rights,
)
from mailserver.service.membership import (
    RESPONSIBLE_RIGHTS,
    MemberRights,
    format_member_rights,
    parse_member_rights,
)

SETS = st.frozensets(st.sampled_from(list(Right)))
MAILBOX, OTHER = bytes(16), bytes([1]) * 16


@pytest.mark.parametrize(
    ("letters", "told"),
    [
        ("", ""),
        ("lr", "lr"),
        ("rl", "lr"),
        ("lrswipkxte", "lrswipkxtecd"),
        ("c", "kxc"),
        ("d", "ted"),
        ("lrswida", "lrswitead"),
        ("lrswikda", "lrswikteacd"),
        ("t", "td"),
        ("k", "kc"),
        ("tt", "td"),
    ],
)
def test_obsolete_rights_are_read_and_told(letters: str, told: str) -> None:
    assert format_rights(parse_rights(letters)) == told


@pytest.mark.parametrize("letters", ["L", "lrQ", "q", "0", "l r", "é", "+l"])
def test_an_unknown_right_is_refused(letters: str) -> None:
    with pytest.raises(Malformed) as refused:
        parse_rights(letters)
    assert refused.value.code == "bad_right"


@given(SETS)
def test_what_is_told_reads_as_the_same_rights_at_least(rights: frozenset[Right]) -> None:
    """``c`` and ``d`` are told with one of their members, and ask for both: a client must not echo them blindly."""
    assert parse_rights(format_rights(rights).rstrip("cd")) == rights
    assert parse_rights(format_rights(rights)) >= rights


@given(SETS)
def test_no_right_is_listed_twice(required: frozenset[Right]) -> None:
    words = ["".join(each.value for each in required), *format_optional_rights(required)]
    assert len("".join(words)) == len(set("".join(words)))
    assert set("".join(words)) >= {right.value for right in Right}


@pytest.mark.parametrize(
    ("letters", "may", "may_not"),
    [
        ("s", Flag.SEEN, Flag.DELETED | Flag.ANSWERED),
        ("t", Flag.DELETED, Flag.SEEN | Flag.DRAFT),
        ("w", Flag.ANSWERED | Flag.FORWARDED | 1 << 20, Flag.SEEN | Flag.DELETED),
        ("swt", Flag.SEEN | Flag.DELETED | Flag.FLAGGED | 1 << 61, 0),
        ("lr", 0, (1 << 62) - 1),
    ],
)
def test_flags_by_right(letters: str, may: int, may_not: int) -> None:
    mask = flag_mask(parse_rights(letters))
    assert mask & may == may
    assert mask & may_not == 0


@given(SETS, st.dictionaries(st.binary(min_size=16, max_size=16), SETS, max_size=3))
def test_member_rights_come_back(usual: frozenset[Right], special: dict) -> None:
    rights = MemberRights(usual, special)
    assert parse_member_rights(format_member_rights(rights)) == rights


@pytest.mark.parametrize(
    "raw",
    [b"", b"[]", b'{"usual": 1}', b'{"usual": "l", "special": {"x": "l"}}', b'{"usual": "Z", "special": {}}'],
)
def test_damaged_rights_are_no_rights(raw: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_member_rights(raw)


def test_rights_by_mailbox() -> None:
    rights = MemberRights().changed(MAILBOX, parse_rights("lr"))
    assert rights.of(MAILBOX) == {Right.LOOKUP, Right.READ}
    assert rights.of(OTHER) == MEMBER_RIGHTS
    assert rights.inherited(MAILBOX, OTHER).of(OTHER) == rights.of(MAILBOX)
    assert rights.inherited(OTHER, MAILBOX) == rights
    assert rights.without(MAILBOX) == MemberRights()


def test_the_responsible_member_keeps_the_key_of_the_house() -> None:
    assert RESPONSIBLE_RIGHTS.of(MAILBOX) == EVERY_RIGHT
    assert RESPONSIBLE_RIGHTS.changed(MAILBOX, frozenset()).of(MAILBOX) == {Right.LOOKUP, Right.ADMINISTER}
    assert not MemberRights().required
