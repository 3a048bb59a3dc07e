"""IMAP URLs of messages and their parts, relative to the account that is logged in (RFC 5092 §7, RFC 4469 §3).

Two forms name something here: ``/mailbox[;UIDVALIDITY=n]/;UID=n…`` and, in the selected mailbox, ``;UID=n…``; each may
go on with ``/;SECTION=…`` and ``/;PARTIAL=offset[.length]``. A URL with a scheme, a server or an authorisation names
something elsewhere, and so nothing.
"""

import re
from dataclasses import dataclass

from mailserver.imap.commands import Partial, Section
from mailserver.imap.cursor import Cursor, decode_text
from mailserver.imap.framing import RawCommand
from mailserver.imap.grammar import MAX_NUMBER, MAX_NUMBER64, parse_number
from mailserver.imap.parse_messages import parse_section
from mailserver.model.errors import Malformed

# icommand = enc-mailbox [uidvalidity] "/" iuid [isection] [ipartial]; iuid-only = ";UID=" nz-number
_URL = re.compile(
    rb"(?:/(?P<mailbox>[^;/](?:[^;]*[^;/])?)(?:;UIDVALIDITY=(?P<validity>[0-9]+))?/)?;UID=(?P<uid>[0-9]+)"
    rb"(?:/;SECTION=(?P<section>[^;/]+))?(?:/;PARTIAL=(?P<offset>[0-9]+)(?:\.(?P<length>[0-9]+))?)?",
    re.IGNORECASE,
)
# pct-encoded = "%" HEXDIG HEXDIG; everything else as RFC 5092 §11 lets it stand (bchar)
_PLAIN = re.compile(rb"(?:[A-Za-z0-9._~!$'()*+,&=:@/-]|%[0-9A-Fa-f]{2})+")
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """``mailbox`` None: the selected one. ``uidvalidity`` None: whatever it is."""

    mailbox: str | None
    uidvalidity: int | None
    uid: int
    section: Section
    partial: Partial | None


def parse_message_url(octets: bytes) -> MessageUrl:
    """Malformed ``bad_url`` for everything that names no message of this account."""
    found = _URL.fullmatch(octets)
    if found is None:
        raise Malformed("bad_url")
    try:
        return MessageUrl(
            None if found["mailbox"] is None else decode_text(_decode(found["mailbox"]), "utf-8"),
            None if found["validity"] is None else parse_number(found["validity"]),
            parse_number(found["uid"], highest=MAX_NUMBER),
            Section() if found["section"] is None else _parse_section(_decode(found["section"])),
            _parse_partial(found["offset"], found["length"]),
        )
    except Malformed:
        raise Malformed("bad_url") from None


def _decode(octets: bytes) -> bytes:
    if not _PLAIN.fullmatch(octets):
        raise Malformed("bad_url")
    return _ENCODED.sub(lambda found: bytes([int(found[1], 16)]), octets)


def _parse_section(octets: bytes) -> Section:
    """enc-section: what stands between the brackets of BODY[]."""
    if b"\r" in octets or b"\n" in octets or b"\0" in octets:
        raise Malformed("bad_url")
    cursor = Cursor(RawCommand((octets + b"]",)))
    section = parse_section(cursor)
    cursor.end()
    return section


def _parse_partial(offset: bytes | None, length: bytes | None) -> Partial | None:
    """RFC 5092 §11 partial-range; without a length, up to the end."""
    if offset is None:
        return None
    count = MAX_NUMBER64 if length is None else parse_number(length, highest=MAX_NUMBER64)
    if not count:
        raise Malformed("bad_url")
    return Partial(parse_number(offset, highest=MAX_NUMBER64), count)
