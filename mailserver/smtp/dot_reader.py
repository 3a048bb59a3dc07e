"""DATA's transparency, in bulk: finds CRLF.CRLF and takes the doubled dots away (RFC 5321 §4.5.2). No socket.

Only these five octets end a message: what looks like an end to a lenient reader stays content, and its bare CR or LF
is then refused by the line discipline (S1). The same octets give the same content however they are cut.
"""

_END = b"\r\n.\r\n"
_STUFFED, _PLAIN = b"\r\n.", b"\r\n"
_BEGINNINGS = tuple(_END[:length] for length in range(len(_END) - 1, 0, -1))
"""What the octets so far may end in while the end may still come; the longest first."""


class DotReader:
    """``feed`` returns content; when ``is_done``, ``rest`` is what followed the end."""

    __slots__ = ("_held", "_skip", "is_done", "rest")

    def __init__(self) -> None:
        # DATA's own CRLF stands before the first line, so that a dot there counts; it is not content
        self._held = _PLAIN
        self._skip = len(_PLAIN)
        self.is_done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """The content that is certain now."""
        octets = self._held + data
        end = octets.find(_END)
        if end >= 0:
            self.is_done = True
            self.rest = octets[end + len(_END) :]
            octets = octets[: end + len(_PLAIN)]
            self._held = b""
        else:
            self._held = next((start for start in _BEGINNINGS if octets.endswith(start)), b"")
            if self._held:
                octets = octets[: -len(self._held)]
        content = octets.replace(_STUFFED, _PLAIN)
        if not self._skip:
            return content
        skipped = min(self._skip, len(content))
        self._skip -= skipped
        return content[skipped:]
