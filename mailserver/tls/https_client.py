"""One bounded HTTPS request: TLS 1.2 or newer, no redirect, no proxy, so many octets and seconds and no more."""

import http.client
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mailserver.model.errors import Unavailable

ANSWER_BYTES = 256 * 1024
SECONDS = 5.0
_PIECE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class HttpsEndpoint:
    """``authority``: a PEM file of the only authorities trusted there; None: those of this machine."""

    url: str
    authority: Path | None = None

    def fetch(self, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
        """The octets of a 200 to GET, or to POST with a body. Raises Unavailable("https") whatever else comes."""
        deadline = time.monotonic() + SECONDS
        parts = urlsplit(self.url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            context = _context(self.authority)
            link = http.client.HTTPSConnection(
                parts.hostname or "", parts.port, timeout=SECONDS, context=context
            )
            try:
                link.request("GET" if body is None else "POST", path or "/", body, dict(headers))
                return _read(link, deadline)
            finally:
                link.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable("https", type(error).__name__) from None


def _read(link: http.client.HTTPSConnection, deadline: float) -> bytes:
    """Raises TimeoutError once the deadline has passed: a body that drips does not hold its reader."""
    _await(link, deadline)
    answer = link.getresponse()
    if answer.status != http.client.OK:
        raise Unavailable("https", f"status {answer.status}")
    octets = b""
    while piece := answer.read1(_PIECE_BYTES):
        octets += piece
        if len(octets) > ANSWER_BYTES:
            raise Unavailable("https", "answer too long")
        _await(link, deadline)
    return octets


def _await(link: http.client.HTTPSConnection, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    if link.sock is not None:  # None once the answer's last octets are on their way
        link.sock.settimeout(left)


def _context(authority: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=None if authority is None else str(authority))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
