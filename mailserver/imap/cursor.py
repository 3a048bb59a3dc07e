"""Cursor: reads one RawCommand token by token; only Malformed leaves it.

A literal can only be read where its mark stood, which is at the end of a text. Every failure has a code and never
quotes what was sent.
"""

import re
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from mailserver.imap.framing import RawCommand
from mailserver.imap.grammar import (
    ASTRING_ATOM,
    ATOM,
    DATE_TIME,
    FLAG,
    LIST_ATOM,
    MAX_NUMBER,
    NUMBER,
    QUOTED,
    QUOTED_ESCAPE,
    SEQUENCE_SET,
    parse_date_time,
    parse_flag,
    parse_number,
)
from mailserver.imap.sequence_set import SequenceSet, parse_sequence_set
from mailserver.imap.utf7 import decode_utf7
from mailserver.model.errors import Malformed

T = TypeVar("T")

MOST_RANGES = 10_000
"""S3: ranges in all sets of one command."""

MAILBOX_BYTES = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Cursor:
    """``is_utf8``: the client enabled IMAP4rev2 or UTF8=ACCEPT, so mailbox names are UTF-8 and "&" is a letter."""

    def __init__(self, command: RawCommand, *, is_utf8: bool = False) -> None:
        self._command = command
        self._is_utf8 = is_utf8
        self._index = 0
        self._text = command.texts[0]
        self._at = 0
        self._ranges_left = MOST_RANGES

    def take(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What ``pattern`` matches here, passed over; or None, not moving."""
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def expect(self, pattern: re.Pattern[bytes], code: str = "bad_syntax") -> bytes:
        """The octets of ``pattern`` here; Malformed ``code``."""
        found = self.take(pattern)
        if found is None:
            raise Malformed(code)
        return found[0]

    def skip(self, octets: bytes) -> bool:
        """Pass over ``octets`` if they come next."""
        if not self.is_before(octets):
            return False
        self._at += len(octets)
        return True

    def skip_word(self, word: bytes) -> bool:
        """Pass over ``word``, given in upper case, if it comes next in any case."""
        if self._text[self._at : self._at + len(word)].upper() != word:
            return False
        self._at += len(word)
        return True

    def is_at_end(self) -> bool:
        """Whether all is read and no message follows."""
        is_read = self._at == len(self._text) and self._index == len(self._command.literals)
        return is_read and self._command.streamed_bytes is None

    def is_before(self, octets: bytes) -> bool:
        return self._text.startswith(octets, self._at)

    def need(self, octets: bytes, code: str = "bad_syntax") -> None:
        if not self.skip(octets):
            raise Malformed(code)

    def space(self) -> None:
        self.need(b" ", "missing_space")

    def end(self) -> None:
        """Malformed ``trailing_octets`` unless all is read."""
        if self._at < len(self._text) or self._index < len(self._command.literals):
            raise Malformed("trailing_octets")

    def streamed_bytes(self) -> int:
        """The size of the message that follows the last text (RFC 9051 §6.3.12)."""
        if self._at < len(self._text) or self._command.streamed_bytes is None:
            raise Malformed("missing_message")
        return self._command.streamed_bytes

    def keyword(self, code: str = "bad_syntax") -> str:
        """An atom in upper case."""
        return self.expect(ATOM, code).decode("ascii").upper()

    def find_string(self) -> bytes | None:
        """A quoted string or a literal, or None."""
        if self._at == len(self._text) and self._index < len(self._command.literals):
            literal = self.literal8()
            if b"\0" in literal:  # RFC 9051 §9 CHAR8
                raise Malformed("bad_literal", "NUL")
            return literal
        quoted = self.take(QUOTED)
        if quoted is None:
            return None
        return QUOTED_ESCAPE.sub(rb"\1", quoted[1]) if b"\\" in quoted[1] else quoted[1]

    def literal8(self) -> bytes:
        """A literal of any octets, after the tilde that says so (RFC 4466 §6)."""
        if self._at < len(self._text) or self._index == len(self._command.literals):
            raise Malformed("bad_literal")
        literal = self._command.literals[self._index]
        self._index += 1
        self._text = self._command.texts[self._index]
        self._at = 0
        return literal

    def string(self) -> bytes:
        found = self.find_string()
        if found is None:
            raise Malformed("bad_string")
        return found

    def astring(self) -> bytes:
        found = self.find_string()
        return self.expect(ASTRING_ATOM, "bad_string") if found is None else found

    def text(self) -> str:
        """An astring as UTF-8."""
        return decode_text(self.astring(), "utf-8")

    def nstring(self) -> bytes | None:
        """A string, or None for ``NIL``."""
        if self.is_before(b'"') or self._at == len(self._text):
            return self.string()
        if self.keyword("bad_string") != "NIL":
            raise Malformed("bad_string")
        return None

    def number(self, highest: int = MAX_NUMBER) -> int:
        return parse_number(self.expect(NUMBER, "bad_number"), highest=highest)

    def mailbox(self) -> str:
        """A mailbox name; INBOX in any case is ``INBOX`` (RFC 9051 §5.1). Malformed ``bad_mailbox``."""
        name = self._decode_mailbox(self.astring())
        if not name:
            raise Malformed("bad_mailbox", "empty")
        return name

    def reference(self) -> str:
        """LIST's first argument: a mailbox name that may be empty."""
        return self._decode_mailbox(self.astring())

    def pattern(self) -> str:
        """A mailbox name with wildcards, perhaps empty (RFC 9051 §9 list-mailbox)."""
        found = self.find_string()
        return self._decode_mailbox(self.expect(LIST_ATOM, "bad_mailbox") if found is None else found)

    def sequence_set(self, *, may_be_saved: bool = True) -> SequenceSet:
        """Malformed ``bad_sequence_set``, or ``too_many_ranges`` when all sets of the command pass S3's limit.

        ``may_be_saved``: ``$`` is a set too (RFC 5182 §3).
        """
        octets = self.expect(SEQUENCE_SET, "bad_sequence_set")
        numbers = parse_sequence_set(octets, most_ranges=self._ranges_left)
        if numbers.is_saved and not may_be_saved:
            raise Malformed("bad_sequence_set")
        self._ranges_left -= len(numbers.ranges)
        return numbers

    def is_before_sequence_set(self) -> bool:
        return SEQUENCE_SET.match(self._text, self._at) is not None

    def flag(self) -> str:
        return parse_flag(self.expect(FLAG, "bad_flag"))

    def date_time(self) -> datetime:
        return parse_date_time(self.expect(DATE_TIME, "bad_date"))

    def listed(self, item: Callable[[], T], *, most: int, may_be_empty: bool = False) -> tuple[T, ...]:
        """``"(" item *(SP item) ")"``; Malformed ``too_many_items`` beyond ``most``."""
        self.need(b"(")
        if may_be_empty and self.skip(b")"):
            return ()
        items = [item()]
        while not self.skip(b")"):
            if len(items) == most:
                raise Malformed("too_many_items")
            self.space()
            items.append(item())
        return tuple(items)

    def _decode_mailbox(self, octets: bytes) -> str:
        if len(octets) > MAILBOX_BYTES:
            raise Malformed("bad_mailbox", "too long")
        is_utf8 = self._is_utf8 or not octets.isascii()  # some clients send UTF-8 without asking
        name = decode_text(octets, "utf-8") if is_utf8 else decode_utf7(octets)
        if _CONTROL.search(name):
            raise Malformed("bad_mailbox", "control character")
        return "INBOX" if name.upper() == "INBOX" else name


def decode_text(octets: bytes, charset: str) -> str:
    """Octets as text; Malformed ``bad_text``. ``charset`` is one that Python knows."""
    try:
        return octets.decode(charset)
    except UnicodeDecodeError:
        raise Malformed("bad_text") from None
