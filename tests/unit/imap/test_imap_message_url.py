"""IMAP URLs that CATENATE can follow: those of the examples of RFC 4469 and RFC 5092, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap.commands import Partial, Section, SectionText
from mailserver.imap.grammar import MAX_NUMBER64
from mailserver.imap.message_url import MessageUrl, parse_message_url
from mailserver.model.errors import Malformed

WHOLE = Section()
GOOD = {
    b"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER": MessageUrl(
        "Drafts", 385759045, 20, Section(text=SectionText.HEADER), None
    ),
    b"/Drafts;UIDVALIDITY=385759045/;UID=20/;Section=2.MIME": MessageUrl(
        "Drafts", 385759045, 20, Section((2,), SectionText.MIME), None
    ),
    b"/Drafts/;UID=3002": MessageUrl("Drafts", None, 3002, WHOLE, None),
    b"/a/b%20c/;uid=1/;section=1.2": MessageUrl("a/b c", None, 1, Section((1, 2)), None),
    b"/R%C3%A9sultats/;UID=7/;PARTIAL=10": MessageUrl(
        "R\u00e9sultats", None, 7, WHOLE, Partial(10, MAX_NUMBER64)
    ),
    b";UID=20": MessageUrl(None, None, 20, WHOLE, None),
    b";UID=20/;SECTION=1.2/;PARTIAL=0.1024": MessageUrl(None, None, 20, Section((1, 2)), Partial(0, 1024)),
    b";UID=1/;SECTION=HEADER.FIELDS%20(From%20%22To%22)": MessageUrl(
        None, None, 1, Section((), SectionText.HEADER_FIELDS, ("From", "To")), None
    ),
}


@pytest.mark.parametrize("octets", GOOD)
def test_good(octets):
    assert parse_message_url(octets) == GOOD[octets]


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"/",
        b"/Drafts",
        b"/Drafts/",
        b"//host/Drafts/;UID=1",
        b"imap://user@host/Drafts/;UID=1",
        b"Drafts/;UID=1",
        b"/Drafts;UID=1",
        b"/Drafts/;UID=",
        b"/Drafts/;UID=4294967296",
        b"/Drafts/;UID=1;URLAUTH=anonymous",
        b"/Drafts/;UID=1/;SECTION=",
        b"/Drafts/;UID=1/;SECTION=COLOUR",
        b"/Drafts/;UID=1/;SECTION=1]BODY[2",
        b"/Drafts/;UID=1/;SECTION=1%0D%0A",
        b"/Drafts/;UID=1/;PARTIAL=1.0",
        b"/Drafts/;UID=1/;PARTIAL=1/;SECTION=1",
        b"/Dr%ZZfts/;UID=1",
        b"/Dr%FFfts/;UID=1",
        b"/Dr\xe9fts/;UID=1",
        b"/Dr fts/;UID=1",
        b";UIDVALIDITY=3/;UID=1",
    ],
)
def test_bad(octets):
    with pytest.raises(Malformed) as caught:
        parse_message_url(octets)
    assert caught.value.code == "bad_url"


pieces = st.sampled_from(
    [b"/", b";UID=", b"1", b";SECTION=", b"HEADER", b"%", b"%20", b"(", b"[", b"]", b"a", b"\xff"]
)


@given(st.lists(pieces | st.binary(max_size=3), max_size=10).map(b"".join))
def test_only_malformed_escapes(octets):
    try:
        parse_message_url(octets)
    except Malformed as error:
        assert error.code == "bad_url"
