"""Our own mails: answers written on the web page, notices, and the frame of reports.

Deterministic: boundary, time and ids are arguments. Yields CRLF octets chunk by chunk, so that a large
attachment is never held. No value can inject a header (``header_writer``), no text a delimiter: text parts are
quoted-printable or base64, where the boundary's "=_" cannot stand (RFC 2045 §6.7).
"""

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.mime.dates import format_date
from mailserver.mime.header_writer import (
    check_content_type,
    check_message_id,
    check_value,
    format_address_field,
    format_field,
    format_parameter_field,
    format_text_field,
    format_token_field,
)
from mailserver.mime.summary import HeaderSummary
from mailserver.model.address import Address
from mailserver.model.errors import Malformed

_NEWLINE = re.compile(r"\r\n|\r|\n")
_NONCE = re.compile(r"[A-Za-z0-9]{8,40}")
_RE = re.compile(r"\s*re\s*:", re.IGNORECASE)
_REPORT_NAMES = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "in-reply-to",
        "references",
        "sender",
    }
)
_BASE64_LINE = 57  # octets that make 76 characters (RFC 2045 §6.8)
_BASE64_BLOCK = _BASE64_LINE * 1024
REFERENCES = 20


@dataclass(frozen=True, slots=True, repr=False)
class Person:
    """An address and the name shown with it (may be empty)."""

    address: Address
    name: str = ""

    def __repr__(self) -> str:
        return "Person(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Letter:
    """Header and text of a mail to write. ``html`` adds an alternative; ``fields`` are further headers
    (X-MSS-…, Disposition-Notification-To, Auto-Submitted), whose names must not be those set here.
    """

    sender: Person
    recipients: tuple[Person, ...]
    subject: str
    text: str
    date: datetime
    message_id: str
    copies: tuple[Person, ...] = ()
    reply_to: tuple[Person, ...] = ()
    html: str | None = None
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return "Letter(…)"


@dataclass(frozen=True, slots=True, repr=False)
class FileToAttach:
    """A file whose octets come in chunks, once."""

    filename: str
    content_type: str
    chunks: Iterable[bytes]

    def __repr__(self) -> str:
        return f"FileToAttach({self.content_type})"


@dataclass(frozen=True, slots=True, repr=False)
class ReplyHeaders:
    in_reply_to: str | None
    references: tuple[str, ...]
    subject: str

    def __repr__(self) -> str:
        return "ReplyHeaders(…)"


def reply_headers(original: HeaderSummary) -> ReplyHeaders:
    """In-Reply-To, References and Subject of an answer (RFC 5322 §3.6.4, §3.6.5).

    Ids that we would not write ourselves are left out.
    """
    chain = original.references or ((original.in_reply_to,) if original.in_reply_to else ())
    chain = tuple(filter(_is_writable_id, (*chain, original.message_id)))
    if len(chain) > REFERENCES:
        chain = (chain[0], *chain[1 - REFERENCES :])
    in_reply_to = original.message_id if _is_writable_id(original.message_id) else None
    subject = original.subject if _RE.match(original.subject) else f"Re: {original.subject}".rstrip()
    return ReplyHeaders(in_reply_to, chain, subject)


def _is_writable_id(text: str) -> bool:
    try:
        check_message_id(text)
    except Malformed:
        return False
    return True


def format_mail(letter: Letter, nonce: str, attachments: Sequence[FileToAttach] = ()) -> bytes:
    """``stream_mail`` in one piece."""
    return b"".join(stream_mail(letter, nonce, attachments))


def format_notice(letter: Letter, nonce: str) -> bytes:
    """A mail that nobody typed (a one-time code, a notification): marked so that no machine answers it
    (RFC 3834 §5). Malformed as ``stream_mail``.
    """
    marked = (*letter.fields, ("Auto-Submitted", "auto-generated"))
    return format_mail(replace(letter, fields=marked), nonce)


def stream_mail(letter: Letter, nonce: str, attachments: Sequence[FileToAttach] = ()) -> Iterator[bytes]:
    """The mail in chunks. ``nonce`` (8-40 letters and digits) makes its boundaries.

    Everything but the attachments' octets is checked before the first chunk: Malformed.
    """
    boundary = format_boundary(nonce, "m")
    head = format_letter_header(letter)
    body = format_text_entity(letter, nonce)
    heads = [format_attachment_header(item) for item in attachments]
    return _emit_mail(head, body, boundary, list(zip(heads, attachments, strict=True)))


def _emit_mail(
    head: bytes, body: bytes, boundary: str, attachments: list[tuple[bytes, FileToAttach]]
) -> Iterator[bytes]:
    if not attachments:
        yield head + body
        return
    yield head + format_multipart_field("mixed", boundary) + format_delimiter(boundary) + body
    for file_head, item in attachments:
        yield format_delimiter(boundary) + file_head
        yield from _encode_base64(item.chunks)
    yield format_delimiter(boundary, is_last=True)


