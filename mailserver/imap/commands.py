"""The closed family of commands (RFC 9051 §6, RFC 3501 §6), as values: what was asked, already checked for form.

Mailbox names and texts are ``str``; credentials never show in a repr. Message numbers and UIDs stay sets as sent:
only a MailboxView can say which messages they name.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailserver.imap.search_keys import SearchKey
from mailserver.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Capability:
    """RFC 9051 §6.1.1."""


@dataclass(frozen=True, slots=True)
class Noop:
    """RFC 9051 §6.1.2."""


@dataclass(frozen=True, slots=True)
class Logout:
    """RFC 9051 §6.1.3."""


@dataclass(frozen=True, slots=True)
class StartTls:
    """RFC 9051 §6.2.1."""


@dataclass(frozen=True, slots=True)
class Authenticate:
    """RFC 9051 §6.2.2; ``initial`` is RFC 4959's response, empty when sent as ``=``, None when absent."""

    mechanism: str
    initial: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    """RFC 9051 §6.2.3."""

    name: str = field(repr=False)
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Enable:
    """RFC 5161 §3.1; names in upper case, unknown ones included."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resync:
    """QRESYNC's parameter (RFC 7162 §3.2.5): what the client still knows."""

    uidvalidity: int
    modseq: int
    known_uids: SequenceSet | None = None
    sample_numbers: SequenceSet | None = None
    sample_uids: SequenceSet | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT, or EXAMINE when ``is_read_only`` (RFC 9051 §6.3.2, §6.3.3)."""

    mailbox: str
    is_read_only: bool = False
    wants_modseq: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Create:
    r"""RFC 9051 §6.3.4; ``roles`` such as ``\Drafts`` (RFC 6154 §3)."""

    mailbox: str
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """RFC 9051 §6.3.5."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """RFC 9051 §6.3.6."""

    mailbox: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """RFC 9051 §6.3.7."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """RFC 9051 §6.3.8."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class List:
    """RFC 9051 §6.3.9. An empty only pattern asks for the root and the separator."""

    reference: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lsub:
    """RFC 3501 §6.3.9."""

    reference: str
    pattern: str


class StatusItem(StrEnum):
    """RFC 9051 §6.3.11, RFC 7162 §3.1.2."""

    MESSAGES = "MESSAGES"
    RECENT = "RECENT"
    UIDNEXT = "UIDNEXT"
    UIDVALIDITY = "UIDVALIDITY"
    UNSEEN = "UNSEEN"
    DELETED = "DELETED"
    SIZE = "SIZE"
    HIGHESTMODSEQ = "HIGHESTMODSEQ"


@dataclass(frozen=True, slots=True)
class Status:
    """RFC 9051 §6.3.11."""

    mailbox: str
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """RFC 9051 §6.3.12: all but the message, whose octets follow as chunks. ``date`` is UTC."""

    mailbox: str
    flags: tuple[str, ...]
    date: datetime | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Namespace:
    """RFC 2342 §5."""


@dataclass(frozen=True, slots=True)
class Id:
    """RFC 2971 §3.1; None stands for ``NIL``."""

    pairs: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Idle:
    """RFC 2177 §3; ends with the line ``DONE``."""


@dataclass(frozen=True, slots=True)
class Check:
    """RFC 3501 §6.4.1."""


@dataclass(frozen=True, slots=True)
class Close:
    """RFC 9051 §6.4.1."""


@dataclass(frozen=True, slots=True)
class Unselect:
    """RFC 3691 §2."""


@dataclass(frozen=True, slots=True)
class Expunge:
    """RFC 9051 §6.4.3; with ``uids``, UID EXPUNGE (RFC 4315 §2.1)."""

    uids: SequenceSet | None = None


class FetchItem(StrEnum):
    """RFC 9051 §6.4.5 items without arguments; BODY is the structure without extension data."""

    UID = "UID"
    FLAGS = "FLAGS"
    INTERNALDATE = "INTERNALDATE"
    RFC822_SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    MODSEQ = "MODSEQ"


class SectionText(StrEnum):
    """RFC 9051 §9 section-text; ALL is the whole part."""

    ALL = ""
    HEADER = "HEADER"
    HEADER_FIELDS = "HEADER.FIELDS"
    HEADER_FIELDS_NOT = "HEADER.FIELDS.NOT"
    TEXT = "TEXT"
    MIME = "MIME"


@dataclass(frozen=True, slots=True)
class Section:
    """Part path (empty: the message), what of it, and field names as the client wrote them."""

    part: tuple[int, ...] = ()
    text: SectionText = SectionText.ALL
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Partial:
    """``<offset.count>``; count is never 0."""

    offset: int
    count: int


@dataclass(frozen=True, slots=True)
class BodySection:
    """BODY[…], BODY.PEEK[…], or with ``label`` one of RFC822, RFC822.HEADER, RFC822.TEXT (RFC 3501 §6.4.5)."""

    section: Section
    partial: Partial | None = None
    is_peek: bool = False
    label: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """RFC 9051 §6.4.5; macros are expanded. ``changed_since`` and ``wants_vanished``: RFC 7162 §3.1.4.1, §3.2.6."""

    messages: SequenceSet
    items: tuple[FetchItem | BodySection, ...]
    uid: bool = False
    changed_since: int | None = None
    wants_vanished: bool = False


class StoreMode(StrEnum):
    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@dataclass(frozen=True, slots=True)
class Store:
    """RFC 9051 §6.4.6; ``unchanged_since``: RFC 7162 §3.1.3."""

    messages: SequenceSet
    mode: StoreMode
    flags: tuple[str, ...]
    is_silent: bool = False
    uid: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """RFC 9051 §6.4.7."""

    messages: SequenceSet
    mailbox: str
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """RFC 6851 §3."""

    messages: SequenceSet
    mailbox: str
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """RFC 9051 §6.4.4; texts are already decoded from ``charset``."""

    key: SearchKey
    charset: str | None = None
    uid: bool = False


Command = (
    Capability
    | Noop
    | Logout
    | StartTls
    | Authenticate
    | Login
    | Enable
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | Unsubscribe
    | List
    | Lsub
    | Status
    | Append
    | Namespace
    | Id
    | Idle
    | Check
    | Close
    | Unselect
    | Expunge
    | Search
    | Fetch
    | Store
    | Copy
    | Move
)
