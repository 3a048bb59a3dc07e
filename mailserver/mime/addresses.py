"""Address lists of From, To, Cc, Bcc, Sender and Reply-To (RFC 5322 §3.4), tolerant and linear.

Addresses are never decoded: an encoded word in one stays as it is. Comments nest without recursion. A group is
shown the way IMAP shows it: a start marker, its mailboxes, an end marker (RFC 9051 §7.5.2).
"""

import re
from dataclasses import dataclass

from mailserver.mime.encoded_words import decode_words

_ATOM = rb'[^\s<>"(),:;@\\\[\]]'
# the two shapes nearly every mailbox has; anything else goes through _Reader
_ANGLE = re.compile(
    rb'(?:"((?:[^"\\]|\\.)*+)"\s*+|([^<>"(),:;@\\\[\]]*+))<('
    + _ATOM
    + rb"++)@("
    + _ATOM
    + rb"++)>\s*+(?:,|\Z)",
    re.DOTALL,
)
_BARE = re.compile(rb"(" + _ATOM + rb"++)@(" + _ATOM + rb"++)\s*+(?:,|\Z)")
_SEPARATORS = re.compile(rb"[\s,]*+")
# an unterminated quoted string or comment runs to the end: each octet is looked at once
_TOKEN = re.compile(
    rb'[\s]++|"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|\[[^\[\]\\]*+\]|' + _ATOM + rb"++|[<>,:;@()\\\[\]]", re.DOTALL
)
_IN_COMMENT = re.compile(rb"[^()\\]++|\\.|[()\\]", re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_BYTES = 256
_STEPS_PER_ITEM = 10
ADDRESSES = 5000
"""Mailboxes and group markers that one list may hold by default."""


@dataclass(frozen=True, slots=True, repr=False)
class HeaderAddress:
    """One mailbox as raw octets, or a group marker (``domain`` None; ``local`` is the group's name or None)."""

    name: bytes | None
    local: bytes | None
    domain: bytes | None

    def __repr__(self) -> str:
        return "HeaderAddress(…)"

    @property
    def display_name(self) -> str:
        """The name for people, encoded words decoded."""
        return decode_words(self.name or b"").strip()

    @property
    def text(self) -> str:
        """``local@domain`` as text, undecoded; the bare local part when there is no domain."""
        parts = (self.local or b"", self.domain or b"")
        return b"@".join(part for part in parts if part).decode("utf-8", "replace")


GROUP_END = HeaderAddress(None, None, None)


@dataclass(frozen=True, slots=True)
class AddressList:
    """``is_complete`` is False when the list was longer than allowed; ``steps`` is the work that it took."""

    items: tuple[HeaderAddress, ...]
    is_complete: bool
    steps: int

    @property
    def mailboxes(self) -> tuple[HeaderAddress, ...]:
        return tuple(item for item in self.items if item.domain is not None)

    def is_within(self, max_items: int) -> bool:
        """Whether a reading of at most ``max_items`` would have found the very same."""
        is_short = len(self.items) < max_items and self.steps - len(self.items) < _STEPS_PER_ITEM * max_items
        return self.is_complete and is_short


def parse_address_list(value: bytes, max_items: int = ADDRESSES) -> AddressList:
    """Read an unfolded address field. Never raises: what is no address is shown as a name or a local part.

    Stops after ``max_items``, and after ten times as many tokens of unusual syntax.
    """
    items: list[HeaderAddress] = []
    steps, in_group, end = 0, False, len(value)
    position = _skip_separators(value, 0)
    max_steps = _STEPS_PER_ITEM * max_items
    while position < end and len(items) < max_items and steps < max_steps:
        if match := _ANGLE.match(value, position):
            quoted, phrase, local, domain = match.groups()
            name = phrase.strip() if quoted is None else _unescape(quoted)
            items.append(HeaderAddress(name or None, local, domain))
            position = match.end()
        elif match := _BARE.match(value, position):
            items.append(HeaderAddress(None, *match.groups()))
            position = match.end()
        else:
            reader = _Reader(value, position, in_group=in_group, steps=max_steps - steps)
            items += reader.read()
            steps = max_steps - reader.steps_left
            position, in_group = reader.position, reader.in_group
        if position < end:
            position = _skip_separators(value, position)
    is_complete = position >= end and len(items) <= max_items
    if in_group:
        items = [*items[: max_items - 1], GROUP_END]
    return AddressList(tuple(items[:max_items]), is_complete, steps + len(items))


def _skip_separators(value: bytes, position: int) -> int:
    match = _SEPARATORS.match(value, position)
    return match.end() if match else position


def _unescape(quoted: bytes) -> bytes:
    return quoted if quoted.find(b"\\") < 0 else _QUOTED_PAIR.sub(rb"\1", quoted)


class _Reader:
    """Reads one element of a list token by token: up to a comma, a group's colon or its semicolon."""

    __slots__ = ("_angle", "_comment", "_has_at", "_in_angle", "_value", "_words",
        "in_group", "position", "steps_left")  # fmt: skip

    def __init__(self, value: bytes, position: int, *, in_group: bool, steps: int) -> None:
        self._value = value
        self._words: list[bytes] = []
        self._angle: list[bytes] | None = None
        self._in_angle = False
        self._comment = b""
        self._has_at = False
        self.position = position
        self.in_group = in_group
        self.steps_left = steps

    def read(self) -> list[HeaderAddress]:
        while self.steps_left > 0 and (match := _TOKEN.match(self._value, self.position)):
            self.position = match.end()
            self.steps_left -= 1
            token = match.group()
            match token:
                case b",":
                    if not self._in_angle:
                        return self._mailbox()
                case b";":
                    return self._end_group()
                case b":" if not self._in_angle and not self.in_group and not self._has_at:
                    return self._start_group()
                case _:
                    self._take(token)
        return self._mailbox()

    def _take(self, token: bytes) -> None:
        match token:
            case b"(":
                self._skip_comment()
            case b"<":
                self._angle, self._in_angle = [], True
            case b">":
                self._in_angle = False
            case _ if token.isspace() or token in b")\\[]":
                return
            case _:
                self._has_at = self._has_at or token == b"@"
                words = self._angle if self._in_angle and self._angle is not None else self._words
                words.append(_unquote(token))

    def _skip_comment(self) -> None:
        """RFC 5322 §3.2.2: comments nest; a counter follows them, whatever their depth."""
        start, depth = self.position, 1
        while depth and self.steps_left > 0 and (match := _IN_COMMENT.match(self._value, self.position)):
            self.position = match.end()
            self.steps_left -= 1
            token = match.group()
            depth += 1 if token == b"(" else -1 if token == b")" else 0
        self._comment = self._value[start : self.position - (depth == 0)][:_COMMENT_BYTES].strip()

    def _start_group(self) -> list[HeaderAddress]:
        self.in_group = True
        return [HeaderAddress(None, b" ".join(self._words), None)]

    def _end_group(self) -> list[HeaderAddress]:
        items = self._mailbox()
        if self.in_group:
            self.in_group = False
            items.append(GROUP_END)
        return items

    def _mailbox(self) -> list[HeaderAddress]:
        words = self._words
        if self._angle is not None:
            local, domain = _split_address(self._angle)
            return [HeaderAddress(b" ".join(words) or self._comment or None, local, domain)]
        if self._has_at:
            local, domain = _split_address(words)
            return [HeaderAddress(self._comment or None, local, domain)]
        if len(words) == 1:
            return [HeaderAddress(self._comment or None, words[0], b"")]
        name = b" ".join(words)
        return [HeaderAddress(name, b"", b"")] if name else []


def _unquote(token: bytes) -> bytes:
    if not token.startswith(b'"'):
        return token
    inner = token[1:-1] if len(token) > 1 and token.endswith(b'"') else token[1:]
    return _unescape(inner)


def _split_address(words: list[bytes]) -> tuple[bytes, bytes]:
    """Local part and domain; a source route is dropped (RFC 5322 §4.4)."""
    if words and words[0] == b"@" and b":" in words:
        words = words[len(words) - words[::-1].index(b":") :]
    if b"@" not in words:
        return b"".join(words), b""
    at = len(words) - 1 - words[::-1].index(b"@")
    return b"".join(words[:at]), b"".join(words[at + 1 :])
