"""The closed family of SEARCH keys (RFC 9051 §6.4.4, RFC 3501 §6.4.4): a tree, its texts decoded.

NEW, OLD, the negative flag keys and those that match all or nothing have no class: they are spelled with these.
"""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from mailserver.imap.sequence_set import SequenceSet
from mailserver.model.ids import EmailId


@dataclass(frozen=True, slots=True)
class EveryKey:
    """ALL."""


@dataclass(frozen=True, slots=True)
class FlagKey:
    """SEEN, UNSEEN, KEYWORD x and their like; ``flag`` in its canonical spelling."""

    flag: str
    is_set: bool = True


@dataclass(frozen=True, slots=True)
class RecentKey:
    """RECENT (RFC 3501 §6.4.4)."""


class DateField(StrEnum):
    INTERNAL = "INTERNAL"
    SENT = "SENT"
    SAVED = "SAVED"
    """When the message came into this mailbox (RFC 8514 §4.2)."""


class DateOrder(StrEnum):
    BEFORE = "BEFORE"
    ON = "ON"
    SINCE = "SINCE"


@dataclass(frozen=True, slots=True)
class DateKey:
    field: DateField
    order: DateOrder
    day: date


@dataclass(frozen=True, slots=True)
class AgeKey:
    """YOUNGER, or OLDER when not ``is_younger``, than so many seconds; never 0 (RFC 5032 §2)."""

    seconds: int
    is_younger: bool


@dataclass(frozen=True, slots=True)
class EmailIdKey:
    """EMAILID; None: an id that no message here can have (RFC 8474 §5.1)."""

    email_id: EmailId | None


@dataclass(frozen=True, slots=True)
class SizeKey:
    """LARGER, or SMALLER when not ``is_larger``: both strict."""

    size_bytes: int
    is_larger: bool


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """HEADER, FROM, TO, CC, BCC, SUBJECT; ``name`` in lower case; an empty text asks only for the field."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TextKey:
    """TEXT, or BODY when not ``with_header``."""

    text: str = field(repr=False)
    with_header: bool


@dataclass(frozen=True, slots=True)
class SetKey:
    """Message numbers, or UIDs."""

    messages: SequenceSet
    uid: bool


@dataclass(frozen=True, slots=True)
class ModseqKey:
    """MODSEQ n: changed at n or later (RFC 7162 §3.1.5)."""

    modseq: int


@dataclass(frozen=True, slots=True)
class NotKey:
    key: "SearchKey"


NOTHING = NotKey(EveryKey())
"""What finds no message."""


@dataclass(frozen=True, slots=True)
class OrKey:
    left: "SearchKey"
    right: "SearchKey"


@dataclass(frozen=True, slots=True)
class AndKey:
    """Keys side by side; never empty."""

    keys: "tuple[SearchKey, ...]"


SearchKey = (
    EveryKey
    | FlagKey
    | RecentKey
    | DateKey
    | AgeKey
    | EmailIdKey
    | SizeKey
    | HeaderKey
    | TextKey
    | SetKey
    | ModseqKey
    | NotKey
    | OrKey
    | AndKey
)


def has_modseq(key: SearchKey) -> bool:
    """Whether the client asks for mod-sequences, and so is told them (RFC 7162 §3.1.5)."""
    match key:
        case NotKey():
            return has_modseq(key.key)
        case OrKey():
            return has_modseq(key.left) or has_modseq(key.right)
        case AndKey():
            return any(map(has_modseq, key.keys))
        case _:
            return isinstance(key, ModseqKey)
