"""Trace fields that delivery puts before the octets received (RFC 5321 §4.4).

``Received`` carries no ``for``: stored octets bear no trace of one recipient among several (Bcc).
"""

import re
from dataclasses import dataclass
from datetime import datetime

from mailserver.mime.dates import find_date, format_date
from mailserver.model.address import Address
from mailserver.model.errors import Malformed

# what a HELO name, an address literal or an id may look like in a trace field
_ATOM = re.compile(r"[A-Za-z0-9.:_\-\[\]]{1,255}")
_PROTOCOL = re.compile(r"[A-Z0-9]{1,16}")
TRACE_BYTES = 2048
"""Our own trace fields end before this."""
_SCANNED = re.compile(
    rb"\A(?:Return-Path: <[^\r\n]*>\r\n)?(X-Pli-Antivirus: clean; [A-Za-z0-9.\-]{1,255}; ([^\r\n]{1,40})\r\n)"
)
_TLS = re.compile(r"[A-Za-z0-9._\- ]{1,80}")


@dataclass(frozen=True, slots=True)
class Hop:
    """How a message came in. ``protocol`` as registered: ESMTPS, ESMTPSA (RFC 3848); ``tls`` may be empty."""

    helo: str
    client_address: str
    host: str
    protocol: str
    delivery: str
    tls: str = ""

    def __post_init__(self) -> None:
        for text in (self.helo, self.client_address, self.host, self.delivery):
            if not _ATOM.fullmatch(text):
                raise Malformed("trace-field")
        if not _PROTOCOL.fullmatch(self.protocol) or (self.tls and not _TLS.fullmatch(self.tls)):
            raise Malformed("trace-field")


def format_return_path(sender: Address | None) -> bytes:
    """``Return-Path`` with the envelope sender; None is the null reverse-path."""
    return f"Return-Path: <{sender or ''}>\r\n".encode()


def format_received(hop: Hop, now: datetime) -> bytes:
    """``Received: from … by … with … id …; date``, folded, without ``for``."""
    literal = f"IPv6:{hop.client_address}" if ":" in hop.client_address else hop.client_address
    tls = f"\r\n\t({hop.tls})" if hop.tls else ""
    return (
        f"Received: from {hop.helo} ([{literal}])\r\n"
        f"\tby {hop.host} with {hop.protocol}{tls}\r\n"
        f"\tid {hop.delivery}; {format_date(now)}\r\n"
    ).encode()


def format_scanned(host: str, now: datetime) -> bytes:
    """``X-Pli-Antivirus``, right after Return-Path: this host keeps the message only if its antivirus finds nothing."""
    return f"X-Pli-Antivirus: clean; {host}; {format_date(now)}\r\n".encode()


def scanned_line_of(head: bytes) -> bytes:
    """Our own X-Pli-Antivirus line, or nothing. What stands under the first Received came from elsewhere."""
    found = _SCANNED.match(head)
    return b"" if found is None else found[1]


def find_scanned(head: bytes) -> datetime | None:
    """When our own antivirus passed a stored message; None when it did not see it."""
    found = _SCANNED.match(head)
    return None if found is None else find_date(found[2])
