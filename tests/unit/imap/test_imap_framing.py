"""Octets to events; each case also comes octet by octet."""

import pytest

from mailserver.imap.framing import (
    BEFORE_LOGIN,
    AppendEnd,
    BadLine,
    CommandReceived,
    Fatal,
    Framer,
    Limits,
    LineReceived,
    LiteralChunk,
    LiteralEnd,
    LiteralTooBig,
    MessageAnnounced,
    NeedContinuation,
    RawCommand,
    limits_after_login,
)

SMALL = Limits(line_bytes=40, literal_bytes=10, literals_bytes=15, message_bytes=100)


def command(*pieces):
    return CommandReceived(RawCommand(pieces[::2], pieces[1::2]))


def announced(*texts, literals=(), size, waits=False, is_next=False):
    return MessageAnnounced(RawCommand(texts, literals, size), size, waits, is_next)


def ended(*pieces):
    return AppendEnd(RawCommand(pieces[::2] or (b"",), pieces[1::2]))


def joined(events):
    result = []
    for event in events:
        if result and isinstance(event, LiteralChunk) and isinstance(result[-1], LiteralChunk):
            result[-1] = LiteralChunk(result[-1].octets + event.octets)
        else:
            result.append(event)
    return result


def drain(framer):
    return joined(iter(framer.next_event, None))


def whole(data, limits):
    framer = Framer(limits)
    framer.feed(data)
    return drain(framer)


def octet_by_octet(data, limits):
    framer, events = Framer(limits), []
    for at in range(len(data)):
        framer.feed(data[at : at + 1])
        events += drain(framer)
    return joined(events)


