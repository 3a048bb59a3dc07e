"""HTTP Basic (RFC 7617): an address and an app password in one header. Octets in, a value out; nothing is judged here."""

import base64
import binascii
import re
from dataclasses import dataclass

from mailserver.model.errors import Malformed

CHALLENGE = 'Basic realm="Pli", charset="UTF-8"'
"""RFC 7617 §2.1: what a refused client is told to send."""
HEADER_CHARACTERS = 2048
_HEADER = re.compile(r"[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]+={0,2}) *")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Never shown."""

    login: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(…)"


def parse_credentials(header: str) -> Credentials:
    """The value of Authorization. Raises Malformed("credentials"), also for another scheme and for none."""
    found = _HEADER.fullmatch(header) if len(header) <= HEADER_CHARACTERS else None
    if found is None:
        raise Malformed("credentials")
    try:
        text = base64.b64decode(found[1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Malformed("credentials") from None
    login, separator, secret = text.partition(":")  # RFC 7617 §2: the first colon ends the name
    if not login or not separator or _CONTROLS.search(text):
        raise Malformed("credentials")
    return Credentials(login, secret)
