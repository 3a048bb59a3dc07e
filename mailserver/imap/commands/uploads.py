"""APPEND and REPLACE, cut where the octets of a message come in between (RFC 9051 §6.3.12; RFC 3502, 4469, 8508).

A command is one step after the other. The line up to the first message gives the command with its first steps; each
line after a literal gives further ones.
"""

from dataclasses import dataclass
from datetime import datetime

from mailserver.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class MessageBegins:
    """A message with these flags; ``date`` is UTC, None for now."""

    flags: tuple[str, ...] = ()
    date: datetime | None = None


@dataclass(frozen=True, slots=True)
class OctetsFollow:
    """So many octets of the message are announced; ``is_part``: within CATENATE (RFC 4469 §3); ``is_binary``: as a
    literal8 (RFC 3516 §4.4); ``is_utf8``: within UTF8 (RFC 6855 §4).
    """

    size_bytes: int
    is_part: bool = False
    is_binary: bool = False
    is_utf8: bool = False


@dataclass(frozen=True, slots=True)
class UrlPart:
    """The octets that a URL names are part of the message (RFC 4469 §3)."""

    url: bytes


@dataclass(frozen=True, slots=True)
class MessageEnds:
    """The message is complete."""


Step = MessageBegins | OctetsFollow | UrlPart | MessageEnds


@dataclass(frozen=True, slots=True)
class Append:
    """RFC 9051 §6.3.12, with several messages RFC 3502."""

    mailbox: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Replace:
    """RFC 8508 §3: ``message`` names one message of the selected mailbox."""

    message: SequenceSet
    mailbox: str
    steps: tuple[Step, ...]
    uid: bool = False


Upload = Append | Replace
