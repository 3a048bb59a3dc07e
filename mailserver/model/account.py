"""Accounts (a BAL), their mailboxes' roles and the flags of their messages."""

from enum import IntFlag, StrEnum


class AccountKind(StrEnum):
    """``facts`` §2.1: personal, organisation, application, practice; and the patient's."""

    PER = "PER"
    ORG = "ORG"
    APP = "APP"
    CAB = "CAB"
    PATIENT = "PATIENT"

    @property
    def is_shared(self) -> bool:
        return self in {AccountKind.ORG, AccountKind.CAB}


class AccountState(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class Role(StrEnum):
    """Special-use of a mailbox (RFC 6154 §2); ``NONE`` for an ordinary one."""

    NONE = ""
    INBOX = "inbox"
    SENT = "sent"
    DRAFTS = "drafts"
    TRASH = "trash"
    JUNK = "junk"
    ARCHIVE = "archive"


BIRTH_MAILBOXES: tuple[tuple[str, Role], ...] = (
    ("INBOX", Role.INBOX),
    ("Sent", Role.SENT),
    ("Drafts", Role.DRAFTS),
    ("Trash", Role.TRASH),
    ("Junk", Role.JUNK),
    ("Archive", Role.ARCHIVE),
)
"""Names and roles that exist from the account's birth."""


class Flag(IntFlag):
    """System flags and registered $-keywords, as stored; bits from 16 on are the mailbox's own keywords."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16
    FORWARDED = 32
    MDN_SENT = 64
    JUNK = 128
    NOT_JUNK = 256
    PHISHING = 512
    SET_ASIDE = 1024
    """Pli's own: the message's archive was set apart, never opened (shown as ``$PliSetAside``)."""


FLAG_NAMES: dict[str, Flag] = {
    "\\Seen": Flag.SEEN,
    "\\Answered": Flag.ANSWERED,
    "\\Flagged": Flag.FLAGGED,
    "\\Deleted": Flag.DELETED,
    "\\Draft": Flag.DRAFT,
    "$Forwarded": Flag.FORWARDED,
    "$MDNSent": Flag.MDN_SENT,
    "$Junk": Flag.JUNK,
    "$NotJunk": Flag.NOT_JUNK,
    "$Phishing": Flag.PHISHING,
    "$PliSetAside": Flag.SET_ASIDE,
}
"""Wire name to bit (RFC 9051 §2.3.2)."""

KEYWORD_SHIFT = 16
KEYWORDS_PER_MAILBOX = 46
"""Own keywords are bits 16…61 of a signed 64-bit column; their names live in the sealed mailbox record."""
