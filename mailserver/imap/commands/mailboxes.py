"""Commands about mailboxes (RFC 9051 §6.3, RFC 3501 §6.3), the end of a selection included."""

from dataclasses import dataclass

from mailserver.imap.sequence_set import SequenceSet


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
class Check:
    """RFC 3501 §6.4.1."""


@dataclass(frozen=True, slots=True)
class Close:
    """RFC 9051 §6.4.1."""


@dataclass(frozen=True, slots=True)
class Unselect:
    """RFC 3691 §2."""
