"""Transfer encodings and charsets: tolerant, streaming, never raising; and the line discipline of DATA."""

import codecs

import pytest

from mailserver.mime.decode import _CODECS, decode_body, decode_text, decoder_of, find_codec
from mailserver.mime.submission import LineDefect, LineDiscipline, check_line_discipline


@pytest.mark.parametrize(
    ("raw", "encoding", "expected"),
    [
        (b"QUJD", "base64", b"ABC"),
        (b"QU\r\nJD\r\n", "BASE64", b"ABC"),
        (b"QUI=", "base64", b"AB"),
        (b"QUI", "base64", b"AB"),
        (b"QUJDR", "base64", b"ABC"),
        (b"Q!U\xffJ\x00D", "base64", b"ABC"),
        (b"QQ==QUJD", "base64", b"A"),
        (b"=", "base64", b""),
        (b"a=3Db=\r\nc", "quoted-printable", b"a=bc"),
        (b"a=  \r\nb", "quoted-printable", b"ab"),
        (b"a=\nb", "Quoted-Printable ", b"ab"),
        (b"100% =zz =4", "quoted-printable", b"100% =zz =4"),
        (b"==41", "quoted-printable", b"=A"),
        (b"caf=c3=a9\r\n", "quoted-printable", "café\r\n".encode()),
        (b"end=", "quoted-printable", b"end"),
        (b"a=\rb", "quoted-printable", b"a=\rb"),
        (b"as is =41", "8bit", b"as is =41"),
        (b"as is", "x-unknown", b"as is"),
    ],
)
def test_decode_body(raw: bytes, encoding: str, expected: bytes) -> None:
    assert decode_body(raw, encoding) == expected
    decoder = decoder_of(encoding)
    pieces = [decoder.update(raw[index : index + 1]) for index in range(len(raw))]
    assert b"".join([*pieces, decoder.finish()]) == expected


@pytest.mark.parametrize(
    ("raw", "charset", "expected"),
    [
        ("é".encode(), "utf-8", "é"),
        ("é".encode(), "UTF8", "é"),
        (b"\xe9", "utf-8", "\ufffd"),
        (b"\xe9\x80", "ISO-8859-1", "é€"),
        (b"\xa4", "iso-8859-15", "€"),
        (b"a\xe9", "", "aé"),
        (b"a\xe9", "x-none", "a\ufffd"),
        (b"+ADw-", "utf-7", "+ADw-"),
        (b"x\x9c\xe9", "zlib", "x\ufffd\ufffd"),
        (b"nopq", "rot13", "nopq"),
        (b"a", "../../etc", "a"),
        (b"a", "\0" * 500, "a"),
    ],
)
def test_decode_text(raw: bytes, charset: str, expected: str) -> None:
    assert decode_text(raw, charset) == expected


def test_every_listed_codec_exists_and_is_text() -> None:
    for name in _CODECS:
        assert codecs.lookup(name)
        assert isinstance(b"\xff\xfe\x00a".decode(name, "replace"), str)
    assert find_codec("utf-7") is None
    assert find_codec("unicode_escape") is None


@pytest.mark.parametrize(
    ("octets", "defect"),
    [
        (b"", None),
        (b"a\r\nb\r\n", None),
        (b"a", None),
        (b"\r\n\r\n", None),
        (b"a\nb", LineDefect.BARE_LF),
        (b"\n", LineDefect.BARE_LF),
        (b"a\rb", LineDefect.BARE_CR),
        (b"a\r", LineDefect.BARE_CR),
        (b"a\r\r\n", LineDefect.BARE_CR),
        (b"a\r\n\n.\r\n", LineDefect.BARE_LF),
        (b"a\0b", LineDefect.NUL),
        (b"\n.\r\n", LineDefect.BARE_LF),
    ],
)
def test_line_discipline(octets: bytes, defect: LineDefect | None) -> None:
    assert check_line_discipline(octets) == defect
    discipline = LineDiscipline()
    for index in range(len(octets)):
        discipline.feed(octets[index : index + 1])
    assert (discipline.close() is None) == (defect is None)


def test_the_first_defect_stays() -> None:
    discipline = LineDiscipline()
    assert discipline.feed(b"a\n") is LineDefect.BARE_LF
    assert discipline.feed(b"\0") is LineDefect.BARE_LF
    assert discipline.close() is LineDefect.BARE_LF
