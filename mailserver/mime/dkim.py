"""DKIM signatures of our own mails (RFC 6376), relaxed in header and body. Pure: the key signs through a function."""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from mailserver.model.errors import Malformed

SIGNED = (
    b"from",
    b"to",
    b"subject",
    b"date",
    b"message-id",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"auto-submitted",
)
"""Each once more than it is there (RFC 6376 §5.4.2): none can be added without breaking the signature."""
_LINE = 72
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)\r\n")
_SPACES = re.compile(rb"[ \t]+")
_END_SPACES = re.compile(rb"[ \t]+(?=\r\n)")
_LAST_LINES = re.compile(rb"(?:\r\n)+\Z")


@dataclass(frozen=True, slots=True)
class DkimIdentity:
    """Whose signature: the record is at ``selector._domainkey.domain``."""

    domain: str
    selector: str
    algorithm: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def format_dkim_signature(mail: bytes, identity: DkimIdentity, now: datetime) -> bytes:
    """The DKIM-Signature field to put before ``mail``, CRLF included. Raises Malformed for what is no mail with a From."""
    head, blank, body = mail.partition(b"\r\n\r\n")
    fields = _FIELD.findall(head + b"\r\n")
    if not blank or all(name.lower() != b"from" for name, _value in fields):
        raise Malformed("dkim-mail")
    names = [name for name in SIGNED for _time in range(_count(fields, name) + 1)]
    body_hash = b64encode(sha256(relax_body(body)).digest()).decode()
    tags = (
        f"v=1; a={identity.algorithm}; c=relaxed/relaxed; d={identity.domain};\r\n"
        f"\ts={identity.selector}; t={int(now.timestamp())};\r\n"
        f"\th={_fold(b':'.join(names).decode(), ':')};\r\n"
        f"\tbh={body_hash};\r\n\tb="
    ).encode()
    # RFC 6376 §3.7: the signed fields in the order of h=, then this one with an empty b= and without CRLF
    signed = _pick(fields, names) + relax_field(b"DKIM-Signature", b" " + tags)[:-2]
    signature = b64encode(identity.sign(signed)).decode()
    return b"DKIM-Signature: " + tags + _fold(signature, "").encode() + b"\r\n"


def _count(fields: list[tuple[bytes, bytes]], wanted: bytes) -> int:
    return sum(name.lower() == wanted for name, _value in fields)


def _pick(fields: list[tuple[bytes, bytes]], names: list[bytes]) -> bytes:
    """RFC 6376 §5.4.2: of several fields of one name the last comes first; one that is not there adds nothing."""
    left = list(reversed(fields))
    picked = b""
    for wanted in names:
        for rank, (name, value) in enumerate(left):
            if name.lower() == wanted:
                picked += relax_field(name, value)
                del left[rank]
                break
    return picked


def relax_field(name: bytes, value: bytes) -> bytes:
    """RFC 6376 §3.4.2."""
    unfolded = _SPACES.sub(b" ", value.replace(b"\r\n", b"")).strip(b" ")
    return name.lower() + b":" + unfolded + b"\r\n"


def relax_body(body: bytes) -> bytes:
    """RFC 6376 §3.4.4."""
    ended = body if not body or body.endswith(b"\r\n") else body + b"\r\n"
    reduced = _END_SPACES.sub(b"", _SPACES.sub(b" ", ended))
    trimmed = _LAST_LINES.sub(b"", reduced)
    return trimmed + b"\r\n" if trimmed else b""


def _fold(text: str, after: str) -> str:
    """Lines of at most 72 characters, broken anywhere, or after ``after``."""
    pieces = [piece + after for piece in text.split(after)] if after else list(text)
    lines = [""]
    for piece in pieces:
        if len(lines[-1]) + len(piece) > _LINE:
            lines.append("")
        lines[-1] += piece
    return "\r\n\t".join(lines).removesuffix(after)
