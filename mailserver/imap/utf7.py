"""Modified UTF-7, the spelling of mailbox names on the wire before UTF-8 is enabled (RFC 3501 §5.1.3).

Both ways are exact: a name has one spelling, and any other spelling of it is refused, so that two names on the
wire never mean one mailbox.
"""

import binascii
import re

from mailserver.model.errors import Malformed

_TO_SHIFT = re.compile(r"&|[^\x20-\x7e]+")
_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_PLAIN = re.compile(rb"(?:[\x20-\x25\x27-\x7e]++|&[A-Za-z0-9+,]*+-)*+")


def encode_utf7(name: str) -> bytes:
    """The one spelling of ``name``; Malformed ``bad_mailbox`` when it holds half a surrogate pair."""
    try:
        return _TO_SHIFT.sub(_shift, name).encode("ascii")
    except UnicodeEncodeError:
        raise Malformed("bad_mailbox", "half a surrogate pair") from None


def decode_utf7(wire: bytes) -> str:
    """The name that ``wire`` spells; Malformed ``bad_mailbox`` for octets that :func:`encode_utf7` never makes."""
    if not _PLAIN.fullmatch(wire):
        raise Malformed("bad_mailbox", "not modified UTF-7")
    try:
        name = _SHIFTED.sub(_unshift, wire).decode("utf-8")
    except ValueError:
        raise Malformed("bad_mailbox", "not modified UTF-7") from None
    if encode_utf7(name) != wire:
        raise Malformed("bad_mailbox", "not the shortest modified UTF-7")
    return name


def _shift(found: re.Match[str]) -> str:
    if found[0] == "&":
        return "&-"
    octets = binascii.b2a_base64(found[0].encode("utf-16-be"), newline=False)
    return "&" + octets.rstrip(b"=").replace(b"/", b",").decode("ascii") + "-"


def _unshift(found: re.Match[bytes]) -> bytes:
    if not found[1]:
        return b"&"
    octets = found[1].replace(b",", b"/")
    padded = octets + b"=" * (-len(octets) % 4)
    return binascii.a2b_base64(padded).decode("utf-16-be").encode("utf-8")