CASES = {
    "line": (b"A NOOP\r\n", [command(b"A NOOP")]),
    "two lines": (b"A NOOP\r\nB NOOP\r\n", [command(b"A NOOP"), command(b"B NOOP")]),
    "empty line": (b"\r\n", [command(b"")]),
    "no end yet": (b"A NOOP\r", []),
    "CR inside": (b"A NO\rOP\r\n", [command(b"A NO\rOP")]),
    "waiting literal": (b"A X {3}\r\nabc d\r\n", [NeedContinuation(), command(b"A X ", b"abc", b" d")]),
    "literal+": (b"A X {3+}\r\nabc\r\n", [command(b"A X ", b"abc", b"")]),
    "empty literal": (b"A X {0+}\r\n\r\n", [command(b"A X ", b"", b"")]),
    "leading zeros": (b"A X {0003+}\r\nabc\r\n", [command(b"A X ", b"abc", b"")]),
    "literal holds CRLF": (b"A X {4+}\r\n\r\n\r\n\r\n", [command(b"A X ", b"\r\n\r\n", b"")]),
    "two literals": (b"A L {1+}\r\na {1+}\r\nb\r\n", [command(b"A L ", b"a", b" ", b"b", b"")]),
    "literal8 keeps its tilde": (b"A X ~{1+}\r\na\r\n", [command(b"A X ~", b"a", b"")]),
    "brace in quotes": (b'A X "{x}\r\n', [Fatal("bad_literal", "A")]),
    "quoted braces": (b'A X "{3}"\r\n', [command(b'A X "{3}"')]),
    "closing brace only": (b"A X a}\r\n", [command(b"A X a}")]),
    "quote after brace": (b'A X {"a}\r\n', [command(b'A X {"a}')]),
    "lying literal": (b"A X {3 +}\r\n", [Fatal("bad_literal", "A")]),
    "negative literal": (b"A X {-3}\r\nabc", [Fatal("bad_literal", "A")]),
    "waiting too big": (b"A X {11}\r\nB NOOP\r\n", [LiteralTooBig("A", 11, False), command(b"B NOOP")]),
    "pushed too big": (b"A X {11+}\r\nB NOOP\r\n", [Fatal("literal_too_big", "A")]),
    "absurd size": (b"A X {" + b"9" * 30 + b"+}\r\n", [Fatal("literal_too_big", "A")]),
    "sum too big": (
        b"A X {10+}\r\n0123456789 {6}\r\nB NOOP\r\n",
        [LiteralTooBig("A", 6, False), command(b"B NOOP")],
    ),
    "line too long": (b"A " + b"x" * 39 + b"\r\n", [Fatal("line_too_long", "A")]),
    "line just fits": (b"A " + b"x" * 38 + b"\r\n", [command(b"A " + b"x" * 38)]),
    "endless line": (b"x" * 60, [Fatal("line_too_long", None)]),
    "text around literals adds up": (
        b"A " + b"x" * 20 + b"{1+}\r\ny" + b"x" * 20 + b"\r\n",
        [Fatal("line_too_long", "A")],
    ),
    "bare LF": (b"A NOOP\nB NOOP\r\nC NOOP\r\n", [BadLine("A"), command(b"C NOOP")]),
    "many bare LF": (b"\n\n\n\r\nC NOOP\r\n", [BadLine(None), command(b"C NOOP")]),
    "bare LF, endless": (b"A\n" + b"x" * 60, [BadLine("A"), Fatal("line_too_long", None)]),
    "bare LF, then a pushed literal": (
        b"A X\n {8+}\r\nB NOOP\r\n\r\nC NOOP\r\n",
        [BadLine("A"), command(b"C NOOP")],
    ),
    "bare LF, then a waiting literal": (b"A X\n {8}\r\nB NOOP\r\n", [BadLine("A"), command(b"B NOOP")]),
    "bare LF, then a huge literal": (b"A X\n {101+}\r\n", [BadLine("A"), Fatal("literal_too_big", None)]),
    "bare LF after a literal": (b"A X {1+}\r\na\n\r\nB NOOP\r\n", [BadLine("A"), command(b"B NOOP")]),
    "append waits": (
        b"A APPEND x {3}\r\nabc\r\n",
        [announced(b"A APPEND x ", size=3, waits=True), LiteralChunk(b"abc"), LiteralEnd(), ended()],
    ),
    "append pushes, any case": (
        b"A append x (\\Seen) {3+}\r\nabc\r\nB NOOP\r\n",
        [
            announced(b"A append x (\\Seen) ", size=3),
            LiteralChunk(b"abc"),
            LiteralEnd(),
            ended(),
            command(b"B NOOP"),
        ],
    ),
    "append to a literal name": (
        b"A APPEND {1+}\r\nx {12+}\r\nhello, world\r\n",
        [
            announced(b"A APPEND ", b" ", literals=(b"x",), size=12),
            LiteralChunk(b"hello, world"),
            LiteralEnd(),
            ended(),
        ],
    ),
    "empty message": (
        b"A APPEND x {0+}\r\n\r\n",
        [announced(b"A APPEND x ", size=0), LiteralEnd(), ended()],
    ),
    "two messages": (
        b"A APPEND x {1+}\r\na {1+}\r\nb\r\n",
        [
            announced(b"A APPEND x ", size=1),
            LiteralChunk(b"a"),
            LiteralEnd(),
            announced(b" ", size=1, is_next=True),
            LiteralChunk(b"b"),
            LiteralEnd(),
            ended(),
        ],
    ),
    "a replacement": (
        b"A UID REPLACE 3 x {1+}\r\na\r\n",
        [announced(b"A UID REPLACE 3 x ", size=1), LiteralChunk(b"a"), LiteralEnd(), ended()],
    ),
    "a replacement in a literal name": (
        b"A replace 3 {1+}\r\nx {1+}\r\na\r\n",
        [
            announced(b"A replace 3 ", b" ", literals=(b"x",), size=1),
            LiteralChunk(b"a"),
            LiteralEnd(),
            ended(),
        ],
    ),
    "parts: a URL in a literal is gathered": (
        b"A APPEND x catenate (URL {2+}\r\n/a TEXT {1+}\r\nb URL {2+}\r\n/c)\r\nB NOOP\r\n",
        [
            announced(b"A APPEND x catenate (URL ", b" TEXT ", literals=(b"/a",), size=1),
            LiteralChunk(b"b"),
            LiteralEnd(),
            ended(b" URL ", b"/c", b")"),
            command(b"B NOOP"),
        ],
    ),
    "parts without octets": (
        b"A APPEND x CATENATE (URL {2+}\r\n/a)\r\n",
        [command(b"A APPEND x CATENATE (URL ", b"/a", b")")],
    ),
    "a mailbox with the name of a part": (
        b"A APPEND URL {1+}\r\na\r\n",
        [announced(b"A APPEND URL ", size=1), LiteralChunk(b"a"), LiteralEnd(), ended()],
    ),
    "append too big, waiting": (
        b"A APPEND x {101}\r\nB NOOP\r\n",
        [LiteralTooBig("A", 101, True), command(b"B NOOP")],
    ),
    "append too big, pushed": (b"A APPEND x {101+}\r\n", [Fatal("message_too_big", "A")]),
    "tail of append has a bare LF": (
        b"A APPEND x {1+}\r\na\n\r\n",
        [announced(b"A APPEND x ", size=1), LiteralChunk(b"a"), LiteralEnd(), BadLine(None)],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("feed", [whole, octet_by_octet])
def test_events(name, feed):
    data, expected = CASES[name]
    assert feed(data, SMALL) == expected


def test_a_message_is_announced_before_login_too():
    assert whole(b"A APPEND x {4097}\r\n", BEFORE_LOGIN) == [LiteralTooBig("A", 4097, True)]
    assert whole(b"A APPEND x {4096}\r\n", BEFORE_LOGIN) == [announced(b"A APPEND x ", size=4096, waits=True)]


def test_limits_of_s3():
    assert (BEFORE_LOGIN.line_bytes, BEFORE_LOGIN.literal_bytes) == (8192, 4096)
    after = limits_after_login(1000)
    assert (after.line_bytes, after.message_bytes) == (65536, 1000)


def test_nothing_follows_a_fatal():
    framer = Framer(SMALL)
    framer.feed(b"A X {-}\r\nB NOOP\r\n")
    assert drain(framer) == [Fatal("bad_literal", "A")]
    framer.feed(b"C NOOP\r\n")
    assert drain(framer) == []
    assert not framer.has_buffered


def test_has_buffered_after_starttls():
    framer = Framer(SMALL)
    framer.feed(b"A STARTTLS\r\nB")
    framer.next_event()
    assert framer.has_buffered


def test_expected_line_is_no_command():
    framer = Framer(SMALL)
    framer.feed(b"A IDLE\r\nDONE {3+}\r\nB NOOP\r\n")
    assert framer.next_event() == command(b"A IDLE")
    framer.expect_line()
    assert drain(framer) == [LineReceived(b"DONE {3+}"), command(b"B NOOP")]


def test_expected_line_with_bare_lf():
    framer = Framer(SMALL)
    framer.expect_line()
    framer.feed(b"DO\nNE\r\nB NOOP\r\n")
    assert drain(framer) == [BadLine(None), command(b"B NOOP")]


def test_refuse_a_waiting_message():
    framer = Framer(SMALL)
    framer.feed(b"A APPEND x {3}\r\n")
    assert isinstance(framer.next_event(), MessageAnnounced)
    framer.refuse()
    framer.feed(b"B NOOP\r\n")
    assert drain(framer) == [command(b"B NOOP")]


@pytest.mark.parametrize("data", [b"A APPEND x {8+}\r\nB NOOP\r\n {8+}\r\nC NOOP\r\n\r\nD NOOP\r\n"])
def test_refuse_pushed_messages_drops_them_all(data):
    framer = Framer(SMALL)
    framer.feed(data)
    assert isinstance(framer.next_event(), MessageAnnounced)
    framer.refuse()
    assert drain(framer) == [command(b"D NOOP")]


def test_refuse_midway():
    framer = Framer(SMALL)
    framer.feed(b"A APPEND x {8}\r\nB NO")
    assert isinstance(framer.next_event(), MessageAnnounced)
    assert framer.next_event() == LiteralChunk(b"B NO")
    framer.refuse()
    framer.feed(b"OP\r\n\r\nC NOOP\r\n")
    assert drain(framer) == [command(b"C NOOP")]


def test_refuse_once_continued_but_nothing_came():
    framer = Framer(SMALL)
    framer.feed(b"A APPEND x {8}\r\n")
    assert isinstance(framer.next_event(), MessageAnnounced)
    assert framer.next_event() is None
    framer.refuse()
    framer.feed(b"B NOOP\r\n\r\nC NOOP\r\n")
    assert drain(framer) == [command(b"C NOOP")]


def test_refuse_at_the_end_of_the_message():
    framer = Framer(SMALL)
    framer.feed(b"A APPEND x {1+}\r\na")
    assert drain(framer)[-1] == LiteralEnd()
    framer.refuse()
    framer.feed(b" tail\r\nC NOOP\r\n")
    assert drain(framer) == [command(b"C NOOP")]


def test_refuse_outside_an_append_changes_nothing():
    framer = Framer(SMALL)
    framer.feed(b"A NOOP\r\nB NOOP\r\n")
    framer.next_event()
    framer.refuse()
    assert drain(framer) == [command(b"B NOOP")]


def test_repr_hides_what_was_sent():
    assert "secret" not in repr(whole(b"A LOGIN me {6+}\r\nsecret\r\n", SMALL))
