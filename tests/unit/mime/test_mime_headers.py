"""Header fields, encoded words, parameters, dates and message ids."""

import time
from datetime import UTC, datetime

import pytest

from mailserver.mime.dates import find_date, format_date
from mailserver.mime.encoded_words import decode_words, format_words
from mailserver.mime.headers import HeaderBlock, find_header, find_message_id, find_message_ids
from mailserver.mime.parameters import find_media_type, find_parameter, parse_parameters

BLOCK = (
    b"Subject: one\r\n two\r\n\tthree\r\nX-Empty:\r\nno field\r\nTo : a@demo.example\r\n"
    b"SUBJECT: again\r\n: nameless\r\nBad\rName: x\r\nLast: \0\r!\r\n\r\n"
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("subject", b"one two\tthree"),
        ("Subject", b"one two\tthree"),
        ("x-empty", b""),
        ("to", b"a@demo.example"),
        ("last", b"!"),
        ("absent", None),
        ("é", None),
    ],
)
def test_find_header(name: str, value: bytes | None) -> None:
    found = find_header(BLOCK, name)
    assert (found.strip() if found is not None else None) == value


def test_repeated_fields_are_counted() -> None:
    headers = HeaderBlock(BLOCK)
    assert headers.count(b"subject") == 2
    assert headers.find_all(b"subject") == (b"one two\tthree", b"again")
    assert headers.count(b"nope") == 0


def test_a_value_never_holds_a_line_break() -> None:
    assert find_header(b"A: x\r\n \ry\0z\r\n\r\n", "a") == b"x  y z"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?Caf=C3=A9_noir?=", "Café noir"),
        (b"=?UTF-8?b?Q2Fmw6k=?=", "Café"),
        (b"=?iso-8859-1*fr?q?Caf=E9?=", "Café"),
        (b"a =?utf-8?q?b?= c", "a b c"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=   =?iso-8859-1?q?=E9?=", "aé"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        (b"=?utf-8?q?a b?=", "a b"),
        (b"=?utf-8?b?Q2Fmw6?=", "Caf\ufffd"),
        (b"=?x-unknown?q?a=E9?=", "a\ufffd"),
        (b"=?utf-7?q?+ADw-script+AD4-?=", "+ADw-script+AD4-"),
        (b"=?utf-8?q?a=0D=0AX-Evil:_1=00?=", "a  X-Evil: 1 "),
        (b"=?utf-8?b?DQpCY2M6IHg=?=", "  Bcc: x"),
        (b"=?utf-8?x?abc?=", "=?utf-8?x?abc?="),
        (b"=?utf-8?q?open", "=?utf-8?q?open"),
        ("brut é".encode(), "brut é"),
        (b"latin \xe9", "latin é"),
    ],
)
def test_decode_words(value: bytes, text: str) -> None:
    assert decode_words(value) == text


@pytest.mark.parametrize(
    "text", ["é", "日本語のとても長い件名" * 20, "a b=?_", "ça et là " * 30, "\t", "😀" * 40]
)
def test_format_words(text: str) -> None:
    words = format_words(text)
    assert all(len(word) <= 75 for word in words)
    assert decode_words(" ".join(words).encode()) == text