def format_boundary(nonce: str, kind: str) -> str:
    """A boundary that neither base64 nor quoted-printable can contain; no kind is the beginning of another."""
    if not _NONCE.fullmatch(nonce):
        raise Malformed("boundary")
    return f"=_{kind}_{nonce}"


def format_delimiter(boundary: str, *, is_last: bool = False) -> bytes:
    """The delimiter with the CRLF before it, which belongs to it and not to the body that it ends (RFC 2046 §5.1.1);
    after a header that CRLF is the blank line.
    """
    return f"\r\n--{boundary}{'--' if is_last else ''}\r\n".encode()


def format_multipart_field(subtype: str, boundary: str, report_type: str = "") -> bytes:
    parameters = [("report-type", report_type)] if report_type else []
    return format_parameter_field(
        "Content-Type", f"multipart/{subtype}", [*parameters, ("boundary", boundary)]
    )


def format_letter_header(letter: Letter) -> bytes:
    """The message header up to, not including, its Content-Type and blank line."""
    fields = [
        format_field("Date", format_date(letter.date).split(" ")),
        _format_people("From", (letter.sender,)),
        _format_people("To", letter.recipients),
        _format_people("Cc", letter.copies),
        _format_people("Reply-To", letter.reply_to),
        format_field("Message-ID", [check_message_id(letter.message_id)]),
    ]
    if letter.in_reply_to:
        fields.append(format_field("In-Reply-To", [check_message_id(letter.in_reply_to)]))
    if letter.references:
        fields.append(format_field("References", [check_message_id(text) for text in letter.references]))
    fields.append(format_text_field("Subject", letter.subject))
    for name, value in letter.fields:
        if name.lower() in _REPORT_NAMES or name.lower().startswith(("content-", "mime-")):
            raise Malformed("header-name")
        fields.append(format_token_field(name, value))
    fields.append(format_field("MIME-Version", ["1.0"]))
    return b"".join(fields)


def _format_people(name: str, people: tuple[Person, ...]) -> bytes:
    return format_address_field(name, [(item.name, item.address) for item in people]) if people else b""


def format_text_entity(letter: Letter, nonce: str) -> bytes:
    """The letter's text as an entity: text/plain, or multipart/alternative when it has HTML (ECO.2.2.4)."""
    plain = format_text_part(letter.text, "plain")
    if letter.html is None:
        return plain
    boundary = format_boundary(nonce, "a")
    return b"".join(
        [
            format_multipart_field("alternative", boundary),
            format_delimiter(boundary),
            plain,
            format_delimiter(boundary),
            format_text_part(letter.html, "html"),
            format_delimiter(boundary, is_last=True),
        ]
    )


def format_text_part(text: str, subtype: str) -> bytes:
    """One text entity in UTF-8, quoted-printable. CRLF, CR and LF each end a line, and the last line is ended too:
    so normalised, the text is exactly what its reader decodes. Malformed ``body`` for NUL or lone surrogates.
    """
    if "\0" in text:
        raise Malformed("body", "nul")
    lines = _NEWLINE.sub("\n", text)
    if not lines.endswith("\n"):
        lines += "\n"
    try:
        # with bare LF it sees, and encodes, white space at line ends (RFC 2045 §6.7 rule 3)
        encoded = binascii.b2a_qp(lines.encode(), istext=True).replace(b"\n", b"\r\n")
    except UnicodeEncodeError as error:
        raise Malformed("body", "surrogate") from error
    head = format_parameter_field("Content-Type", f"text/{subtype}", [("charset", "utf-8")])
    return head + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded


def format_attachment_header(item: FileToAttach) -> bytes:
    """The header of an attachment's entity, blank line included. message/ and multipart/ types are refused."""
    content_type = check_content_type(item.content_type).lower()
    if content_type.startswith(("message/", "multipart/")):
        raise Malformed("content-type", "composite")  # RFC 2045 §6.4 forbids base64 there
    name = [("filename", check_value(item.filename))] if item.filename else []
    return b"".join(
        [
            format_field("Content-Type", [content_type]),
            format_parameter_field("Content-Disposition", "attachment", name),
            b"Content-Transfer-Encoding: base64\r\n\r\n",
        ]
    )


def stream_attachment(item: FileToAttach) -> Iterator[bytes]:
    """An attachment's entity in chunks: header, then base64 lines of 76 characters, ending in CRLF."""
    head = format_attachment_header(item)
    return _emit_attachment(head, item.chunks)


def _emit_attachment(head: bytes, chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    yield from _encode_base64(chunks)


def _encode_base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    pending = b""
    for chunk in chunks:
        pending = pending + chunk if pending else bytes(chunk)
        whole = len(pending) // _BASE64_LINE * _BASE64_LINE
        for start in range(0, whole, _BASE64_BLOCK):
            yield _base64_lines(pending[start : min(start + _BASE64_BLOCK, whole)])
        pending = pending[whole:]
    if pending:
        yield _base64_lines(pending)


def _base64_lines(octets: bytes) -> bytes:
    encoded = binascii.b2a_base64(octets, newline=False)
    return b"".join([encoded[start : start + 76] + b"\r\n" for start in range(0, len(encoded), 76)])
