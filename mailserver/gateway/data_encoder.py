"""A message as it travels after DATA: CRLF line ends only, and no line that could end it early (S1).

Streams: any split of the octets gives the same result. A message starts at a line start and ends in CRLF.
"""

import re

from mailserver.model.errors import Malformed

END_OF_DATA = b"."
"""The line that ends a message, without its CRLF (RFC 5321 §4.1.1.4)."""
_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


class DataEncoder:
    """Call ``update`` for each piece, then ``finish`` once; the ending line is the caller's to send."""

    __slots__ = ("_held", "_is_line_start")

    def __init__(self) -> None:
        self._held = b""
        self._is_line_start = True

    def update(self, piece: bytes) -> bytes:
        """Dot-stuffed lines (RFC 5321 §4.5.2), lone CR or LF made CRLF. Raises Malformed("data-nul")."""
        if b"\0" in piece:
            raise Malformed("data-nul")
        octets = self._held + piece if self._held else piece
        # whether this CR stands alone is known only with the next octet
        self._held = b"\r" if octets.endswith(b"\r") else b""
        return self._encode(octets[:-1] if self._held else octets)

    def finish(self) -> bytes:
        """What remains: at most a held line end and the CRLF that the last line lacks."""
        rest = self._encode(self._held)
        self._held = b""
        return rest if self._is_line_start else rest + b"\r\n"

    def _encode(self, octets: bytes) -> bytes:
        if not octets:
            return b""
        if _LONE.search(octets) is not None:
            octets = _LONE.sub(b"\r\n", octets)
        if b"\n." in octets:
            octets = octets.replace(b"\n.", b"\n..")
        if self._is_line_start and octets.startswith(b"."):
            octets = b"." + octets
        self._is_line_start = octets.endswith(b"\n")
        return octets
