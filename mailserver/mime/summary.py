"""HeaderSummary: what listing, FETCH and the web page need of a message, computed once at delivery.

Always under 64 KiB in its wire form: display fields are cut with a mark, the ENVELOPE shortens its lists past
32 KiB, and a structure that still does not fit is first told briefly, then as one opaque part (S12).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntFlag
from typing import NamedTuple

from mailserver.mime.addresses import AddressList, parse_address_list
from mailserver.mime.bodystructure import format_structures
from mailserver.mime.dates import find_date
from mailserver.mime.encoded_words import clean_text, decode_words
from mailserver.mime.envelope import build_envelope
from mailserver.mime.headers import HeaderBlock, find_message_id, find_message_ids
from mailserver.mime.part import Content, Part

SUMMARY_BYTES = 65_535
CUT_MARK = "…"
_STRUCTURE_BYTES = 60_000
SUBJECT_BYTES = 2048
_NAME_BYTES = 256
_ADDRESS_BYTES = 320
_ADDRESSES_SHOWN = 30
_ADDRESSES_READ = 60
"""With the marks of groups between them."""
_FILENAME_BYTES = 255
_ID_BYTES = 998
_REFERENCES_SHOWN = 20
_REFERENCES_BYTES = 4096
_WORD_BYTES = 64
_CONTENT_TYPE_BYTES = 127


class SummaryFlag(IntFlag):
    """What was left out."""

    NONE = 0
    ENVELOPE_SHORTENED = 1
    DISPLAY_CUT = 2
    STRUCTURE_BRIEF = 4
    STRUCTURE_OPAQUE = 8


@dataclass(frozen=True, slots=True, repr=False)
class PartRow:
    """One part: its section path (see ``Part.path``), its octets, and what its headers say."""

    path: str
    header_start: int
    body_start: int
    body_end: int
    encoding: str
    content_type: str
    charset: str
    filename: str
    disposition: str

    def __repr__(self) -> str:
        return f"PartRow({self.path}, {self.content_type})"

    @property
    def is_message(self) -> bool:
        return self.content_type in {"message/rfc822", "message/global"}


@dataclass(frozen=True, slots=True, repr=False)
class Attachment:
    """A part shown as a file. ``index`` is its row; ``size_bytes`` its decoded size, within a few octets."""

    index: int
    filename: str
    content_type: str
    size_bytes: int

    def __repr__(self) -> str:
        return f"Attachment({self.index}, {self.content_type})"


@dataclass(frozen=True, slots=True, repr=False)
class DisplayAddress:
    """Decoded name and undecoded address, for people. Policy parses the header itself."""

    name: str
    address: str

    def __repr__(self) -> str:
        return "DisplayAddress(…)"


@dataclass(frozen=True, slots=True, repr=False)
class HeaderSummary:
    """Private like the message itself: sealed by the caller, never logged.

    ``size_bytes`` counts octets as stored (RFC822.SIZE), ``header_bytes`` those up to the body. ``message_id``,
    ``in_reply_to`` and ``references`` keep their angle brackets; absent ones are empty.
    """

    size_bytes: int
    header_bytes: int
    envelope: bytes
    body: bytes
    bodystructure: bytes
    parts: tuple[PartRow, ...]
    attachments: tuple[Attachment, ...]
    subject: str = ""
    senders: tuple[DisplayAddress, ...] = ()
    recipients: tuple[DisplayAddress, ...] = ()
    date: datetime | None = None
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    flags: SummaryFlag = SummaryFlag.NONE
    preview: str | None = None
    """The first words (``mime.preview``); None in summaries made before there were previews."""

    def __repr__(self) -> str:
        return f"HeaderSummary({self.size_bytes} bytes, {len(self.parts)} parts)"


class _Structure(NamedTuple):
    """What a summary says of the tree."""

    body: bytes
    bodystructure: bytes
    parts: tuple[PartRow, ...]
    attachments: tuple[Attachment, ...]
    flag: SummaryFlag


def summarise(root: Part, head: bytes, size: int, headers: HeaderBlock | None = None) -> HeaderSummary:
    """Summary of a stored message from its tree, its own header block (``headers``, where it was read already) and its
    size in octets.
    """
    headers = HeaderBlock(head) if headers is None else headers
    envelope = build_envelope(headers)
    subject = decode_words(headers.find(b"subject") or b"").strip()
    senders, are_senders_cut = _show(envelope.authors, headers, b"from")
    recipients, are_recipients_cut = _show(envelope.recipients, headers, b"to")
    message_id = _whole_id(find_message_id(headers.find(b"message-id") or b""))
    in_reply_to = _whole_id(find_message_id(headers.find(b"in-reply-to") or b""))
    references = _show_references(find_message_ids(headers.find(b"references") or b""))
    is_cut = len(subject.encode()) > SUBJECT_BYTES or are_senders_cut or are_recipients_cut
    subject = _cut(subject, SUBJECT_BYTES)
    # an upper bound of the wire size of everything but the structure
    texts = [subject, message_id, in_reply_to, *references]
    for person in (*senders, *recipients):
        texts += (person.name, person.address)
    taken = len(envelope.octets) + len("".join(texts).encode()) + 2 * len(texts) + 128
    structure = _fit_structure(root, _STRUCTURE_BYTES - taken)
    flags = structure.flag
    if envelope.is_shortened:
        flags |= SummaryFlag.ENVELOPE_SHORTENED
    if is_cut:
        flags |= SummaryFlag.DISPLAY_CUT
    return HeaderSummary(
        size_bytes=size,
        header_bytes=len(head),
        envelope=envelope.octets,
        body=structure.body,
        bodystructure=structure.bodystructure,
        parts=structure.parts,
        attachments=structure.attachments,
        subject=subject,
        senders=senders,
        recipients=recipients,
        date=find_date(headers.find(b"date") or b""),
        message_id=message_id,
        in_reply_to=in_reply_to,
        references=references,
        flags=flags,
    )


def _fit_structure(root: Part, room: int) -> _Structure:
    """The fullest structure for which there is room."""
    found = tuple(root.walk())
    parts = tuple(map(_row, found))
    attachments = _find_attachments(found, parts)
    rows = sum(map(_row_size, parts)) + 16 * len(attachments)
    for is_brief in (False, True):
        body, bodystructure = format_structures(root, is_brief=is_brief)
        if len(bodystructure) + len(body) + rows <= room:
            flag = SummaryFlag.STRUCTURE_BRIEF if is_brief else SummaryFlag.NONE
            return _Structure(body, bodystructure, parts, attachments, flag)
    octets = Content("application", "octet-stream", (), "binary")
    opaque = Part("1", root.header_start, root.body_start, root.body_end, root.line_count, octets)
    body, bodystructure = format_structures(opaque)
    return _Structure(body, bodystructure, (_row(opaque),), (), SummaryFlag.STRUCTURE_OPAQUE)


def _row_size(row: PartRow) -> int:
    texts = (row.path, row.encoding, row.content_type, row.charset, row.filename, row.disposition)
    return 19 + len("".join(texts).encode())


def _row(part: Part) -> PartRow:
    content = part.content
    return PartRow(
        part.path,
        part.header_start,
        part.body_start,
        part.body_end,
        _cut(content.encoding, _WORD_BYTES),
        _cut(content.content_type, _CONTENT_TYPE_BYTES),
        _cut(content.charset, _WORD_BYTES),
        _cut(content.filename, _FILENAME_BYTES),
        _cut(content.disposition or "", _WORD_BYTES),
    )


def _find_attachments(parts: Sequence[Part], rows: Sequence[PartRow]) -> tuple[Attachment, ...]:
    """``parts``: the whole tree, parents first, each with its row."""
    found: list[Attachment] = []
    nested_until = -1
    for index, (part, row) in enumerate(zip(parts, rows, strict=True)):
        if part.header_start < nested_until or not _is_attachment(part, row, is_root=index == 0):
            continue
        if part.content.is_message:
            nested_until = part.body_end  # a forwarded message is one file, not one per attachment of its own
        found.append(Attachment(index, row.filename, row.content_type, _decoded_size(part)))
    return tuple(found)


def _is_attachment(part: Part, row: PartRow, *, is_root: bool) -> bool:
    """A leaf that says so, has a file name, or is neither text nor the body of the message."""
    content = part.content
    if content.media_type == "multipart":
        return False
    if content.disposition == "attachment" or row.filename:
        return True
    return content.media_type not in {"text", "multipart"} and (
        not is_root or part.is_opaque or content.is_message
    )


def _decoded_size(part: Part) -> int:
    if part.content.encoding != "base64":
        return part.size_bytes
    return (part.size_bytes - 2 * max(0, part.line_count - 1)) * 3 // 4 if part.size_bytes else 0


def _cut(text: str, max_bytes: int) -> str:
    """At most ``max_bytes`` of UTF-8, ending in CUT_MARK when something was cut off."""
    if len(text) <= max_bytes and text.isascii():
        return text
    octets = text.encode("utf-8", "replace")
    if len(octets) <= max_bytes:
        return octets.decode()
    return octets[: max_bytes - len(CUT_MARK.encode())].decode("utf-8", "ignore") + CUT_MARK


def show_addresses(values: tuple[bytes, ...]) -> tuple[tuple[DisplayAddress, ...], bool]:
    """The mailboxes of an address field's values, as many as are shown, and whether any was left out."""
    return _show_list(parse_address_list(b", ".join(values), _ADDRESSES_READ))