@pytest.mark.parametrize(
    ("value", "name", "text"),
    [
        (b"a/b; name=x.pdf", "name", "x.pdf"),
        (b'a/b; name="a \\"b\\".pdf"', "name", 'a "b".pdf'),
        (b"a/b; NAME = x", "name", "x"),
        (b"a/b; name=un fichier.pdf; x=y", "name", "un fichier.pdf"),
        (b"a/b; charset=us-ascii (comment)", "charset", "us-ascii"),
        (b"a/b; charset=", "charset", ""),
        (b"a/b; charset=(comment)", "charset", ""),
        (b"a/b; charset=(comment) utf-8", "charset", ""),
        (b"a/b; charset=\x0b(", "charset", ""),
        (b"a/b; filename*=utf-8''r%C3%A9sum%C3%A9.pdf; filename=resume.pdf", "filename", "résumé.pdf"),
        (b"a/b; filename*=iso-8859-1'fr'%E9", "filename", "é"),
        (b"a/b; filename*=%E9", "filename", "\ufffd"),
        (b"a/b; f*1=b; f*0=a; f*2=c", "f", "abc"),
        (b"a/b; f*0*=utf-8''%C3; f*1*=%A9; f*2=%41", "f", "é%41"),
        (b'a/b; name="=?utf-8?q?=C3=A9?="', "name", "é"),
        (b'a/b; name="open', "name", "open"),
        (b"a/b; name*=utf-8''a%0D%0AX: y", "name", "a  X:"),
        (b"a/b", "name", None),
        (b"a/b; named=x", "name", None),
    ],
)
def test_parameters(value: bytes, name: str, text: str | None) -> None:
    assert find_parameter(parse_parameters(value), name) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Text/HTML; charset=x", ("text", "html")),
        (b"text / plain", ("text", "plain")),
        (b"text", None),
        (b"", None),
        (b"/plain", None),
        (b"te\xe9xt/plain", None),
    ],
)
def test_media_type(value: bytes, expected: tuple[str, str] | None) -> None:
    assert find_media_type(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Mon, 02 Mar 2026 09:21:00 +0100", datetime(2026, 3, 2, 8, 21, tzinfo=UTC)),
        (b"2 Mar 2026 09:21 GMT", datetime(2026, 3, 2, 9, 21, tzinfo=UTC)),
        (b"Mon, 2 Mar 26 09:21:60 EST", datetime(2026, 3, 2, 14, 21, 59, tzinfo=UTC)),
        (b"Fri, 21 Nov 97 09(comment):55:06 -0600", datetime(1997, 11, 21, 15, 55, 6, tzinfo=UTC)),
        (b"1 January 126 00:00 Z", datetime(2026, 1, 1, tzinfo=UTC)),
        (b"Mon, 02 Mar 2026 09:21:00 +0100 (CET)", datetime(2026, 3, 2, 8, 21, tzinfo=UTC)),
        (b"Mon, 02 Mar 2026 09:21:00", datetime(2026, 3, 2, 9, 21, tzinfo=UTC)),
        (b"Whenever", None),
        (b"", None),
        (b"32 Mar 2026 09:21:00 +0000", None),
        (b"2 Foo 2026 09:21:00 +0000", None),
        (b"2 Mar 2026 25:21:00 +0000", None),
        (b"2 Mar 2026 09:21:00 +9900", None),
        (b"1 Jan 0000 00:00:00 +0000", None),
        (b"31 Dec 9999 23:59:59 -1200", None),
    ],
)
def test_find_date(value: bytes, expected: datetime | None) -> None:
    assert find_date(value) == expected


def test_format_date() -> None:
    assert format_date(datetime(2026, 3, 2, 8, 5, 9, tzinfo=UTC)) == "Mon, 02 Mar 2026 08:05:09 +0000"


def test_message_ids() -> None:
    assert find_message_id(b" (c) <a@demo.example> <b@demo.example>") == "<a@demo.example>"
    assert find_message_id(b"a@demo.example") is None
    assert find_message_ids(b"<a@x>\t<b@y><c d>") == ("<a@x>", "<b@y>")
    assert len(find_message_ids(b"<a@x>" * 5000)) == 1000


@pytest.mark.parametrize(
    "value",
    [
        b"a/b;" + b"a=b;" * 60_000,
        b'a/b;x="' + b'\\"' * 120_000,
        b"a/b;x*=" + b"%" * 250_000,
        b"a/b" + b";" * 250_000,
    ],
)
def test_hostile_parameters_cost_linear_time(value: bytes) -> None:
    start = time.process_time()
    find_parameter(parse_parameters(value), "x")
    decode_words(b"=?a?q?" + value)
    assert time.process_time() - start < 5
