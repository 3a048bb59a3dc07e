"""ENVELOPE, BODY and BODYSTRUCTURE as IMAP clients read them."""

import pytest
from unit.mime.mime_messages import crlf, read_list, scan

from mailserver.mime.bodystructure import format_body, format_bodystructure
from mailserver.mime.envelope import build_envelope, format_nstring, format_string
from mailserver.mime.headers import HeaderBlock


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, b"NIL"),
        (b"", b'""'),
        (b"NIL", b'"NIL"'),
        (b'a "b" \\', b'"a \\"b\\" \\\\"'),
        (b"caf\xc3\xa9", b"{5}\r\ncaf\xc3\xa9"),
        (b"a\r\nb", b"{4}\r\na\r\nb"),
        (b"a\0b", b"{2}\r\nab"),
        (b"x" * 1025, b"{1025}\r\n" + b"x" * 1025),
    ],
)
def test_strings(value: bytes | None, expected: bytes) -> None:
    assert format_nstring(value) == expected
    if value is not None:
        assert format_string(value) == expected


def envelope(header: str) -> list[object]:
    formatted = build_envelope(HeaderBlock(crlf(header)))
    assert not formatted.is_shortened
    return list(read_list(formatted.octets))


def test_envelope_of_a_full_header() -> None:
    fields = envelope(
        "Date: Mon, 02 Mar 2026 09:21:00 +0100\nSubject: =?utf-8?q?=C3=A9?=\nFrom: A <a@x.example>\n"
        "Reply-To: r@x.example\nTo: Team: b@x.example;, c@x.example\nTo: d@x.example\nCc:\n"
        "In-Reply-To: <0@x.example>\nMessage-ID: <1@x.example>\n\n"
    )
    sender = [[b"A", None, b"a", b"x.example"]]
    assert fields == [
        b"Mon, 02 Mar 2026 09:21:00 +0100",
        b"=?utf-8?q?=C3=A9?=",
        sender,
        sender,
        [[None, None, b"r", b"x.example"]],
        [
            [None, None, b"Team", None],
            [None, None, b"b", b"x.example"],
            [None, None, None, None],
            [None, None, b"c", b"x.example"],
            [None, None, b"d", b"x.example"],
        ],
        None,
        None,
        b"<0@x.example>",
        b"<1@x.example>",
    ]


def test_envelope_of_nothing_is_nil() -> None:
    assert envelope("\n") == [None] * 10


def test_present_but_empty_text_is_an_empty_string() -> None:
    fields = envelope("Subject:\nMessage-ID: \nFrom:\n\n")
    assert (fields[1], fields[2], fields[9]) == (b"", None, b"")


def test_an_address_without_domain_is_no_group() -> None:
    assert envelope("From: Whomever\n\n")[2] == [[None, None, b"Whomever", b""]]


@pytest.mark.parametrize("size", [1024, 4096, 32 * 1024])
def test_envelope_is_shortened_past_its_size(size: int) -> None:
    many = ", ".join(f"Nom {index} <user{index}@demo.example>" for index in range(3000))
    header = f"From: a@x.example\nTo: {many}\nCc: Team: {many};\nSubject: {'é' * 9000}\nMessage-ID: <{'x' * 9000}@y>\n\n"
    formatted = build_envelope(HeaderBlock(crlf(header)), size)
    assert formatted.is_shortened
    assert len(formatted.octets) <= size
    fields = read_list(formatted.octets)
    assert len(fields) == 10
    assert fields[2] == [[None, None, b"a", b"x.example"]]
    carbon_copies = fields[6]
    assert isinstance(carbon_copies, list)
    assert carbon_copies[-1] == [None, None, None, None]


def test_three_hundred_recipients_are_faithful() -> None:
    many = ", ".join(f"Nom {index} <user{index}@demo.example>" for index in range(300))
    assert len(envelope(f"To: {many}\n\n")[5]) == 300  # type: ignore[arg-type]  # a list, as the line shows


STRUCTURED = crlf(
    """Content-Type: multipart/mixed; boundary=b
Content-Language: fr, en

--b
Content-Type: text/plain; charset=utf-8; format=flowed
Content-ID: <1@x.example>
Content-Description: hello
Content-Location: http://x.example/a
Content-MD5: Q2hlY2s=

one
two
--b
Content-Type: application/pdf; name="a \\"b\\".pdf"
Content-Transfer-Encoding: BASE64
Content-Disposition: ATTACHMENT; filename=a.pdf; size=3

QUJD
--b
Content-Type: message/rfc822

Subject: in

x
--b--
"""
)


def test_bodystructure_with_extension_data() -> None:
    structure = read_list(format_bodystructure(scan(STRUCTURED)))
    assert structure == [
        [
            b"text", b"plain", [b"charset", b"utf-8", b"format", b"flowed"], b"<1@x.example>", b"hello", b"7bit",
            8, 2, b"Q2hlY2s=", None, None, b"http://x.example/a",
        ],
        [
            b"application", b"pdf", [b"name", b'a "b".pdf'], None, None, b"base64", 4, None,
            [b"attachment", [b"filename", b"a.pdf", b"size", b"3"]], None, None,
        ],
        [
            b"message", b"rfc822", None, None, None, b"7bit", 16,
            [None, b"in", *[None] * 8],
            [b"text", b"plain", [b"charset", b"us-ascii"], None, None, b"7bit", 1, 1, None, None, None, None],
            3, None, None, None, None,
        ],
        b"mixed", [b"boundary", b"b"], None, [b"fr", b"en"], None,
    ]  # fmt: skip


def test_body_has_no_extension_data() -> None:
    body = read_list(format_body(scan(STRUCTURED)))
    assert isinstance(body[0], list)
    assert [body[0][-1], body[1], body[-1]] == [
        2, [b"application", b"pdf", [b"name", b'a "b".pdf'], None, None, b"base64", 4], b"mixed"
    ]  # fmt: skip


def test_a_brief_structure_keeps_what_clients_need() -> None:
    structure = read_list(format_bodystructure(scan(STRUCTURED), is_brief=True))
    assert structure[0] == [
        b"text", b"plain", [b"charset", b"utf-8"], None, None, b"7bit", 8, 2, None, None, None, None
    ]  # fmt: skip


def test_an_opaque_part_is_octets() -> None:
    root = scan(b"Content-Type: multipart/mixed; boundary=b; name=x\r\n\r\nnothing")
    assert read_list(format_bodystructure(root)) == [
        b"application", b"octet-stream", [b"name", b"x"], None, None, b"7bit", 7, None, None, None, None
    ]  # fmt: skip
