"""Commands about how much mail may be kept (RFC 9208 §4.1; RFC 2087 §4)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GetQuota:
    """RFC 9208 §4.1.1; ``root`` is an opaque name."""

    root: bytes


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    """RFC 9208 §4.1.2; the mailbox need not exist."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    """RFC 9208 §4.1.3: (resource, limit) each."""

    root: bytes
    limits: tuple[tuple[str, int], ...]
