"""GETMETADATA and SETMETADATA: their grammar, and which entries a depth reaches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap import commands as c
from mailserver.imap import encode as e
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.verbs_metadata import select_entries

GOOD = {
    b'GETMETADATA "" /shared/comment': c.GetMetadata("", ("/shared/comment",)),
    b"GETMETADATA inbox (/private/a /PRIVATE/A /shared/b)": c.GetMetadata(
        "INBOX", ("/private/a", "/shared/b")
    ),
    b"GETMETADATA x /private/a /shared/b": c.GetMetadata("x", ("/private/a", "/shared/b")),
    b"GETMETADATA (MAXSIZE 1024) x /private/a": c.GetMetadata("x", ("/private/a",), 1024),
    b"GETMETADATA x (MAXSIZE 1024 depth Infinity) (/private/a)": c.GetMetadata(
        "x", ("/private/a",), 1024, None
    ),
    b"GETMETADATA (DEPTH 1) x /private/a": c.GetMetadata("x", ("/private/a",), depth=1),
    b'SETMETADATA x (/private/a "v" /private/b NIL /PRIVATE/A "w")': c.SetMetadata(
        "x", (("/private/a", b"w"), ("/private/b", None))
    ),
}


@pytest.mark.parametrize("line", GOOD)
def test_command(line):
    assert parse_command(RawCommand((b"a " + line,))) == ("a", GOOD[line])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"GETMETADATA x", "missing_space"),
        (b"GETMETADATA x ()", "bad_string"),
        (b"GETMETADATA x (MAXSIZE) /private/a", "missing_space"),
        (b"GETMETADATA x (DEPTH 2) /private/a", "bad_parameter"),
        (b"GETMETADATA x (SIZE 2) /private/a", "bad_parameter"),
        (b"GETMETADATA (MAXSIZE 1)", "missing_space"),
        (b"GETMETADATA x " + b"/private/" + b"a" * 250, "bad_entry"),
        (b"GETMETADATA x /privateer/a", "bad_entry"),
        (b'GETMETADATA x "/private/%"', "bad_entry"),
        (b'GETMETADATA x "/private/\xe9"', "bad_entry"),
        (b"SETMETADATA x /private/a", "bad_syntax"),
        (b"SETMETADATA x (/private/a v)", "bad_string"),
        (b"SETMETADATA x (/private/a ~x)", "bad_literal"),
        (b"SETMETADATA x (" + b" ".join([b"/private/a NIL"] * 65) + b")", "too_many_items"),
    ],
)
def test_bad(line, code):
    with pytest.raises(BadCommand) as caught:
        parse_command(RawCommand((b"a " + line,)))
    assert caught.value.code == code


def test_a_literal8_holds_any_octet():
    raw = RawCommand((b"a SETMETADATA x (/private/a ~", b" /private/b ", b")"), (b"\0\xff", b"v"))
    assert parse_command(raw) == ("a", c.SetMetadata("x", (("/private/a", b"\0\xff"), ("/private/b", b"v"))))
    with pytest.raises(BadCommand):
        parse_command(RawCommand((b"a SETMETADATA x (/private/a ", b")"), (b"\0",)))


def test_values_on_the_wire():
    entries = [("/private/a", b"v"), ("/private/b", None), ("/private/c", b"\0"), ("/shared/d", b"")]
    assert e.format_metadata("\u00e9", entries) == (
        b'* METADATA &AOk- (/private/a "v" /private/b NIL /private/c ~{1}\r\n\0 /shared/d "")\r\n'
    )
    assert e.format_metadata("", [("/shared/a", b"\xc3\xa9")]) == (
        b'* METADATA "" (/shared/a {2}\r\n\xc3\xa9)\r\n'
    )


names = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(
    lambda parts: "/private/" + "/".join(parts)
)


@given(st.dictionaries(names, st.binary(max_size=3)), names, st.sampled_from([0, 1, None]))
def test_depth_reaches_what_its_definition_says(held, asked, depth):
    def is_reached(name):
        below = name.removeprefix(asked + "/")
        levels = 0 if name == asked else below.count("/") + 1 if below != name else 99
        return levels <= (98 if depth is None else depth)

    found = select_entries(held, c.GetMetadata("x", (asked,), depth=depth))
    expected = {name: value for name, value in held.items() if is_reached(name)}
    assert found == (expected or ({asked: None} if depth == 0 else {}))
