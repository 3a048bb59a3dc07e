"""An author that policy accepts is the one author that every other reader finds."""

from email.utils import getaddresses

from hypothesis import given
from hypothesis import strategies as st

from mailserver.mime.addresses import parse_address_list
from mailserver.mime.header_writer import format_address_field
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.strict_address import parse_named_address
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed

_PIECES = [
    "victim@c.example", "att@b.localhost", "<", ">", "(", ")", '"', "\\", ",", ";", ":", "@", " ", "\t", "Dr", ".",
    "é", "=?utf-8?Q?a=40b?=", "[", "]",
]  # fmt: skip


@given(st.lists(st.sampled_from(_PIECES), max_size=9).map("".join))
def test_readers_agree_on_what_is_accepted(text: str) -> None:
    value = text.encode()
    try:
        found = parse_named_address(value)
    except Malformed:
        return
    assert value.count(b"@") == 1 or b'"' in value or b"=?" in value
    tolerant = parse_address_list(value).mailboxes
    assert [parse_address(each.text) for each in tolerant] == [found.address]
    if text.isascii():
        assert [parse_address(address) for _name, address in getaddresses([text])] == [found.address]


@given(st.binary(max_size=60))
def test_only_malformed_escapes(value: bytes) -> None:
    try:
        parse_named_address(value)
    except Malformed:
        return


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f"), max_size=80))
def test_what_we_write_is_accepted(name: str) -> None:
    address = parse_address("camille@b.localhost")
    try:
        field = format_address_field("From", [(name, address)])
    except Malformed:
        return
    assert parse_named_address(HeaderBlock(field).find(b"from") or b"").address == address
