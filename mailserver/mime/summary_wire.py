"""Wire form of HeaderSummary: fixed head, then what lists need, then the rest.

head      version u8, flags u8, size u64, header u32, where each of the four strings ends u16 × 4
strings   envelope, bodystructure, message id, body
rest      date, subject, in-reply-to, references, senders, recipients, part rows, attachments
preview   version 2 only: a text, and its length once more behind it, so that it is found from the end

Integers are big-endian, other texts UTF-8 after a u16 length. ``SummaryView`` slices out what it is asked for and reads
nothing else. Padding is refused: the sealing layer keeps the true length (K13). Version 1 is read for ever (R12).
"""

import struct
from datetime import UTC, datetime, timedelta
from itertools import accumulate, islice

from mailserver.mime.summary import (
    SUBJECT_BYTES,
    SUMMARY_BYTES,
    Attachment,
    DisplayAddress,
    HeaderSummary,
    PartRow,
    SummaryFlag,
)
from mailserver.model.errors import Malformed, OverLimit

_WITHOUT_PREVIEW, VERSION = 1, 2
_READABLE = (VERSION, _WITHOUT_PREVIEW)
_HEAD = struct.Struct(">BBQIHHHH")
_VIEW = struct.Struct(">BxQIHHHH")  # the same, without the flags
_DATE = struct.Struct(">Bq")
_ROW = struct.Struct(">III")
_ATTACHMENT = struct.Struct(">HQ")
_U16 = struct.Struct(">H")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD_BYTES = _HEAD.size
_CUT_BYTES = 8
"""A subject this near to its limit may have been cut inside a character."""


class SummaryView:
    """What listing, searching, sorting and threading ask of a stored summary, each read where it stands and nothing else.

    Raises Malformed ``summary`` for octets of another version or too short.
    """

    __slots__ = ("_head", "_octets")

    def __init__(self, octets: bytes) -> None:
        try:
            head = _VIEW.unpack_from(octets)
        except struct.error as error:
            raise Malformed("summary", "short") from error
        if head[0] not in _READABLE or head[6] + _DATE.size > len(octets):
            raise Malformed("summary", "version")
        self._octets = octets
        self._head: tuple[int, ...] = head  # version, size, header, and where the four strings end

    @property
    def size_bytes(self) -> int:
        return self._head[1]

    @property
    def header_bytes(self) -> int:
        return self._head[2]

    @property
    def envelope(self) -> bytes:
        return self._octets[_HEAD_BYTES : self._head[3]]

    @property
    def bodystructure(self) -> bytes:
        return self._octets[self._head[3] : self._head[4]]

    @property
    def body(self) -> bytes:
        return self._octets[self._head[5] : self._head[6]]

    @property
    def message_id(self) -> bytes:
        """With its brackets; empty when there is none."""
        return self._octets[self._head[4] : self._head[5]]

    @property
    def sent_at(self) -> int | None:
        """The instant of the Date field in seconds since the epoch; None when it cannot be read."""
        has_date, seconds = _DATE.unpack_from(self._octets, self._head[6])
        return seconds if has_date else None

    @property
    def subject(self) -> str:
        """Decoded; ``is_subject_whole`` tells whether its end is missing."""
        start, end = self._text_at(self._head[6] + _DATE.size)
        return self._octets[start:end].decode("utf-8", "replace")

    @property
    def is_subject_whole(self) -> bool:
        start, end = self._text_at(self._head[6] + _DATE.size)
        return end - start < SUBJECT_BYTES - _CUT_BYTES

    @property
    def preview(self) -> bytes | None:
        """The preview in UTF-8; None when the summary is older than previews."""
        octets = self._octets
        if octets[0] == _WITHOUT_PREVIEW:
            return None
        end = len(octets) - _U16.size
        return octets[max(0, end - int.from_bytes(octets[end:], "big")) : end]

    def ancestors(self) -> list[bytes]:
        """The ids in References, oldest first; without any, the one in In-Reply-To (RFC 5256 §3)."""
        octets, at = self._octets, self._head[6] + _DATE.size
        at += 2 + int.from_bytes(octets[at : at + 2], "big")  # past the subject
        start, at = self._text_at(at)
        count = int.from_bytes(octets[at : at + 2], "big")
        if not count:
            return [octets[start:at]] if start < at else []
        at += 2
        found = []
        for _ in range(count):
            start = at + 2
            at = start + int.from_bytes(octets[at:start], "big")
            found.append(octets[start:at])
        return found

    def _text_at(self, at: int) -> tuple[int, int]:
        """Where a text with its length before it starts and ends."""
        start = at + 2
        return start, start + int.from_bytes(self._octets[at:start], "big")


def format_summary(summary: HeaderSummary) -> bytes:
    """HeaderSummary → octets, at most SUMMARY_BYTES; OverLimit ``summary`` when it does not fit."""
    strings = [summary.envelope, summary.bodystructure, summary.message_id.encode(), summary.body]
    ends = accumulate(map(len, strings), initial=_HEAD_BYTES)
    version = _WITHOUT_PREVIEW if summary.preview is None else VERSION
    try:
        head = _HEAD.pack(
            version, int(summary.flags), summary.size_bytes, summary.header_bytes, *islice(ends, 1, None)
        )
        octets = head + b"".join(strings) + _format_rest(summary)
    except (struct.error, OverflowError) as error:
        raise OverLimit("summary") from error
    if len(octets) > SUMMARY_BYTES:
        raise OverLimit("summary")
    return octets


