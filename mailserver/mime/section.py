"""Sections of IMAP's BODY[…] (RFC 9051 §6.4.5.1): where their octets are, and header subsets."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from mailserver.mime.headers import FIELD
from mailserver.mime.summary import HeaderSummary, PartRow
from mailserver.model.errors import Malformed

# section-spec = section-msgtext / (section-part ["." section-text]) (RFC 9051 §9), without HEADER.FIELDS
_SECTION = re.compile(
    r"([1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9}){0,99})?(?:(?:(?<=[0-9])\.|^)(HEADER|TEXT|MIME))?"
)


@dataclass(frozen=True, slots=True)
class Span:
    """Octets ``start`` up to, not including, ``end`` of the stored message."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        return self.end - self.start


def locate_section(summary: HeaderSummary, section: str) -> tuple[Span, ...]:
    """Where a section's octets are: ``''``, ``HEADER``, ``TEXT``, ``1``, ``1.2.MIME``, ``2.1.HEADER``, ``1.TEXT``.

    No span when the message has no such part; Malformed ``section`` when the text is no section. The subset of
    HEADER.FIELDS is ``filter_header_fields`` of the octets of HEADER.
    """
    match = _SECTION.fullmatch(section.upper())
    if match is None or section.upper() == "MIME":
        raise Malformed("section")
    path, kind = match.groups()
    if path is None:
        return _locate_in_message(summary, 0, kind)
    index = _find_row(summary.parts, path)
    if index is None:
        return ()
    row = summary.parts[index]
    match kind:
        case None:
            return (Span(row.body_start, row.body_end),)
        case "MIME":
            return (Span(row.header_start, row.body_start),)
        case _ if row.is_message and index + 1 < len(summary.parts):
            (span,) = _locate_in_message(summary, index + 1, kind)  # rows stand parents first
            # a header that no blank line ends goes on up to the delimiter: its line break is not the message's
            return (Span(min(span.start, row.body_end), min(span.end, row.body_end)),)
        case _:
            return ()


def _locate_in_message(summary: HeaderSummary, index: int, kind: str | None) -> tuple[Span, ...]:
    if kind is None:
        return (Span(0, summary.size_bytes),)
    row = summary.parts[index]
    if kind == "HEADER":
        return (Span(row.header_start, row.body_start),)
    return (Span(row.body_start, row.body_end),)


def find_part(summary: HeaderSummary, path: str) -> PartRow | None:
    """The part that a section's numbers name, such as ``2.1``."""
    index = _find_row(summary.parts, path)
    return None if index is None else summary.parts[index]


def _find_row(parts: tuple[PartRow, ...], path: str) -> int | None:
    return next((index for index, row in enumerate(parts) if row.path == path), None)


@lru_cache(maxsize=64)
def _wanted(names: tuple[str, ...]) -> frozenset[bytes]:
    return frozenset(name.lower().encode("ascii", "replace") for name in names)


def filter_header_fields(header: bytes, names: Collection[str], *, invert: bool = False) -> bytes:
    """The fields of a header block with one of the names (or, inverted, with none), unchanged and in order.

    The blank line that ends the block is kept (RFC 9051 §6.4.5.1, HEADER.FIELDS).
    """
    wanted = _wanted(tuple(names))
    kept = [
        header[match.start() : match.end() + 1]
        for match in FIELD.finditer(header)
        if (match.group(1).lower() in wanted) != invert
    ]
    if header.endswith((b"\n\r\n", b"\n\n")) or header in {b"\r\n", b"\n"}:
        kept.append(b"\r\n" if header.endswith(b"\r\n") else b"\n")
    return b"".join(kept)
