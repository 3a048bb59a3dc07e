"""When an absent person's account answers by itself (RFC 3834 §2): once to whoever wrote to it by name, never to a
machine. Pure: whether this correspondent was answered before is the store's to say.

A patient is answered too: they need most to know where to turn. The answer carries ``X-MSS-MES: FIN``, so that it opens
no exchange and ends none (``facts/mssante`` §4.6).
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailserver.model.absence import Absence
from mailserver.model.address import Address

# RFC 3834 §2: the addresses of programs and of those who keep lists; and those that say nobody reads there
_NOBODY = re.compile(
    r"mailer-daemon|postmaster|(?:no|do[-_.]?not|ne[-_.]?pas)[-_.]?(?:reply|r[eé]pondre).*"
    r"|owner-.+|.+-(?:owner|request|bounces?|errors?)",
    re.IGNORECASE,
)


class ReplyReason(StrEnum):
    """Why there is an automatic reply, or none."""

    DUE = "due"
    NOT_AWAY = "not-away"
    NULL_SENDER = "null-sender"
    AUTOMATIC = "automatic"
    """A report, a receipt, or the automatic reply of somebody else."""
    BULK = "bulk"
    NOBODY = "nobody"
    """The sender's address is a program's."""
    OWN = "own"
    NOT_NAMED = "not-named"
    """It came by Bcc, or through a list: its sender does not know that it came here."""
    TOLD = "told"
    """The sender saw that this person is away, and wrote all the same."""


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """One message to one account. ``sender`` is its return path; ``named`` the addresses of its To and Cc, in the form of
    ``Address.key``; ``is_told``: the sender was shown the absence before sending.
    """

    absence: Absence
    addresses: tuple[Address, ...]
    sender: Address | None
    named: frozenset[str] = frozenset()
    is_automatic: bool = False
    is_bulk: bool = False
    is_told: bool = False

    @property
    def addressed(self) -> Address | None:
        """The account's address that the sender wrote to: the reply comes from there."""
        return next((each for each in self.addresses if each.key in self.named), None)


def decide_reply(facts: ReplyFacts, now: datetime) -> ReplyReason:
    """The first reason against a reply, or ``DUE``."""
    if not facts.absence.is_on(now):
        return ReplyReason.NOT_AWAY
    if facts.sender is None:
        return ReplyReason.NULL_SENDER
    if facts.is_automatic:
        return ReplyReason.AUTOMATIC
    if facts.is_bulk:
        return ReplyReason.BULK
    if _NOBODY.fullmatch(facts.sender.local):
        return ReplyReason.NOBODY
    if facts.sender.key in {each.key for each in facts.addresses}:
        return ReplyReason.OWN
    if facts.addressed is None:
        return ReplyReason.NOT_NAMED
    return ReplyReason.TOLD if facts.is_told else ReplyReason.DUE
