"""What SEARCH reads back from a stored ENVELOPE is what the header said."""

from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap.envelope_fields import FIELDS, find_field, parse_nodes
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
