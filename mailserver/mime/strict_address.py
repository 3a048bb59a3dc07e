"""One address with its name, in the plainest form of RFC 5322 §3.4: what policy reads From and Reply-To by.

``name-addr`` or ``addr-spec``, nothing else: no group, route, comment, second angle or unquoted ``@`` in the name, and
UTF-8 that is valid (RFC 6532 §3.2). Two readers of an accepted value find the same author; the tolerant reader for
people is ``addresses``.
"""

import re
from dataclasses import dataclass

from mailserver.mime.encoded_words import decode_words
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed

VALUE_BYTES = 2048
_SPACE = rb"[ \t]*+"
# atoms and dots apart by white space (RFC 5322 §3.2.5, obs-phrase §4.1), or one quoted string (§3.2.4)
_PHRASE = rb"(?P<phrase>[^\x00-\x08\x0a-\x1f\x7f<>\"(),:;@\\\[\]]*+)"
_QUOTED = rb'"(?P<quoted>(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*+)"' + _SPACE
_ATOM = rb"[^\x00-\x20\x7f<>\"(),:;@\\\[\]]++"
_ADDRESS = _ATOM + rb"@" + _ATOM
_NAMED = re.compile(
    _SPACE + rb"(?:" + _QUOTED + rb"|" + _PHRASE + rb")<(?P<address>" + _ADDRESS + rb")>" + _SPACE
)
_BARE = re.compile(_SPACE + rb"(?P<address>" + _ADDRESS + rb")" + _SPACE)
_QUOTED_PAIR = re.compile(rb"\\(.)")


@dataclass(frozen=True, slots=True, repr=False)
class NamedAddress:
    """An address and the name written beside it (decoded, may be empty): the writer's own word, for people only."""

    name: str
    address: Address

    def __repr__(self) -> str:
        return "NamedAddress(…)"


def parse_named_address(value: bytes) -> NamedAddress:
    """An unfolded field value → its one mailbox. Raises Malformed: "mailbox-syntax", or the address's own code."""
    if len(value) > VALUE_BYTES:
        raise Malformed("mailbox-syntax")
    try:
        value.decode()
    except UnicodeDecodeError:
        raise Malformed("mailbox-syntax") from None
    if match := _BARE.fullmatch(value):
        return NamedAddress("", parse_address(match["address"].decode()))
    match = _NAMED.fullmatch(value)
    if match is None:
        raise Malformed("mailbox-syntax")
    quoted = match["quoted"]
    name = match["phrase"] if quoted is None else _QUOTED_PAIR.sub(rb"\1", quoted)
    return NamedAddress(decode_words(name).strip(), parse_address(match["address"].decode()))
