"""Commands about messages of the selected mailbox (RFC 9051 §6.4)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from mailserver.imap.commands.searching import ResultRange
from mailserver.imap.sequence_set import SequenceSet


@dataclass(frozen=True, slots=True)
class Expunge:
    """RFC 9051 §6.4.3; with ``uids``, UID EXPUNGE (RFC 4315 §2.1)."""

    uids: SequenceSet | None = None


class FetchItem(StrEnum):
    """RFC 9051 §6.4.5 items without arguments; BODY is the structure without extension data.

    EMAILID and THREADID: RFC 8474 §5.3; SAVEDATE: RFC 8514 §4.2; PREVIEW: RFC 8970 §3.1, §4.1.
    """

    UID = "UID"
    FLAGS = "FLAGS"
    INTERNALDATE = "INTERNALDATE"
    RFC822_SIZE = "RFC822.SIZE"
    ENVELOPE = "ENVELOPE"
    BODY = "BODY"
    BODYSTRUCTURE = "BODYSTRUCTURE"
    MODSEQ = "MODSEQ"
    EMAILID = "EMAILID"
    THREADID = "THREADID"
    SAVEDATE = "SAVEDATE"
    PREVIEW = "PREVIEW"
    PREVIEW_LAZY = "PREVIEW (LAZY)"


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
class BinarySection:
    """BINARY[…] or BINARY.PEEK[…] (RFC 9051 §6.4.5): a part decoded; ``partial`` counts decoded octets.

    An empty path names the message, which has no encoding of its own.
    """

    part: tuple[int, ...] = ()
    partial: Partial | None = None
    is_peek: bool = False


@dataclass(frozen=True, slots=True)
class BinarySize:
    """BINARY.SIZE[…] (RFC 9051 §6.4.5)."""

    part: tuple[int, ...] = ()
    partial: ClassVar[None] = None
    is_peek: ClassVar[bool] = True


SectionItem = BodySection | BinarySection | BinarySize
"""What needs the message's own octets."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """RFC 9051 §6.4.5; macros are expanded. ``changed_since`` and ``wants_vanished``: RFC 7162 §3.1.4.1, §3.2.6; ``partial``:
    RFC 9394 §3.3.
    """

    messages: SequenceSet
    items: tuple[FetchItem | SectionItem, ...]
    uid: bool = False
    changed_since: int | None = None
    wants_vanished: bool = False
    partial: ResultRange | None = None


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
