"""Octets in, whole commands out: lines joined with their literals (RFC 9051 §2.2, §4.3; RFC 7888).

Invariants: the same octets give the same events however they are split; time is linear and memory is bounded by
:class:`Limits`; only CRLF ends a line; the message of an APPEND is handed on as it comes and never gathered.
The caller pulls: ``feed``, then ``next_event`` until it returns None. It answers an event (``refuse``,
``expect_line``, ``limits = …``) before it asks for the next one. After :class:`Fatal` the connection must close.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import assert_never

from mailserver.imap.grammar import LITERAL_MARK, find_tag

_CR = 0x0D
_TAG_BYTES = 256


@dataclass(frozen=True, slots=True)
class Limits:
    """S3, in octets. ``literals_bytes`` bounds all gathered literals of a command."""

    line_bytes: int
    literal_bytes: int
    literals_bytes: int
    message_bytes: int


BEFORE_LOGIN = Limits(8 << 10, 4 << 10, 8 << 10, 4 << 10)
"""A message is announced before login too, so that its command is refused before its octets come."""


def limits_after_login(message_bytes: int) -> Limits:
    """S3 after login, for a server that takes messages up to ``message_bytes``."""
    return Limits(64 << 10, 64 << 10, 128 << 10, message_bytes)


@dataclass(frozen=True, slots=True)
class RawCommand:
    """A command line cut at its literals: text 0, literal 0, text 1, … Marks such as ``{12}`` are removed.

    ``streamed_bytes`` is set when the last text is followed by a message that comes as chunks.
    It may hold a password: the repr shows nothing.
    """

    texts: tuple[bytes, ...] = field(repr=False)
    literals: tuple[bytes, ...] = field(default=(), repr=False)
    streamed_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class CommandReceived:
    command: RawCommand


@dataclass(frozen=True, slots=True)
class NeedContinuation:
    """The client waits for a "+" before it sends a literal (RFC 9051 §4.3)."""


@dataclass(frozen=True, slots=True)
class MessageAnnounced:
    """An APPEND or REPLACE reached its message. To take it: send a "+" when ``is_waiting``, and go on. Else ``refuse()``.

    ``is_next``: a further message of one APPEND (RFC 3502), or a further part of one message (RFC 4469); its
    ``command`` holds only the text since the last one.
    """

    command: RawCommand
    size_bytes: int
    is_waiting: bool
    is_next: bool = False


@dataclass(frozen=True, slots=True)
class LiteralChunk:
    """The next octets of the announced message, as they came; NUL is for the receiver to refuse (S1)."""

    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LiteralEnd:
    """All octets of the announced message have come."""


@dataclass(frozen=True, slots=True)
class AppendEnd:
    """The command line of an APPEND or REPLACE ended; ``command`` holds only the text since the last message."""

    command: RawCommand


@dataclass(frozen=True, slots=True)
class LineReceived:
    """The line asked for by ``expect_line`` (a SASL response, DONE), without its CRLF."""

    line: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class LiteralTooBig:
    """The client waits to send more than the limit: its command is forgotten; answer NO and go on."""

    tag: str | None
    size_bytes: int
    is_message: bool


@dataclass(frozen=True, slots=True)
class BadLine:
    """A bare LF: nothing up to the next CRLF is obeyed."""

    tag: str | None


@dataclass(frozen=True, slots=True)
class Fatal:
    """The octets can no longer be told apart: say why and close. Codes: line_too_long, literal_too_big,
    message_too_big, bad_literal.
    """

    code: str
    tag: str | None


Event = (
    CommandReceived
    | NeedContinuation
    | MessageAnnounced
    | LiteralChunk
    | LiteralEnd
    | AppendEnd
    | LineReceived
    | LiteralTooBig
    | BadLine
    | Fatal
)

# append = "APPEND" SP mailbox SP [flag-list SP] [date-time SP] literal: a literal right after the verb is the mailbox;
# replace = "REPLACE" SP seq-number SP mailbox append-message (RFC 8508 §5)
_UPLOAD = re.compile(rb"[^ ]+ (?:APPEND|(?:UID )?REPLACE [^ ]*) (.?)", re.IGNORECASE | re.DOTALL)
# append-data =/ "CATENATE" SP "(" cat-part *(SP cat-part) ")"; url = "URL" SP astring (RFC 4469 §5): no message then
_CATENATE = re.compile(rb" CATENATE \(", re.IGNORECASE)
_URL = re.compile(rb"[( ]URL \Z", re.IGNORECASE)


class _State(Enum):
    LINE = auto()
    LITERAL = auto()
    MESSAGE = auto()
    SKIP_LITERAL = auto()
    SKIP_LINE = auto()
    CLOSED = auto()


class Framer:
    """One connection's reader. Not thread-safe; holds no more than the limits allow beyond what one feed brought."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._buffer = bytearray()
        self._scanned = 0
        self._state = _State.LINE
        self._texts: list[bytes] = []
        self._literals: list[bytes] = []
        self._text_bytes = 0
        self._literal_bytes = 0
        self._wanted = 0
        self._is_waiting = False
        self._messages = 0
        self._catenates = False
        self._takes_line = False

    @property
    def has_buffered(self) -> bool:
        """Whether octets wait unread. After STARTTLS and before the handshake that closes (S2)."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> None:
        """Add what the peer sent; after a Fatal it is dropped."""
        if self._state is not _State.CLOSED:
            self._buffer += data

    def expect_line(self) -> None:
        """The next line is no command but an answer: it comes as LineReceived, with no literal in it."""
        self._takes_line = True

    def refuse(self) -> None:
        """Forget the APPEND whose message was announced, now or midway: octets of it that still come are dropped."""
        if self._state is _State.MESSAGE:
            self._state = _State.LINE if self._is_waiting else _State.SKIP_LITERAL
        elif self._messages:
            self._state = _State.SKIP_LINE
        self._forget()

    def next_event(self) -> Event | None:
        """The next event that the octets so far allow, or None: feed more."""
        event: Event | None = None
        while event is None:
            match self._state:
                case _State.LINE | _State.SKIP_LINE:
                    line = self._take_line()
                    if not isinstance(line, bytes):
                        return line
                    event = self._end_line(line)
                case _State.LITERAL:
                    if len(self._buffer) < self._wanted:
                        return None
                    self._literals.append(self._take(self._wanted))
                    self._state = _State.LINE
                case _State.MESSAGE | _State.SKIP_LITERAL:
                    self._is_waiting = False
                    if self._wanted and not self._buffer:
                        return None
                    event = self._take_chunk()
                case _State.CLOSED:
                    return None
                case _:
                    assert_never(self._state)
        return event

    def _take(self, count: int) -> bytes:
        taken = bytes(memoryview(self._buffer)[:count])
        del self._buffer[:count]
        self._scanned = 0
        return taken

    def _take_line(self) -> bytes | BadLine | Fatal | None:
        """The next line without its CRLF. The limit holds whether its end has come or not, or splits would differ."""
        is_skipping = self._state is _State.SKIP_LINE
        mark = self._buffer.find(b"\r\n" if is_skipping else b"\n", self._scanned)
        end = mark + 1 if is_skipping and mark >= 0 else mark
        text_bytes = (end if end >= 0 else len(self._buffer)) - 1
        if self._text_bytes + text_bytes > self.limits.line_bytes:
            return self._close("line_too_long")
        if end < 0:
            self._scanned = max(0, len(self._buffer) - 1)
            return None
        if end and self._buffer[end - 1] == _CR:
            return self._take(end + 1)[:-2]
        tag = self._tag(self._take(end + 1)[:-1])
        self._state = _State.SKIP_LINE
        self._forget()
        return BadLine(tag)

    def _end_line(self, line: bytes) -> Event | None:
        if self._takes_line and self._state is _State.LINE:
            self._takes_line = False
            return LineReceived(line)
        mark = _find_mark(line)
        found = None if mark is None else LITERAL_MARK.fullmatch(line, mark)
        if mark is not None and found is None:
            return self._close("bad_literal", line)
        if self._state is _State.SKIP_LINE:
            return self._end_skipped(found)
        if found is None:
            return self._end_command(line)
        self._text_bytes += len(line)
        self._texts.append(line[:mark])
        return self._begin_literal(_size(found), is_waiting=not found[2])

    def _end_skipped(self, found: re.Match[bytes] | None) -> Event | None:
        """A dropped line that ends in a non-synchronising literal has more to drop: it never becomes a command."""
        self._takes_line = False
        self._forget()
        self._state = _State.LINE
        if found is None or not found[2]:
            return None
        self._wanted = _size(found)
        if self._wanted > max(self.limits.literal_bytes, self.limits.message_bytes):
            return self._close("literal_too_big", b" ")
        self._state = _State.SKIP_LITERAL
        return None

    def _end_command(self, line: bytes) -> Event:
        command = RawCommand((*self._texts, line), tuple(self._literals))
        is_upload = self._messages > 0
        self._forget()
        return AppendEnd(command) if is_upload else CommandReceived(command)

    def _begin_literal(self, size: int, *, is_waiting: bool) -> Event | None:
        is_message = self._is_message()
        limits = self.limits
        most = min(limits.literal_bytes, limits.literals_bytes - self._literal_bytes)
        if size > (limits.message_bytes if is_message else most):
            tag = self._tag(b"")
            if not is_waiting:
                return self._close("message_too_big" if is_message else "literal_too_big")
            self._forget()
            return LiteralTooBig(tag, size, is_message)
        self._wanted = size
        self._is_waiting = is_waiting
        if is_message:
            return self._announce(size)
        self._literal_bytes += size
        self._state = _State.LITERAL
        return NeedContinuation() if is_waiting else None

    def _is_message(self) -> bool:
        if not self._messages:
            found = _UPLOAD.match(self._texts[0])
            if found is None or not (found[1] or len(self._texts) > 1):
                return False
        text = self._texts[-1]
        self._catenates = self._catenates or _CATENATE.search(text) is not None
        return not (self._catenates and _URL.search(text))

    def _announce(self, size: int) -> MessageAnnounced:
        command = RawCommand(tuple(self._texts), tuple(self._literals), size)
        event = MessageAnnounced(command, size, self._is_waiting, is_next=self._messages > 0)
        messages, catenates = self._messages + 1, self._catenates
        self._forget()
        self._messages, self._catenates = messages, catenates
        self._state = _State.MESSAGE
        return event

    def _take_chunk(self) -> Event | None:
        if self._wanted:
            octets = self._take(min(self._wanted, len(self._buffer)))
            self._wanted -= len(octets)
            return LiteralChunk(octets) if self._state is _State.MESSAGE else None
        if self._state is _State.MESSAGE:
            self._state = _State.LINE
            return LiteralEnd()
        self._state = _State.SKIP_LINE
        return None

    def _tag(self, line: bytes) -> str | None:
        if self._messages or self._takes_line or self._state is _State.SKIP_LINE:
            return None
        return find_tag(self._texts[0] if self._texts else line)

    def _close(self, code: str, line: bytes = b"") -> Fatal:
        start = bytes(self._buffer[: min(_TAG_BYTES, self.limits.line_bytes)])
        tag = self._tag(line or start[: start.rfind(b" ") + 1])
        self._state = _State.CLOSED
        self._buffer.clear()
        self._forget()
        return Fatal(code, tag)

    def _forget(self) -> None:
        self._texts.clear()
        self._literals.clear()
        self._text_bytes = 0
        self._literal_bytes = 0
        self._messages = 0
        self._catenates = False


def _size(found: re.Match[bytes]) -> int:
    """The size a mark announces; beyond 18 digits (more than any limit) it is only told to be huge."""
    digits = found[1].lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= 18 else 10**18


def _find_mark(line: bytes) -> int | None:
    """Where the line's literal mark begins. No valid line ends in a closing brace with an open one before it
    (RFC 9051 §9: "{" is an atom-special), so what is not a literal there is a lie about one.
    """
    if not line.endswith(b"}"):
        return None
    mark = line.rfind(b"{")
    return None if mark < 0 or b'"' in line[mark:] else mark
