"""What senders call themselves and their letters, made fit to stand beside an address that was checked (S8)."""

import unicodedata

from mailserver.audit.events import readable
from mailserver.mime.summary import DisplayAddress

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"


def plain_name(name: str) -> str:
    """A display name on one line without invisible signs; empty when it mimics an address, in whatever script.

    The national label joins its parts with underscores (ECO.2.2.7): people read spaces.
    """
    plain = readable(name.replace("_", " "))
    return "" if "@" in unicodedata.normalize("NFKC", plain) else plain


def plain_person(person: DisplayAddress) -> DisplayAddress:
    """The name only where it cannot be taken for an address, and the true address."""
    return DisplayAddress(plain_name(person.name), readable(person.address))


def isolated(text: str) -> str:
    """``text`` inside a sentence: letters that run from right to left move nothing around it (UAX 9 §2.7)."""
    return f"{FIRST_STRONG_ISOLATE}{text}{POP_ISOLATE}"
