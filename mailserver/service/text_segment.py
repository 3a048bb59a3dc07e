"""Text segments: the folded texts of some messages of one mailbox in one string of octets, searched as it is.

Stored form, before it is sealed: u8 version ‖ Unicode version (3) ‖ u32 count ‖ for each message (u64 UID ‖ u32 bytes of
text ‖ u32 where its body begins) ‖ the texts ‖ zeros. UIDs ascend. A text is header, LF, body; BODY sees the body alone.

Pure. Texts are UTF-8, in which a substring of characters is a substring of octets. What ``find_uids`` finds is what
``needle in text`` finds message by message: no needle is too short, and none is found across two messages.
"""

import struct
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

from mailserver.model.errors import Malformed

SEGMENT_BYTES = 128 * 1024
"""Texts of a full segment, some thirty messages. Small: whoever expunges one of them drops the others with it."""
SEGMENT_ITEMS = 256
ENTRY_BYTES = 1024 * 1024
"""A message with more text than this is in no segment: each search opens it."""
_VERSION = 1
_UNICODE = bytes(map(int, unicodedata.unidata_version.split(".")))
"""Under which texts are folded: a needle folded under another might miss a letter that was not one yet."""
_HEAD = struct.Struct(">B3sI")
_ENTRY = struct.Struct(">QII")


def encode_text(text: str) -> bytes:
    """A folded text or needle, as segments hold it. Never raises."""
    return text.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class TextEntry:
    """The folded text of one message; its body begins at ``body_at``."""

    uid: int
    text: bytes = field(repr=False)
    body_at: int


def make_entry(uid: int, header: str, body: str | None) -> TextEntry:
    """``body``: None when the message has no text but its header."""
    text = encode_text(header)
    if body is None:
        return TextEntry(uid, text, len(text))
    return TextEntry(uid, text + b"\n" + encode_text(body), len(text) + 1)


class TextSegment:
    """An open segment. ``uids`` ascend."""

    __slots__ = ("_bodies", "_octets", "_starts", "uids")

    def __init__(
        self, uids: Sequence[int], octets: bytes, starts: Sequence[int], bodies: Sequence[int]
    ) -> None:
        """``starts`` has one place more than ``uids``: the end of the last text."""
        self.uids = uids
        self._octets = octets
        self._starts = starts
        self._bodies = bodies

    def find_uids(self, needle: bytes, *, with_header: bool) -> list[int]:
        """The messages whose text, or whose body unless ``with_header``, holds ``needle`` (``encode_text``)."""
        if not needle:
            return list(self.uids)
        octets, starts, last = self._octets, self._starts, self._starts[-1]
        begins = starts if with_header else self._bodies
        found = []
        at = octets.find(needle, starts[0], last)
        while at >= 0:
            place = bisect_right(starts, at) - 1
            begin, end = begins[place], starts[place + 1]
            if at < begin:
                at = octets.find(needle, begin, last)
                continue
            if at + len(needle) <= end:
                found.append(self.uids[place])
            at = octets.find(needle, end, last)
        return found

    def entries(self) -> Iterator[TextEntry]:
        """The texts, to be sealed anew beside others."""
        for uid, (start, end), body in zip(self.uids, pairwise(self._starts), self._bodies, strict=True):
            yield TextEntry(uid, self._octets[start:end], body - start)


def format_segment(entries: Sequence[TextEntry]) -> bytes:
    """The stored form of texts in the order of their UIDs, without padding."""
    head = [_HEAD.pack(_VERSION, _UNICODE, len(entries))]
    head += [_ENTRY.pack(entry.uid, len(entry.text), entry.body_at) for entry in entries]
    return b"".join([*head, *(entry.text for entry in entries)])


def parse_segment(octets: bytes) -> TextSegment:
    """Octets of ``format_segment``, zeros after them or not; folded under another Unicode version, it holds no message.

    Raises Malformed ``text-segment``.
    """
    try:
        version, unicode_version, count = _HEAD.unpack_from(octets)
        first = _HEAD.size + count * _ENTRY.size
        rows = list(_ENTRY.iter_unpack(octets[_HEAD.size : first]))
    except struct.error as error:
        raise Malformed("text-segment", "short") from error
    if unicode_version != _UNICODE:
        return TextSegment([], octets, [0], [])
    uids = [uid for uid, _size, _body in rows]
    starts = list(accumulate((size for _uid, size, _body in rows), initial=first))
    is_sound = (
        version == _VERSION
        and 0 < count == len(rows)
        and starts[-1] <= len(octets)
        and all(before < after for before, after in pairwise(uids))
        and all(body <= size for _uid, size, body in rows)
    )
    if not is_sound:
        raise Malformed("text-segment")
    bodies = [start + body for start, (_uid, _size, body) in zip(starts, rows, strict=False)]
    return TextSegment(uids, octets, starts, bodies)


def pack_entries(entries: Iterable[TextEntry]) -> Iterator[list[TextEntry]]:
    """Texts in the order of their UIDs, cut into what one segment holds each."""
    part: list[TextEntry] = []
    size_bytes = 0
    for entry in entries:
        if part and (size_bytes + len(entry.text) > SEGMENT_BYTES or len(part) == SEGMENT_ITEMS):
            yield part
            part, size_bytes = [], 0
        part.append(entry)
        size_bytes += len(entry.text)
    if part:
        yield part
