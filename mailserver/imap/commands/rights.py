"""Commands about rights in mailboxes (RFC 4314 §3). ``identifier`` is as the client wrote it."""

from dataclasses import dataclass
from enum import StrEnum

from mailserver.model.rights import Rights


class RightsChange(StrEnum):
    """RFC 4314 §3.1: the prefix of the rights."""

    REPLACE = ""
    ADD = "+"
    REMOVE = "-"


@dataclass(frozen=True, slots=True)
class SetAcl:
    """RFC 4314 §3.1."""

    mailbox: str
    identifier: str
    change: RightsChange
    rights: Rights


@dataclass(frozen=True, slots=True)
class DeleteAcl:
    """RFC 4314 §3.2."""

    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl:
    """RFC 4314 §3.3."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights:
    """RFC 4314 §3.4."""

    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights:
    """RFC 4314 §3.5."""

    mailbox: str
