"""What a sender asks of a delivery (RFC 3461 §4, RFC 8689): with MAIL for the message, with RCPT for a recipient."""

import re
from dataclasses import dataclass
from enum import StrEnum

from mailserver.model.errors import Malformed

ENVELOPE_ID_CHARACTERS = 100
ORIGINAL_CHARACTERS = 500
"""Longest xtext of ENVID and of ORCPT (RFC 3461 §5.4 and §4.2)."""
# RFC 3461 §4: xchar is any printable ASCII but "+" and "="; hexchar is "+" and two upper-case digits
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_PRINTABLE = re.compile(r"[ -~]+")
_NEVER = "NEVER"


class Notify(StrEnum):
    """NOTIFY's words but NEVER, which is none of them."""

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


UNASKED = frozenset({Notify.FAILURE, Notify.DELAY})
"""What a sender hears who asked for nothing (RFC 3461 §4.1)."""


class Returned(StrEnum):
    """How much of a message comes back with the report of a failure (RFC 3461 §4.3)."""

    FULL = "FULL"
    HEADERS = "HDRS"


@dataclass(frozen=True, slots=True)
class MessageAsk:
    """RET and ENVID; ``envelope_id`` is decoded, empty without one. ``requires_tls``: REQUIRETLS (RFC 8689)."""

    returned: Returned | None = None
    envelope_id: str = ""
    requires_tls: bool = False

    @property
    def is_of_reports(self) -> bool:
        """Whether something is asked of RFC 3461."""
        return self.returned is not None or bool(self.envelope_id)

    def __repr__(self) -> str:
        return "MessageAsk(…)"


@dataclass(frozen=True, slots=True)
class RecipientAsk:
    """NOTIFY and ORCPT. ``notify`` is None when nothing was said, empty for NEVER; ``original`` is an address of type
    rfc822, decoded, empty without one.
    """

    notify: frozenset[Notify] | None = None
    original: str = ""

    def wants(self, what: Notify) -> bool:
        """Whether the sender is to be told of this."""
        return what in (UNASKED if self.notify is None else self.notify)

    def __repr__(self) -> str:
        return "RecipientAsk(…)"


NO_MESSAGE_ASK = MessageAsk()
NO_RECIPIENT_ASK = RecipientAsk()
NO_REPORT = RecipientAsk(frozenset())


def parse_xtext(text: str, most: int) -> str:
    """RFC 3461 §4. Raises Malformed for any other spelling, and for what would not print: it goes into a header."""
    if len(text) > most or not _XTEXT.fullmatch(text):
        raise Malformed("xtext")
    plain = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text)
    if not _PRINTABLE.fullmatch(plain):
        raise Malformed("xtext")
    return plain


def format_xtext(text: str) -> str:
    """Inverse of ``parse_xtext``, for printable ASCII."""
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)


def parse_notify(text: str) -> frozenset[Notify]:
    """RFC 3461 §4.1: NEVER alone, or the others, each once. Raises Malformed."""
    words = text.upper().split(",")
    if words == [_NEVER]:
        return frozenset()
    try:
        asked = frozenset(map(Notify, words))
    except ValueError:
        raise Malformed("notify") from None
    if len(asked) != len(words):
        raise Malformed("notify")
    return asked


def format_notify(asked: frozenset[Notify]) -> str:
    return ",".join(word.value for word in Notify if word in asked) or _NEVER
