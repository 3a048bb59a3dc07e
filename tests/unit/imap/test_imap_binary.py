"""BINARY: decoded parts, their sizes, and how little of a message a partial reads."""

import binascii
import re

import pytest
from harness.section_stage import StagedMessage, stage

from mailserver.imap import binary
from mailserver.imap.binary import binary_pieces, demand_decodable, format_binary_label
from mailserver.imap.commands import BinarySection, BinarySize, Partial
from mailserver.model.errors import Malformed

LARGE = bytes(range(1, 256)) * 8192
LARGE_BASE64 = b"\r\n".join(
    binascii.b2a_base64(LARGE[at : at + 57], newline=False) for at in range(0, len(LARGE), 57)
)


def answer(message: StagedMessage, item: BinarySection | BinarySize) -> bytes:
    reader = message.section_reader()
    demand_decodable(reader, item)
    return b"".join(binary_pieces(reader, item))


@pytest.mark.parametrize(
    ("encoding", "body", "expected"),
    [
        ("7bit", b"a\r\nb", b"BINARY[1] {4}\r\na\r\nb"),
        ("8bit", b"\xe9", b"BINARY[1] {1}\r\n\xe9"),
        ("BINARY", b"=41", b"BINARY[1] {3}\r\n=41"),
        ("base64", b"QUI=\r\n", b"BINARY[1] {2}\r\nAB"),
        ("Base64 (comment)", b"AEE=", b"BINARY[1] ~{2}\r\n\0A"),
        ("quoted-printable", b"a=3D=\r\nb", b"BINARY[1] {3}\r\na=b"),
        ("quoted-printable", b"a=00", b"BINARY[1] ~{2}\r\na\0"),
        ("base64", b"", b"BINARY[1] {0}\r\n"),
    ],
)
def test_one_part(encoding: str, body: bytes, expected: bytes) -> None:
    message = stage(encoding, body)
    assert answer(message, BinarySection((1,))) == expected
    size = int(re.search(rb"\{(\d+)\}", expected)[1])
    assert answer(message, BinarySize((1,))) == b"BINARY.SIZE[1] %d" % size


@pytest.mark.parametrize("step", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("encoding", "body", "lines"),
    [
        ("base64", binascii.b2a_base64(b"a\nb\r\nc\rd\n\n"), b"a\r\nb\r\nc\rd\r\n\r\n"),
        ("quoted-printable", b"a=0Ab=0D=0Ac\nd=0D", b"a\r\nb\r\nc\r\nd\r"),
        ("8bit", b"\na\r\nb\n", b"\r\na\r\nb\r\n"),
    ],
)
def test_lines_of_text_end_in_crlf(
    encoding: str, body: bytes, lines: bytes, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9051 §7.5.2; sizes and partials count what is sent, and what is no text stays."""
    monkeypatch.setattr(binary, "STEP_BYTES", step)
    message = stage(encoding, body, "text/plain")
    assert answer(message, BinarySection((1,))) == b"BINARY[1] {%d}\r\n" % len(lines) + lines
    assert answer(message, BinarySize((1,))) == b"BINARY.SIZE[1] %d" % len(lines)
    assert answer(message, BinarySection((1,), Partial(2, 3))).endswith(b"\r\n" + lines[2:5])
    other = answer(stage(encoding, body, "application/octet-stream"), BinarySize((1,)))
    assert int(other.split()[1]) < len(lines)


@pytest.mark.parametrize("encoding", ["x-uuencode", "utf-8", "7-bit", "x" * 100])
def test_an_unknown_encoding(encoding: str) -> None:
    for item in (BinarySection((1,)), BinarySize((1,))):
        with pytest.raises(Malformed) as caught:
            answer(stage(encoding, b"abc"), item)
        assert caught.value.code == "unknown-cte"
    assert (
        answer(stage(encoding, b"abc"), BinarySection(partial=Partial(0, 7))) == b"BINARY[]<0> {7}\r\nContent"
    )


def test_what_holds_parts_has_no_encoding() -> None:
    """RFC 2045 §6.4: whatever a multipart's header says."""
    message = stage("base64", b"--b\r\n\r\nQUJD\r\n--b--", "multipart/mixed; boundary=b")
    assert answer(message, BinarySection((1,))) == b"BINARY[1] {4}\r\nQUJD"
    nested = stage(
        "7bit",
        b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--",
        "multipart/mixed; boundary=b",
    )
    assert answer(nested, BinarySection((1,))) == b"BINARY[1] {15}\r\n--c\r\n\r\nx\r\n--c--"


def test_no_such_part() -> None:
    message = stage("base64", b"QUJD")
    assert answer(message, BinarySection((2,), Partial(1, 2))) == b"BINARY[2]<1> NIL"
    assert answer(message, BinarySize((1, 1))) == b"BINARY.SIZE[1.1] 0"


@pytest.mark.parametrize(
    ("item", "label"),
    [
        (BinarySection(), b"BINARY[]"),
        (BinarySection((1, 2), is_peek=True), b"BINARY[1.2]"),
        (BinarySection((3,), Partial(7, 9)), b"BINARY[3]<7>"),
        (BinarySize((1, 2)), b"BINARY.SIZE[1.2]"),
    ],
)
def test_label(item: BinarySection | BinarySize, label: bytes) -> None:
    assert format_binary_label(item) == label


def test_a_large_part_is_never_held() -> None:
    message = stage("base64", LARGE_BASE64)
    pieces = list(binary_pieces(message.section_reader(), BinarySection((1,))))
    assert max(map(len, pieces)) <= binary.STEP_BYTES
    assert b"".join(pieces) == b"BINARY[1] {%d}\r\n" % len(LARGE) + LARGE


def test_a_partial_reads_only_as_far_as_it_reaches() -> None:
    message = stage("base64", LARGE_BASE64)
    assert answer(message, BinarySection((1,), Partial(0, 65536))).endswith(b"{65536}\r\n" + LARGE[:65536])
    assert message.read_bytes <= 2 * binary.STEP_BYTES
    message.reads.clear()
    late = len(LARGE) - 100
    assert answer(message, BinarySection((1,), Partial(late, 1000))).endswith(b"{100}\r\n" + LARGE[late:])
    message.reads.clear()
    wide = Partial(10, 2**40)
    assert answer(message, BinarySection((1,), wide)).endswith(b"{%d}\r\n" % (len(LARGE) - 10) + LARGE[10:])


def test_a_literal8_is_told_before_a_late_nul() -> None:
    body = LARGE + b"\0"
    message = stage("base64", binascii.b2a_base64(body))
    assert answer(message, BinarySection((1,))) == b"BINARY[1] ~{%d}\r\n" % len(body) + body
