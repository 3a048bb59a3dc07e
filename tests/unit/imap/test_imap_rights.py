"""SETACL to MYRIGHTS on the wire (RFC 4314 §7), without a store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap import commands as c
from mailserver.imap.encode import format_astring, format_mailbox
from mailserver.imap.encode_rights import format_acl, format_list_rights, format_my_rights
from mailserver.imap.framing import CommandReceived, Framer, limits_after_login
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.parse_rights import prepare_identifier
from mailserver.model.rights import EVERY_RIGHT, Right, format_rights, parse_rights

LR = parse_rights("lr")
RIGHTS = st.frozensets(st.sampled_from(list(Right)))
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


def parsed(line: bytes, pieces: int = 0):
    framer = Framer(limits_after_login(0))
    wire = line.replace(b"}\r\n", b"+}\r\n") + b"\r\n"
    for at in range(0, len(wire), pieces or len(wire)):
        framer.feed(wire[at : at + (pieces or len(wire))])
    event = framer.next_event()
    assert isinstance(event, CommandReceived), event
    return parse_command(event.command)[1]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (
            b"a SETACL INBOX doc@a.localhost lr",
            c.SetAcl("INBOX", "doc@a.localhost", c.RightsChange.REPLACE, LR),
        ),
        (
            b'a setacl inbox "doc@a.localhost" +lr',
            c.SetAcl("INBOX", "doc@a.localhost", c.RightsChange.ADD, LR),
        ),
        (b"a SETACL x doc -rl", c.SetAcl("x", "doc", c.RightsChange.REMOVE, LR)),
        (b'a SETACL x doc ""', c.SetAcl("x", "doc", c.RightsChange.REPLACE, frozenset())),
        (b"a SETACL x doc +", c.SetAcl("x", "doc", c.RightsChange.ADD, frozenset())),
        (b"a SETACL x {3}\r\ndoc {1}\r\nd", c.SetAcl("x", "doc", c.RightsChange.REPLACE, parse_rights("te"))),
        (b"a DELETEACL x -doc", c.DeleteAcl("x", "-doc")),
        ("a DELETEACL x {5}\r\nR\u00e9mi".encode(), c.DeleteAcl("x", "Rémi")),
        (b"a GETACL &AOk-t&AOk-", c.GetAcl("été")),
        (b"a LISTRIGHTS x anyone", c.ListRights("x", "anyone")),
        (b"a MYRIGHTS inbox", c.MyRights("INBOX")),
    ],
)
def test_commands(line: bytes, command: c.Command) -> None:
    for pieces in (0, 1, 3):
        assert parsed(line, pieces) == command


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"a SETACL x doc lrX", "bad_right"),
        (b"a SETACL x doc ++l", "bad_right"),
        (b"a SETACL x doc l-r", "bad_right"),
        (b"a SETACL x doc 0", "bad_right"),
        (b"a SETACL x doc", "missing_space"),
        (b"a SETACL x", "missing_space"),
        (b'a SETACL x "" l', "bad_identifier"),
        (b'a SETACL x "a\tb" l', "bad_identifier"),
        (b"a SETACL x {1}\r\n\xff l", "bad_identifier"),
        (b"a SETACL x " + b"d" * 1025 + b" l", "bad_identifier"),
        (b"a SETACL x doc l more", "trailing_octets"),
        (b"a DELETEACL x", "missing_space"),
        (b"a GETACL", "missing_space"),
        (b'a GETACL ""', "bad_mailbox"),
        (b"a MYRIGHTS x y", "trailing_octets"),
    ],
)
def test_what_is_refused(line: bytes, code: str) -> None:
    with pytest.raises(BadCommand) as refused:
        parsed(line)
    assert refused.value.code == code
    assert refused.value.tag == "a"


@given(WORDS, WORDS, RIGHTS, st.sampled_from(list(c.RightsChange)))
def test_what_was_formatted_is_parsed(
    mailbox: str, identifier: str, rights: frozenset[Right], change
) -> None:
    letters = change.value + "".join(right.value for right in rights)
    wire = b"a SETACL %b %b %b" % (
        format_mailbox(mailbox),
        format_astring(identifier.encode()),
        format_astring(letters.encode()),
    )
    name = "INBOX" if mailbox.upper() == "INBOX" else mailbox
    assert parsed(wire) == c.SetAcl(name, identifier, change, rights)


@given(st.binary(max_size=60))
def test_only_bad_command_escapes(octets: bytes) -> None:
    for verb in (b"SETACL", b"DELETEACL", b"GETACL", b"LISTRIGHTS", b"MYRIGHTS"):
        framer = Framer(limits_after_login(0))
        framer.feed(b"a " + verb + b" " + octets + b"\r\n")
        event = framer.next_event()
        if isinstance(event, CommandReceived):
            try:
                parse_command(event.command)
            except BadCommand:
                continue


def test_forms_of_one_identifier() -> None:
    assert prepare_identifier("Re\u0301mi") == prepare_identifier("R\u00e9mi")


@given(RIGHTS)
def test_rights_come_back_from_a_response(rights: frozenset[Right]) -> None:
    (line,) = format_my_rights("x", rights).splitlines()
    letters = line.rsplit(b" ", 1)[1].strip(b'"').decode()
    assert letters == format_rights(rights)


def test_responses() -> None:
    assert format_acl("x", []) == b"* ACL x\r\n"
    assert format_acl("é", [("doc", LR), ("Ré", frozenset())]) == (
        b'* ACL &AOk- doc lr {3}\r\nR\xc3\xa9 ""\r\n'
    )
    assert format_acl("é", [], is_utf8=True) == b'* ACL "\xc3\xa9"\r\n'
    assert format_list_rights("x", "doc", None) == b'* LISTRIGHTS x doc ""\r\n'
    assert format_list_rights("x", "doc", EVERY_RIGHT) == b"* LISTRIGHTS x doc lrswipkxteacd\r\n"
    assert format_list_rights("x", "doc", LR) == b"* LISTRIGHTS x doc lr s w i p k x t e a c d\r\n"
