"""Commands that ask which mailboxes there are and what they hold (RFC 9051 §6.3.9, §6.3.11; RFC 3501 §6.3.9)."""

from dataclasses import dataclass
from enum import StrEnum


class StatusItem(StrEnum):
    """RFC 9051 §6.3.11, RFC 7162 §3.1.2, RFC 8438 §2, RFC 9208 §4.1.4, RFC 7889 §3.1, RFC 8474 §4.3."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    DELETED_STORAGE = "DELETED-STORAGE"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"
    MAILBOXID = "MAILBOXID"
    APPENDLIMIT = "APPENDLIMIT"


class ListSelection(StrEnum):
    """Which names LIST selects (RFC 5258 §3.1, RFC 6154 §2)."""

    SUBSCRIBED = "SUBSCRIBED"
    REMOTE = "REMOTE"
    RECURSIVEMATCH = "RECURSIVEMATCH"
    SPECIAL_USE = "SPECIAL-USE"


class ListReturn(StrEnum):
    """What LIST says of each name beyond what it always says (RFC 5258 §3.2, RFC 6154 §2)."""

    SUBSCRIBED = "SUBSCRIBED"
    CHILDREN = "CHILDREN"
    SPECIAL_USE = "SPECIAL-USE"


@dataclass(frozen=True, slots=True)
class List:
    """RFC 9051 §6.3.9. An empty only pattern of a LIST that is not extended asks for the root and the separator.

    ``status``: what RETURN (STATUS (…)) asks for (RFC 5819 §2).
    """

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[ListSelection] = frozenset()
    returns: frozenset[ListReturn] = frozenset()
    status: tuple[StatusItem, ...] = ()
    is_extended: bool = False


@dataclass(frozen=True, slots=True)
class Lsub:
    """RFC 3501 §6.3.9."""

    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Xlist:
    r"""LIST as it was before RFC 6154 and as old Outlooks ask it: the same names, with ``\Inbox`` and ``\Spam``."""

    reference: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Status:
    """RFC 9051 §6.3.11."""

    mailbox: str
    items: tuple[StatusItem, ...]
