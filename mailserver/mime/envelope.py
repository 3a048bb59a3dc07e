"""IMAP's ENVELOPE (RFC 9051 §7.5.2) and the strings that it is made of, ready to send.

Values are sent undecoded, as the header has them. The whole stays under a given size: past it address lists
are shortened and the envelope says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailserver.mime.addresses import AddressList, HeaderAddress, parse_address_list
from mailserver.mime.headers import HeaderBlock

ENVELOPE_BYTES = 32 * 1024
# QUOTED-CHAR of RFC 9051 §9, 7-bit only: what an IMAP4rev1 client understands too
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1024}")
# those of them that stand for themselves between quotes
_PLAIN = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-!#-\[\]-\x7f]{0,1024}")
_SPECIAL = re.compile(rb'(["\\])')
_SMALLEST_ADDRESS = len(b'(NIL NIL "" "")')


@dataclass(frozen=True, slots=True, repr=False)
class Envelope:
    """``octets`` ready to send; ``steps`` is the work that it took; ``authors`` and ``recipients``, From and To as read."""

    octets: bytes
    is_shortened: bool
    steps: int
    authors: AddressList
    recipients: AddressList


def format_string(value: bytes) -> bytes:
    """IMAP ``string``: quoted if it can be, else a literal. NUL has no place in either and is dropped."""
    if _PLAIN.fullmatch(value):
        return b'"%b"' % value
    if _QUOTABLE.fullmatch(value):
        return b'"%b"' % _SPECIAL.sub(rb"\\\1", value)
    value = value.replace(b"\0", b"")
    return b"{%d}\r\n%b" % (len(value), value)


def format_nstring(value: bytes | None) -> bytes:
    """IMAP ``nstring``: NIL for None."""
    return b"NIL" if value is None else format_string(value)


_Formatted = tuple[bytes, ...]
"""The addresses of one list, each ready to send."""
_ABSENT = AddressList((), is_complete=True, steps=0)


def _format_address(address: HeaderAddress) -> bytes:
    return b"(%b NIL %b %b)" % (
        format_nstring(address.name),
        format_nstring(address.local),
        format_nstring(address.domain),
    )


def _read_addresses(values: Sequence[bytes], max_items: int) -> AddressList:
    return parse_address_list(b", ".join(values), max_items) if values else _ABSENT


def _size(addresses: _Formatted) -> int:
    return sum(map(len, addresses)) + 3


def _shorten(addresses: _Formatted, max_bytes: int) -> _Formatted:
    """As many addresses from the front as fit; a group cut open is closed again."""
    if _size(addresses) <= max_bytes:
        return addresses
    kept: list[bytes] = []
    free, in_group = max_bytes - 32, False
    for item in addresses:
        free -= len(item)
        if free < 0:
            break
        kept.append(item)
        if item.endswith(b" NIL)"):
            in_group = item != b"(NIL NIL NIL NIL)"
    if in_group:
        kept.append(b"(NIL NIL NIL NIL)")
    return tuple(kept)


def _format_list(addresses: _Formatted) -> bytes:
    return b"(%b)" % b"".join(addresses) if addresses else b"NIL"


_LISTS = (b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc")
_LIKE_FROM = (1, 2)
_SHARES = (16, 16, 16, 4, 8, 16)  # of the whole size, once it must be shared out


def build_envelope(headers: HeaderBlock, max_bytes: int = ENVELOPE_BYTES) -> Envelope:
    """ENVELOPE of a message header, at most ``max_bytes`` octets (at least 1024). Never raises."""
    # 1. read the six lists; several To or Cc fields count as one
    max_items = max_bytes // _SMALLEST_ADDRESS
    parsed = [_read_addresses(headers.find_all(name), max_items) for name in _LISTS]
    lists = [tuple(map(_format_address, each.items)) if each.items else () for each in parsed]
    is_shortened, steps = False, 0
    for position, each in enumerate(parsed):
        steps += each.steps
        if position in _LIKE_FROM and not each.items:
            lists[position] = lists[0]  # 2. absent or empty, they repeat From (RFC 9051 §7.5.2)
        elif not each.is_complete:
            is_shortened = True
    date, subject = headers.find(b"date"), headers.find(b"subject")
    in_reply_to, message_id = headers.find(b"in-reply-to"), headers.find(b"message-id")
    texts = [format_nstring(value) for value in (date, subject, in_reply_to, message_id)]
    # 3. share the room out only when the whole does not fit
    if sum(map(len, texts)) + sum(map(_size, lists)) + 16 > max_bytes:
        is_shortened = True
        lists = [
            _shorten(addresses, max_bytes // share) for addresses, share in zip(lists, _SHARES, strict=True)
        ]
        texts = [
            _shorten_text(date, max_bytes // 32),
            _shorten_text(subject, max_bytes // 8),
            _drop_long(texts[2], max_bytes // 16),
            _drop_long(texts[3], max_bytes // 16),
        ]
    members = [*texts[:2], *map(_format_list, lists), *texts[2:]]
    return Envelope(b"(%b)" % b" ".join(members), is_shortened, steps, parsed[0], parsed[3])


def _shorten_text(value: bytes | None, max_bytes: int) -> bytes:
    formatted = format_nstring(value)
    if value is None or len(formatted) <= max_bytes:
        return formatted
    return format_string(value[: max_bytes // 2 - 8])


def _drop_long(formatted: bytes, max_bytes: int) -> bytes:
    """A message id cut short would name another message: none is better."""
    return formatted if len(formatted) <= max_bytes else b"NIL"
