"""IMAP's ENVELOPE (RFC 9051 §7.5.2) and the strings that it is made of, ready to send.

Values are sent undecoded, as the header has them. The whole stays under a given size: past it address lists
are shortened and the envelope says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailserver.mime.addresses import HeaderAddress, parse_address_list
from mailserver.mime.headers import HeaderBlock

ENVELOPE_BYTES = 32 * 1024
# QUOTED-CHAR of RFC 9051 §9, 7-bit only: what an IMAP4rev1 client understands too
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1024}")
_SPECIAL = re.compile(rb'(["\\])')
_SMALLEST_ADDRESS = len(b'(NIL NIL "" "")')


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """``octets`` ready to send; ``steps`` is the work that it took."""

    octets: bytes
    is_shortened: bool
    steps: int


def format_string(value: bytes) -> bytes:
    """IMAP ``string``: quoted if it can be, else a literal. NUL has no place in either and is dropped."""
    if _QUOTABLE.fullmatch(value):
        return b'"' + (_SPECIAL.sub(rb"\\\1", value) if b'"' in value or b"\\" in value else value) + b'"'
    value = value.replace(b"\0", b"")
    return b"{%d}\r\n%b" % (len(value), value)


def format_nstring(value: bytes | None) -> bytes:
    """IMAP ``nstring``: NIL for None."""
    return b"NIL" if value is None else format_string(value)


@dataclass(frozen=True, slots=True)
class _Addresses:
    formatted: tuple[bytes, ...]
    is_complete: bool
    steps: int = 0

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.formatted)) + 3


_NONE = _Addresses((), is_complete=True)


def _format_address(address: HeaderAddress) -> bytes:
    name, local, domain = map(format_nstring, (address.name, address.local, address.domain))
    return b"(%b NIL %b %b)" % (name, local, domain)


def _read_addresses(values: Sequence[bytes], max_items: int) -> _Addresses:
    if not values:
        return _NONE
    parsed = parse_address_list(b", ".join(values), max_items)
    return _Addresses(tuple(map(_format_address, parsed.items)), parsed.is_complete, parsed.steps)


def _shorten(addresses: _Addresses, max_bytes: int) -> _Addresses:
    """As many addresses from the front as fit; a group cut open is closed again."""
    kept: list[bytes] = []
    free, in_group = max_bytes - 32, False
    for item in addresses.formatted:
        free -= len(item)
        if free < 0:
            break
        kept.append(item)
        if item.endswith(b" NIL)"):
            in_group = item != b"(NIL NIL NIL NIL)"
    if in_group:
        kept.append(b"(NIL NIL NIL NIL)")
    return _Addresses(tuple(kept), is_complete=False)


def _format_list(addresses: _Addresses) -> bytes:
    return b"(" + b"".join(addresses.formatted) + b")" if addresses.formatted else b"NIL"


_LISTS = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_SHARES = (16, 16, 16, 4, 8, 16)  # of the whole size, once it must be shared out


def build_envelope(headers: HeaderBlock, max_bytes: int = ENVELOPE_BYTES) -> Envelope:
    """ENVELOPE of a message header, at most ``max_bytes`` octets (at least 1024). Never raises."""
    # 1. read the six lists; several To or Cc fields count as one
    max_items = max_bytes // _SMALLEST_ADDRESS
    lists = [_read_addresses(headers.find_all(name), max_items) for name in _LISTS]
    steps = sum(addresses.steps for addresses in lists)
    # 2. absent or empty Sender and Reply-To repeat From (RFC 9051 §7.5.2)
    for position in (1, 2):
        if not lists[position].formatted:
            lists[position] = lists[0]
    date, subject = headers.find(b"date"), headers.find(b"subject")
    in_reply_to, message_id = headers.find(b"in-reply-to"), headers.find(b"message-id")
    texts = [format_nstring(value) for value in (date, subject, in_reply_to, message_id)]
    is_shortened = not all(addresses.is_complete for addresses in lists)
    # 3. share the room out only when the whole does not fit
    if sum(map(len, texts)) + sum(addresses.size_bytes for addresses in lists) + 16 > max_bytes:
        is_shortened = True
        lists = [
            _shorten(addresses, max_bytes // share)
            if addresses.size_bytes > max_bytes // share
            else addresses
            for addresses, share in zip(lists, _SHARES, strict=True)
        ]
        texts = [
            _shorten_text(date, max_bytes // 32),
            _shorten_text(subject, max_bytes // 8),
            _drop_long(texts[2], max_bytes // 16),
            _drop_long(texts[3], max_bytes // 16),
        ]
    members = [*texts[:2], *map(_format_list, lists), *texts[2:]]
    return Envelope(b"(" + b" ".join(members) + b")", is_shortened, steps)


def _shorten_text(value: bytes | None, max_bytes: int) -> bytes:
    formatted = format_nstring(value)
    if value is None or len(formatted) <= max_bytes:
        return formatted
    return format_string(value[: max_bytes // 2 - 8])


def _drop_long(formatted: bytes, max_bytes: int) -> bytes:
    """A message id cut short would name another message: none is better."""
    return formatted if len(formatted) <= max_bytes else b"NIL"
