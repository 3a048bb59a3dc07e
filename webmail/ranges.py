"""Which octets of a file a request asks for, so that a download that was cut goes on where it stopped (RFC 9110 §14)."""

import re
from dataclasses import dataclass

# ranges-specifier of one range (RFC 9110 §14.1.1); a request for several is answered whole, as §14.2 allows
_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Span:
    """Octets ``start`` to ``stop``, as a slice, of a file of ``size_bytes``."""

    start: int
    stop: int
    size_bytes: int
    is_partial: bool = True

    @property
    def length_bytes(self) -> int:
        return self.stop - self.start

    @property
    def status(self) -> int:
        """206 for a part (RFC 9110 §15.3.7)."""
        return 206 if self.is_partial else 200

    def headers(self) -> dict[str, str]:
        """RFC 9110 §14.3 and §14.4."""
        told = {"accept-ranges": "bytes"}
        if self.is_partial:
            told["content-range"] = f"bytes {self.start}-{self.stop - 1}/{self.size_bytes}"
        return told


def find_span(asked: str, if_range: str, etag: str, size_bytes: int) -> Span | None:
    """What Range and If-Range ask for; None when it lies past the file's end (416, RFC 9110 §15.5.17).

    A Range that is not understood, or whose If-Range is another file's, counts for nothing (§13.1.5, §14.2).
    """
    whole = Span(0, size_bytes, size_bytes, is_partial=False)
    match = _RANGE.fullmatch(asked)
    if match is None or (if_range and if_range != etag):
        return whole
    first, last = match.groups()
    if not first:
        # suffix-range: the last so many octets (RFC 9110 §14.1.2)
        length = min(int(last), size_bytes) if last else 0
        if not last:
            return whole
        return Span(size_bytes - length, size_bytes, size_bytes) if length else None
    start = int(first)
    if last and int(last) < start:
        return whole
    stop = min(int(last) + 1, size_bytes) if last else size_bytes
    return Span(start, stop, size_bytes) if start < size_bytes else None
