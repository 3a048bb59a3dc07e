"""What mail clients say when they log in without a password: OAUTHBEARER (RFC 7628), Google's XOAUTH2, and EXTERNAL.

Octets in, values out, for IMAP and submission alike; no account and no token is judged here.
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from mailserver.model.errors import Malformed

TOKEN_BYTES = 8 * 1024
_NAME_BYTES = 1024
_SEPARATOR = b"\x01"
# RFC 7628 §3.1: gs2-header kvsep *kvpair kvsep; "p=…" would ask for channel binding, which there is none of
_GS2 = re.compile(rb"[ny],(?:a=([^,=\x00\x01]*(?:=(?:2C|3D)[^,=\x00\x01]*)*))?,")
_PAIR = re.compile(rb"([A-Za-z]+)=([\x09\x0a\x0d\x20-\x7e]*)")
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")
"""RFC 6750 §2.1 b64token; the scheme's case does not count."""


class Mechanism(StrEnum):
    OAUTHBEARER = "OAUTHBEARER"
    XOAUTH2 = "XOAUTH2"
    EXTERNAL = "EXTERNAL"


TOKEN_MECHANISMS = (Mechanism.OAUTHBEARER, Mechanism.XOAUTH2)


@dataclass(frozen=True, slots=True)
class TokenLogin:
    """The address that was named, and the token. Never shown."""

    login: str
    token: bytes

    def __repr__(self) -> str:
        return "TokenLogin(…)"


@dataclass(frozen=True, slots=True)
class TokenAdvice:
    """What a client whose token is refused is told of where to get one."""

    scope: str = ""
    configuration_url: str = ""


def parse_token_login(mechanism: Mechanism, response: bytes) -> TokenLogin:
    """The client's one message. Raises Malformed("auth-syntax"): also without the name of the account, which is asked
    of every client (RFC 7628 §3.1 lets a server do so).
    """
    match mechanism:
        case Mechanism.OAUTHBEARER:
            return _parse_oauthbearer(response)
        case Mechanism.XOAUTH2:
            return _parse_xoauth2(response)
        case Mechanism.EXTERNAL:
            raise Malformed("auth-syntax")


def _parse_oauthbearer(response: bytes) -> TokenLogin:
    head, separator, rest = response.partition(_SEPARATOR)
    found = _GS2.fullmatch(head)
    if found is None or not separator or not rest.endswith(_SEPARATOR):
        raise Malformed("auth-syntax")
    name = (found[1] or b"").replace(b"=2C", b",").replace(b"=3D", b"=")  # RFC 5801 §4
    return TokenLogin(_name(name), _token(_pairs(rest[:-1])))


def _parse_xoauth2(response: bytes) -> TokenLogin:
    """``user=… ^A auth=Bearer … ^A ^A``"""
    if not response.endswith(2 * _SEPARATOR):
        raise Malformed("auth-syntax")
    user, separator, rest = response[:-1].partition(_SEPARATOR)
    if not user.startswith(b"user=") or not separator:
        raise Malformed("auth-syntax")
    return TokenLogin(_name(user.removeprefix(b"user=")), _token(_pairs(rest)))


def _pairs(octets: bytes) -> dict[bytes, bytes]:
    """``key=value ^A`` each; a key stands once."""
    pairs: dict[bytes, bytes] = {}
    for text in octets.split(_SEPARATOR)[:-1]:
        found = _PAIR.fullmatch(text)
        if found is None or found[1] in pairs:
            raise Malformed("auth-syntax")
        pairs[found[1]] = found[2]
    if octets and not octets.endswith(_SEPARATOR):
        raise Malformed("auth-syntax")
    return pairs


def _token(pairs: dict[bytes, bytes]) -> bytes:
    found = _BEARER.fullmatch(pairs.get(b"auth", b""))
    if found is None or len(found[1]) > TOKEN_BYTES:
        raise Malformed("auth-syntax")
    return found[1]


def _name(octets: bytes) -> str:
    if not 0 < len(octets) <= _NAME_BYTES:
        raise Malformed("auth-syntax")
    return _text(octets)


def parse_external(response: bytes) -> str:
    """RFC 4422 §A: the account to open, empty when the certificate alone says it. Raises Malformed("auth-syntax")."""
    if len(response) > _NAME_BYTES or b"\0" in response:
        raise Malformed("auth-syntax")
    return _text(response)


def _text(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("auth-syntax") from None


def format_token_refusal(mechanism: Mechanism, advice: TokenAdvice) -> bytes:
    """The challenge that tells a client why, before the refusal itself (RFC 7628 §3.2.2); not yet in base64. It says
    the same whatever was wrong (K22).
    """
    if mechanism is Mechanism.XOAUTH2:
        said = {"status": "401", "schemes": "bearer"}
    else:
        said = {"status": "invalid_token"}
    if advice.scope:
        said["scope"] = advice.scope
    if advice.configuration_url:
        said["openid-configuration"] = advice.configuration_url
    return json.dumps(said, separators=(",", ":")).encode()