def _format_rest(summary: HeaderSummary) -> bytes:
    seconds = 0 if summary.date is None else (summary.date - _EPOCH) // timedelta(seconds=1)
    pieces = [
        _DATE.pack(summary.date is not None, seconds),
        _text(summary.subject),
        _text(summary.in_reply_to),
    ]
    pieces.append(_U16.pack(len(summary.references)))
    pieces += map(_text, summary.references)
    for people in (summary.senders, summary.recipients):
        pieces.append(_U16.pack(len(people)))
        pieces += (_text(text) for person in people for text in (person.name, person.address))
    pieces.append(_U16.pack(len(summary.parts)))
    for row in summary.parts:
        pieces += (_ROW.pack(row.header_start, row.body_start, row.body_end), _row_texts(row))
    pieces.append(_U16.pack(len(summary.attachments)))
    pieces += (_ATTACHMENT.pack(item.index, item.size_bytes) for item in summary.attachments)
    if summary.preview is not None:
        preview = _text(summary.preview)
        pieces += (preview, _U16.pack(len(preview) - _U16.size))
    return b"".join(pieces)


def _text(text: str) -> bytes:
    octets = text.encode()
    return _U16.pack(len(octets)) + octets


def _row_texts(row: PartRow) -> bytes:
    """Each after its length in one octet; OverflowError when that is too small."""
    path, encoding, content_type = row.path.encode(), row.encoding.encode(), row.content_type.encode()
    charset, filename, disposition = row.charset.encode(), row.filename.encode(), row.disposition.encode()
    return b"%c%b%c%b%c%b%c%b%c%b%c%b" % (
        len(path), path, len(encoding), encoding, len(content_type), content_type,
        len(charset), charset, len(filename), filename, len(disposition), disposition,
    )  # fmt: skip


class _Reader:
    """Takes fields off the front of the rest; running out raises struct.error."""

    __slots__ = ("_octets", "_position")

    def __init__(self, octets: bytes, position: int) -> None:
        self._octets = octets
        self._position = position

    def take_until(self, end: int) -> bytes:
        start, self._position = self._position, end
        if not start <= end <= len(self._octets):
            raise struct.error("short")
        return self._octets[start:end]

    def take(self, length: int) -> bytes:
        return self.take_until(self._position + length)

    def unpack(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.take(layout.size))

    def count(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def text(self) -> str:
        return self.take(self.count()).decode()

    def short_text(self) -> str:
        return self.take(self.take(1)[0]).decode()

    def text_between_lengths(self) -> str:
        """A text whose length stands before it and behind it."""
        text = self.take(self.count())
        if self.count() != len(text):
            raise struct.error("length")
        return text.decode()

    @property
    def is_at_end(self) -> bool:
        return self._position == len(self._octets)


def parse_summary(octets: bytes) -> HeaderSummary:
    """Octets of ``format_summary`` → HeaderSummary. Raises Malformed ``summary``."""
    if len(octets) > SUMMARY_BYTES:
        raise Malformed("summary", "long")
    try:
        return _parse(octets)
    except (struct.error, UnicodeDecodeError, OverflowError, IndexError, ValueError) as error:
        raise Malformed("summary") from error


def _parse(octets: bytes) -> HeaderSummary:
    version, flags, size, header, *ends = _HEAD.unpack_from(octets)
    if version not in _READABLE or flags & ~sum(SummaryFlag):
        raise Malformed("summary", "version")
    reader = _Reader(octets, _HEAD_BYTES)
    envelope, bodystructure, message_id, body = map(reader.take_until, ends)
    has_date, seconds = reader.unpack(_DATE)
    if has_date > 1 or (seconds and not has_date):
        raise Malformed("summary", "date")
    date = _EPOCH + timedelta(seconds=seconds) if has_date else None
    subject, in_reply_to = reader.text(), reader.text()
    references = tuple(reader.text() for _ in range(reader.count()))
    senders = tuple(DisplayAddress(reader.text(), reader.text()) for _ in range(reader.count()))
    recipients = tuple(DisplayAddress(reader.text(), reader.text()) for _ in range(reader.count()))
    parts = tuple(_parse_row(reader) for _ in range(reader.count()))
    attachments = tuple(_parse_attachment(reader, parts) for _ in range(reader.count()))
    preview = None if version == _WITHOUT_PREVIEW else reader.text_between_lengths()
    if not reader.is_at_end:
        raise Malformed("summary", "trailing")
    return HeaderSummary(
        size_bytes=size,
        header_bytes=header,
        envelope=envelope,
        body=body,
        bodystructure=bodystructure,
        parts=parts,
        attachments=attachments,
        subject=subject,
        senders=senders,
        recipients=recipients,
        date=date,
        message_id=message_id.decode(),
        in_reply_to=in_reply_to,
        references=references,
        flags=SummaryFlag(flags),
        preview=preview,
    )


def _parse_row(reader: _Reader) -> PartRow:
    header_start, body_start, body_end = reader.unpack(_ROW)
    path, encoding, content_type, charset, filename, disposition = (reader.short_text() for _ in range(6))
    return PartRow(
        path, header_start, body_start, body_end, encoding, content_type, charset, filename, disposition
    )


def _parse_attachment(reader: _Reader, parts: tuple[PartRow, ...]) -> Attachment:
    index, size = reader.unpack(_ATTACHMENT)
    row = parts[index]
    return Attachment(index, row.filename, row.content_type, size)
