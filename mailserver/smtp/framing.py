"""Octets to command lines: CRLF ends a line and nothing else does (RFC 5321 §2.3.8). No socket, no clock.

The same octets give the same lines however they are cut. Memory is bounded by ``LINE_OCTETS`` plus one piece.
"""

from dataclasses import dataclass
from enum import StrEnum

LINE_OCTETS = 12288
"""RFC 4954 §4: an AUTH line, the longest there is, CRLF included."""


class LineFault(StrEnum):
    TOO_LONG = "line-too-long"
    BARE_OCTET = "line-bare-octet"
    """A CR or LF alone, or a NUL, stands in the line."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line without its CRLF, or the fault of one that was dropped."""

    text: bytes
    fault: LineFault | None = None


class LineFramer:
    """``feed`` octets, take lines with ``next_line``; ``take_rest`` hands over what follows them."""

    __slots__ = ("_buffer", "_is_dropping", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._is_dropping = False

    @property
    def has_octets(self) -> bool:
        """Whether the peer sent anything that no line has used yet."""
        return bool(self._buffer) or self._is_dropping

    @property
    def has_line(self) -> bool:
        """Whether the end of a line has come already."""
        return b"\n" in self._buffer

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take_rest(self) -> bytes:
        """Everything not yet used: it belongs to DATA now."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return rest

    def next_line(self) -> Line | None:
        """The next whole line, or None until more octets come. A LF alone ends its faulty line at once."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._drop_excess()
            self._searched = len(self._buffer)
            return None
        octets = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        self._searched = 0
        if self._is_dropping or len(octets) > LINE_OCTETS:
            self._is_dropping = False
            return Line(b"", LineFault.TOO_LONG)
        text = octets[:-2]
        if not octets.endswith(b"\r\n") or b"\r" in text or b"\0" in text:
            return Line(b"", LineFault.BARE_OCTET)
        return Line(text)

    def _drop_excess(self) -> None:
        if len(self._buffer) >= LINE_OCTETS:
            self._buffer.clear()
            self._is_dropping = True
