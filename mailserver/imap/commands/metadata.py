"""Commands about annotations of mailboxes and of the server (RFC 5464 §4)."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GetMetadata:
    """RFC 5464 §4.2; ``mailbox`` empty: the server. ``depth``: levels below each name, None for all of them."""

    mailbox: str
    names: tuple[str, ...]
    max_bytes: int | None = None
    depth: int | None = 0


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """RFC 5464 §4.3; a value of None takes the entry away."""

    mailbox: str
    entries: tuple[tuple[str, bytes | None], ...] = field(repr=False)
