"""SASL over AUTH's lines (RFC 4954 §4): PLAIN (RFC 4616), LOGIN, tokens and certificates. Challenges and responses
only; no account here.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from mailserver.model.errors import Malformed
from mailserver.service.sasl import (
    TOKEN_MECHANISMS,
    Mechanism,
    TokenAdvice,
    TokenLogin,
    format_token_refusal,
    parse_external,
    parse_token_login,
)

MECHANISMS = ("PLAIN", "LOGIN")
_CANCEL, _EMPTY = b"*", b"="


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client said. ``secret`` is never shown."""

    login: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(…)"


@dataclass(frozen=True, slots=True)
class CertificateLogin:
    """The box to open with the certificate of this connection; empty when the certificate alone says it."""

    login: str = field(repr=False)


Said: TypeAlias = Credentials | TokenLogin | CertificateLogin


class Exchange:
    """One authentication. ``take`` each response until the login comes out; ``challenge`` is what to send before."""

    __slots__ = ("_login", "_mechanism", "_refusal")

    def __init__(self, mechanism: str, offered: Sequence[str] = MECHANISMS) -> None:
        """Raises Malformed("mechanism-unknown")."""
        if mechanism not in offered:
            raise Malformed("mechanism-unknown")
        self._mechanism = mechanism
        self._login: str | None = None
        self._refusal: bytes | None = None

    @property
    def challenge(self) -> bytes:
        """What the next 334 carries, in base64; LOGIN's two prompts are what every client knows."""
        if self._refusal is not None:
            return base64.b64encode(self._refusal)
        if self._mechanism != "LOGIN":
            return b""
        return base64.b64encode(b"Username:" if self._login is None else b"Password:")

    @property
    def is_refused(self) -> bool:
        """Whether the next response only ends it."""
        return self._refusal is not None

    def refuse(self, advice: TokenAdvice) -> bool:
        """Whether the client is told why by a challenge before it is refused (RFC 7628 §3.2.3)."""
        if self._mechanism in TOKEN_MECHANISMS:
            self._refusal = format_token_refusal(Mechanism(self._mechanism), advice)
        return self.is_refused

    def take(self, response: bytes) -> Said | None:
        """One line of the client, None when another challenge is due. Raises Malformed: cancelled or unreadable."""
        if response == _CANCEL:
            raise Malformed("auth-cancelled")
        if self.is_refused:  # RFC 7628 §3.2.3: whatever it answers, it has read why
            return None
        is_empty_line = (
            self._mechanism == Mechanism.EXTERNAL and not response
        )  # RFC 4954 §4: an empty response
        octets = b"" if is_empty_line else parse_response(response)
        match self._mechanism:
            case "PLAIN":
                return parse_plain(octets)
            case Mechanism.OAUTHBEARER | Mechanism.XOAUTH2:
                return parse_token_login(Mechanism(self._mechanism), octets)
            case Mechanism.EXTERNAL:
                return CertificateLogin(parse_external(octets))
            case _:
                return self._take_login(_text(octets))

    def _take_login(self, text: str) -> Credentials | None:
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
