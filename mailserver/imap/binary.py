"""BINARY[…] and BINARY.SIZE[…] of one message (RFC 3516 §4.2, RFC 9051 §6.4.5): parts without their transfer encoding.

A part is decoded slice by slice, a partial of it only as far as it reaches. Its size and whether it holds NUL must be
told first, so what is longer than HOLD_BYTES is decoded twice rather than held. Whatever cannot have an encoding (RFC
2045 §6.4: the message, a multipart, a message part) is sent as it stands. Lines of text end in CRLF, whatever they
ended in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mailserver.imap.commands import BinarySection, BinarySize, Partial
from mailserver.imap.encode import format_literal_mark
from mailserver.imap.sections import SectionReader, cut_span
from mailserver.mime.decode import TRANSPARENT, decoder_of
from mailserver.mime.section import Span, find_part
from mailserver.model.errors import Malformed

HOLD_BYTES = 256 * 1024
STEP_BYTES = 64 * 1024
_KNOWN = frozenset({"", "base64", "quoted-printable", *TRANSPARENT})
_LONE_LF = re.compile(rb"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a part's octets are; ``encoding`` is empty when they are what they mean."""

    span: Span
    encoding: str
    is_text: bool = False


def demand_decodable(reader: SectionReader, item: BinarySection | BinarySize) -> None:
    """Raises Malformed("unknown-cte") when the part's encoding is not one of RFC 2045 §6 (RFC 3516 §4.3)."""
    source = _find_source(reader, item.part)
    if source is not None and source.encoding not in _KNOWN:
        raise Malformed("unknown-cte")


def binary_pieces(reader: SectionReader, item: BinarySection | BinarySize) -> Iterator[bytes]:
    """The item's name and its value, in bounded pieces; NIL, or size 0, when there is no such part."""
    label = format_binary_label(item)
    source = _find_source(reader, item.part)
    if isinstance(item, BinarySize):
        yield label + b" %d" % (0 if source is None else _count(reader, source))
    elif source is None:
        yield label + b" NIL"
    elif source.encoding:
        yield label + b" "
        yield from _coded_pieces(reader, source, item.partial)
    else:
        span = cut_span(source.span, item.partial)
        reader.verify_spans([span])
        yield label + b" " + format_literal_mark(span.size_bytes)
        yield from reader.slices(span)


def format_binary_label(item: BinarySection | BinarySize) -> bytes:
    """The name under which an item is answered (RFC 9051 §7.5.2): only the offset of its partial."""
    part = ".".join(map(str, item.part)).encode("ascii")
    if isinstance(item, BinarySize):
        return b"BINARY.SIZE[" + part + b"]"
    return b"BINARY[" + part + b"]" + (b"<%d>" % item.partial.offset if item.partial else b"")


def _find_source(reader: SectionReader, part: tuple[int, ...]) -> _Source | None:
    if not part:
        return _Source(Span(0, reader.size_bytes), "")
    row = find_part(reader.parsed(), ".".join(map(str, part)))
    if row is None:
        return None
    span, is_text = Span(row.body_start, row.body_end), row.content_type.startswith("text/")
    is_plain = row.is_message or row.content_type.startswith("multipart/")
    if is_plain or (row.encoding in TRANSPARENT and not is_text):
        return _Source(span, "")
    return _Source(span, row.encoding or "7bit", is_text)


def _count(reader: SectionReader, source: _Source) -> int:
    if not source.encoding:
        return source.span.size_bytes
    return sum(map(len, _all_decoded(reader, source)))


def _coded_pieces(reader: SectionReader, source: _Source, partial: Partial | None) -> Iterator[bytes]:
    """A literal, or a literal8 when NUL is in it (RFC 3516 §4.3)."""
    pieces = _decoded(reader, source, partial)
    held: list[bytes] = []
    size_bytes, has_nul = 0, False
    for piece in pieces:
        size_bytes += len(piece)
        has_nul = has_nul or b"\0" in piece
        if size_bytes <= HOLD_BYTES:
            held.append(piece)
        else:
            held.clear()
    yield (b"~" if has_nul else b"") + format_literal_mark(size_bytes)
    yield from held if size_bytes <= HOLD_BYTES else _decoded(reader, source, partial)


def _decoded(reader: SectionReader, source: _Source, partial: Partial | None) -> Iterator[bytes]:
    """The decoded octets, or those of a partial: what lies behind it is neither read nor decoded."""
    if partial is None:
        yield from _all_decoded(reader, source)
        return
    skip, left = partial.offset, partial.count
    for piece in _all_decoded(reader, source):
        kept = piece[skip : skip + left]
        skip = max(0, skip - len(piece))
        left -= len(kept)
        yield kept
        if not left:
            return


def _all_decoded(reader: SectionReader, source: _Source) -> Iterator[bytes]:
    """RFC 9051 §7.5.2: what is text has the line ends of IMAP."""
    pieces = _octets_meant(reader, source)
    return _with_line_ends(pieces) if source.is_text else pieces


def _with_line_ends(pieces: Iterator[bytes]) -> Iterator[bytes]:
    is_in_pair = False
    for piece in pieces:
        if not piece:
            continue
        ended = _LONE_LF.sub(b"\r\n", piece)
        yield ended[1:] if is_in_pair and piece.startswith(b"\n") else ended
        is_in_pair = piece.endswith(b"\r")


def _octets_meant(reader: SectionReader, source: _Source) -> Iterator[bytes]:
    decoder = decoder_of(source.encoding)
    for octets in reader.slices(source.span, STEP_BYTES):
        yield decoder.update(octets)
    yield decoder.finish()
