"""Lines and dots: what ends a line, what ends a message, and what is content."""

import pytest

from mailserver.mime.submission import check_line_discipline
from mailserver.smtp.dot_reader import DotReader
from mailserver.smtp.framing import LINE_OCTETS, Line, LineFault, LineFramer


def lines_of(*pieces):
    framer, found = LineFramer(), []
    for piece in pieces:
        framer.feed(piece)
        while (line := framer.next_line()) is not None:
            found.append(line)
    return found, framer.take_rest()


@pytest.mark.parametrize(
    ("octets", "lines", "rest"),
    [
        (b"NOOP\r\n", [Line(b"NOOP")], b""),
        (b"NOOP\r\nRSET\r\nQU", [Line(b"NOOP"), Line(b"RSET")], b"QU"),
        (b"NOOP\n", [Line(b"", LineFault.BARE_OCTET)], b""),
        (b"NOOP\nRSET\r\n", [Line(b"", LineFault.BARE_OCTET), Line(b"RSET")], b""),
        (b"NO\rOP\r\n", [Line(b"", LineFault.BARE_OCTET)], b""),
        (b"NOOP\r\r\n", [Line(b"", LineFault.BARE_OCTET)], b""),
        (b"NO\0OP\r\n", [Line(b"", LineFault.BARE_OCTET)], b""),
        (b"\r\n", [Line(b"")], b""),
        (b"x" * (LINE_OCTETS - 2) + b"\r\n", [Line(b"x" * (LINE_OCTETS - 2))], b""),
        (b"x" * (LINE_OCTETS - 1) + b"\r\nRSET\r\n", [Line(b"", LineFault.TOO_LONG), Line(b"RSET")], b""),
        (b"x" * (5 * LINE_OCTETS) + b"\r\n", [Line(b"", LineFault.TOO_LONG)], b""),
    ],
)
def test_lines(octets, lines, rest):
    assert lines_of(octets) == (lines, rest)
    assert lines_of(*(bytes([octet]) for octet in octets)) == (lines, rest)


def test_a_line_without_end_takes_no_memory():
    framer = LineFramer()
    for _ in range(100):
        framer.feed(b"x" * 65536)
        assert framer.next_line() is None
    assert framer.has_octets
    assert framer.take_rest() == b""


def read_data(*pieces):
    """Content, whether the end came, and what followed it."""
    dots, content = DotReader(), bytearray()
    for number, piece in enumerate(pieces):
        content += dots.feed(piece)
        if dots.is_done:
            return bytes(content), dots.rest + b"".join(pieces[number + 1 :])
    return bytes(content), None


@pytest.mark.parametrize(
    ("octets", "content", "rest"),
    [
        (b".\r\n", b"", b""),
        (b"a\r\n.\r\n", b"a\r\n", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"a\r\n..b\r\n...\r\n.c\r\n.\r\n", b"a\r\n.b\r\n..\r\nc\r\n", b""),
        (b"\r\n\r\n.\r\n", b"\r\n\r\n", b""),
        (b"a.\r\n.b.\r\n.\r\n", b"a.\r\nb.\r\n", b""),
        (b"a\r\n.\r\n.\r\n", b"a\r\n", b".\r\n"),
    ],
)
def test_dots(octets, content, rest):
    assert read_data(octets) == (content, rest)
    assert read_data(*(bytes([octet]) for octet in octets)) == (content, rest)


FALSE_ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n",
    b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\n\n.\r\n", b"\r\r\n.\r\r\n", b"\0\r\n.\n", b"\n.\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("end", FALSE_ENDS)
def test_false_ends_are_content_with_a_defect(end):
    """S1: whatever a lenient server takes for the end stays in the message, and the message is refused."""
    octets = b"a" + end + b"MAIL FROM:<x@b.example>\r\n.\r\nNOOP\r\n"
    content, rest = read_data(octets)
    assert rest == b"NOOP\r\n"
    assert b"MAIL FROM" in content
    assert check_line_discipline(content) is not None
    assert read_data(*(bytes([octet]) for octet in octets)) == (content, rest)
