"""BDAT's octets, counted (RFC 3030 §2): nothing in them ends the chunk, and none is doubled. No socket."""


class ChunkReader:
    """``feed`` returns content; when ``is_done``, ``rest`` is what followed the chunk."""

    __slots__ = ("_left", "rest")

    def __init__(self, size_bytes: int) -> None:
        self._left = size_bytes
        self.rest = b""

    @property
    def is_done(self) -> bool:
        return not self._left

    def feed(self, data: bytes) -> bytes:
        """The content in these octets."""
        content = data[: self._left]
        self._left -= len(content)
        if not self._left:
            self.rest = data[len(content) :]
        return content
