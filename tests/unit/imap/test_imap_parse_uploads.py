"""APPEND and REPLACE as steps, line by line between their literals."""

import pytest

from mailserver.imap import commands as c
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.parse_uploads import parse_further
from mailserver.imap.sequence_set import STAR, SequenceSet
from mailserver.model.errors import Malformed

BEGIN, END, OCTETS, PART = (
    c.MessageBegins(),
    c.MessageEnds(),
    c.OctetsFollow(5),
    c.OctetsFollow(5, is_part=True),
)
URL = c.UrlPart(b"/a;UID=1")
TWO = SequenceSet(((2, 2),))

FIRST = {
    b"APPEND x ": c.Append("x", (BEGIN, OCTETS)),
    b"append x catenate (text ": c.Append("x", (BEGIN, PART)),
    b'APPEND x (\\Seen) CATENATE (URL "/a;UID=1" TEXT ': c.Append(
        "x", (c.MessageBegins(("\\Seen",)), URL, PART)
    ),
    b"APPEND x CATENATE (URL /a;UID=1) ": c.Append("x", (BEGIN, URL, END, BEGIN, OCTETS)),
    b"REPLACE 2 x ": c.Replace(TWO, "x", (BEGIN, OCTETS)),
    b"REPLACE * x ": c.Replace(SequenceSet(((STAR, STAR),)), "x", (BEGIN, OCTETS)),
    b"UID REPLACE 2 x CATENATE (TEXT ": c.Replace(TWO, "x", (BEGIN, PART), uid=True),
}


@pytest.mark.parametrize("line", FIRST)
def test_up_to_the_first_literal(line):
    assert parse_command(RawCommand((b"a " + line,), streamed_bytes=5)) == ("a", FIRST[line])


WHOLE = {
    b"APPEND x CATENATE (URL /a;UID=1)": c.Append("x", (BEGIN, URL, END)),
    b"APPEND x CATENATE (URL /a;UID=1 URL /a;UID=1) (\\Seen) CATENATE (URL /a;UID=1)": c.Append(
        "x", (BEGIN, URL, URL, END, c.MessageBegins(("\\Seen",)), URL, END)
    ),
    b"REPLACE 2 x CATENATE (URL /a;UID=1)": c.Replace(TWO, "x", (BEGIN, URL, END)),
}


@pytest.mark.parametrize("line", WHOLE)
def test_without_literals(line):
    assert parse_command(RawCommand((b"a " + line,))) == ("a", WHOLE[line])


FURTHER = {
    (b"", False, False): (END,),
    (b" ", False, True): (END, BEGIN, OCTETS),
    (b" CATENATE (URL /a;UID=1 TEXT ", False, True): (END, BEGIN, URL, PART),
    (b")", True, False): (END,),
    (b" URL /a;UID=1)", True, False): (URL, END),
    (b" URL /a;UID=1 TEXT ", True, True): (URL, PART),
    (b") ", True, True): (END, BEGIN, OCTETS),
    (b") CATENATE (URL /a;UID=1)", True, False): (END, BEGIN, URL, END),
}


@pytest.mark.parametrize(("text", "is_part", "has_more"), FURTHER)
def test_after_a_literal(text, is_part, has_more):
    raw = RawCommand((text,), streamed_bytes=5 if has_more else None)
    assert parse_further(raw, c.OctetsFollow(3, is_part), is_only=False) == FURTHER[text, is_part, has_more]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"APPEND x CATENATE ()", "bad_part"),
        (b"APPEND x CATENATE (COLOUR x)", "bad_part"),
        (b"APPEND x CATENATE (URL /a", "missing_space"),
        (b"APPEND x CATENATE (URL /a) ", "missing_message"),
        (b"APPEND x CATENATE(URL /a)", "missing_message"),
        (b"APPEND x CATENATE (URL " + b"/" * 4097 + b")", "too_long"),
        (b"APPEND x CATENATE (TEXT abc)", "missing_message"),
        (b"REPLACE 1:2 x CATENATE (URL /a)", "one_message_only"),
        (b"REPLACE 1,3 x CATENATE (URL /a)", "one_message_only"),
        (b"REPLACE $ x CATENATE (URL /a)", "bad_sequence_set"),  # RFC 8508 §5: one number
        (b"REPLACE 0 x CATENATE (URL /a)", "bad_sequence_set"),
        (b"REPLACE 1 x CATENATE (URL /a) CATENATE (URL /a)", "one_message_only"),
        (b"REPLACE 1", "missing_space"),
    ],
)
def test_bad(line, code):
    with pytest.raises(BadCommand) as caught:
        parse_command(RawCommand((b"a " + line,)))
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "is_part", "is_only", "code"),
    [
        (b"x", False, False, "missing_space"),
        (b" x", False, False, "missing_message"),
        (b"", True, False, "missing_space"),
        (b" x)", True, False, "bad_part"),
        (b") x", True, False, "missing_message"),
        (b" CATENATE (URL /a)", False, True, "one_message_only"),
    ],
)
def test_bad_after_a_literal(text, is_part, is_only, code):
    with pytest.raises(Malformed) as caught:
        parse_further(RawCommand((text,)), c.OctetsFollow(3, is_part), is_only=is_only)
    assert caught.value.code == code