def _show(parsed: AddressList, headers: HeaderBlock, name: bytes) -> tuple[tuple[DisplayAddress, ...], bool]:
    """As ``show_addresses``, of a list that was read at full length already."""
    return _show_list(parsed) if parsed.is_within(_ADDRESSES_READ) else show_addresses(headers.find_all(name))


def _show_list(parsed: AddressList) -> tuple[tuple[DisplayAddress, ...], bool]:
    mailboxes = parsed.mailboxes
    shown = tuple(
        DisplayAddress(_cut(item.display_name, _NAME_BYTES), _cut(clean_text(item.text), _ADDRESS_BYTES))
        for item in mailboxes[:_ADDRESSES_SHOWN]
    )
    return shown, len(mailboxes) > _ADDRESSES_SHOWN or not parsed.is_complete


def _whole_id(message_id: str | None) -> str:
    return message_id if message_id and len(message_id) <= _ID_BYTES else ""


def _show_references(references: tuple[str, ...]) -> tuple[str, ...]:
    """The first id and the last ones: threads hang on both ends (RFC 5322 §3.6.4)."""
    if len(references) > _REFERENCES_SHOWN:
        references = (references[0], *references[1 - _REFERENCES_SHOWN :])
    kept: list[str] = []
    free = _REFERENCES_BYTES
    for reference in reversed(references):
        free -= len(reference)
        if free >= 0:
            kept.append(reference)
    return tuple(reversed(kept))
