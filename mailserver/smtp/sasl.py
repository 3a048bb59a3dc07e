"""SASL's PLAIN (RFC 4616) and LOGIN over AUTH's lines (RFC 4954 §4). Challenges and responses only; no account here."""

import base64
import binascii
from dataclasses import dataclass

from mailserver.model.errors import Malformed

MECHANISMS = ("PLAIN", "LOGIN")
_CANCEL, _EMPTY = b"*", b"="


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client said. ``secret`` is never shown."""

    login: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(…)"


class Exchange:
    """One authentication. ``take`` each response until credentials come out; ``challenge`` is what to send before."""

    __slots__ = ("_is_plain", "_login")

    def __init__(self, mechanism: str) -> None:
        """Raises Malformed("mechanism-unknown")."""
        if mechanism not in MECHANISMS:
            raise Malformed("mechanism-unknown")
        self._is_plain = mechanism == "PLAIN"
        self._login: str | None = None

    @property
    def challenge(self) -> bytes:
        """What the next 334 carries, in base64; LOGIN's two prompts are what every client knows."""
        if self._is_plain:
            return b""
        return base64.b64encode(b"Username:" if self._login is None else b"Password:")

    def take(self, response: bytes) -> Credentials | None:
        """One line of the client, None when another challenge is due. Raises Malformed: cancelled or unreadable."""
        if response == _CANCEL:
            raise Malformed("auth-cancelled")
        octets = parse_response(response)
        if self._is_plain:
            return parse_plain(octets)
        text = _text(octets)
        if self._login is None:
            self._login = text
            return None
        return Credentials(self._login, text)


def parse_response(response: bytes) -> bytes:
    """Base64, where ``=`` alone is the empty response (RFC 4954 §4). Raises Malformed("auth-syntax")."""
    if response == _EMPTY:
        return b""
    try:
        return base64.b64decode(response, validate=True)
    except binascii.Error:
        raise Malformed("auth-syntax") from None


def parse_plain(octets: bytes) -> Credentials:
    """``authzid NUL authcid NUL passwd`` (RFC 4616 §2). Raises Malformed; acting for another is refused."""
    parts = octets.split(b"\0")
    if len(parts) != 3:
        raise Malformed("auth-syntax")
    authzid, authcid, secret = (_text(part) for part in parts)
    if authzid not in {"", authcid}:
        raise Malformed("auth-syntax")
    return Credentials(authcid, secret)


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("auth-syntax") from None
