"""The words of RFC 3461: what is written reads back; anything else is Malformed, and nothing that breaks a line passes."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from mailserver.model.dsn import Notify, format_notify, format_xtext, parse_notify, parse_xtext
from mailserver.model.errors import Malformed

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=100)


@given(PRINTABLE)
def test_xtext_reads_back(text: str) -> None:
    wire = format_xtext(text)
    assert parse_xtext(wire, 300) == text
    assert not set(wire) & set(" =\r\n")


@given(st.text(max_size=40) | st.text("+0123456789ABCDEFabcdef=~! ", max_size=12))
def test_only_malformed_escapes(text: str) -> None:
    with contextlib.suppress(Malformed):
        plain = parse_xtext(text, 30)
        assert plain.isascii()
        assert plain.isprintable()
        assert parse_xtext(format_xtext(plain), 100) == plain


@given(st.frozensets(st.sampled_from(Notify)))
def test_notify_reads_back(asked: frozenset[Notify]) -> None:
    assert parse_notify(format_notify(asked)) == asked
