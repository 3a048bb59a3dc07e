"""What is known of one connection, and the times it is given. Values only."""

import re
from dataclasses import dataclass
from enum import StrEnum

_TLS_WORDS = re.compile(r"[^A-Za-z0-9._\- ]")


class Role(StrEnum):
    """Who calls: another operator (port 25), or our own users (587 and 465)."""

    MX = "mx"
    SUBMISSION = "submission"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, and octets a second. The defaults are RFC 5321 §4.5.3.2's least for a server, and S4's rate."""

    command_seconds: float = 300.0
    handshake_seconds: float = 30.0
    shutdown_seconds: float = 5.0
    """What the end of TLS may take when the peer does not answer it."""
    data_seconds: float = 60.0
    """DATA may take so long at any rate; after it, ``least_rate`` on average."""
    least_rate: int = 500


@dataclass(frozen=True, slots=True)
class Link:
    """The wire below a conversation. ``peer`` is an IP address; ``tls`` is empty in the clear."""

    role: Role
    peer: str
    tls: str = ""
    """Version and suite, as a trace line shows them."""
    certificate: bytes | None = None
    """The peer's, DER, once its chain was verified."""

    @property
    def is_tls(self) -> bool:
        return bool(self.tls)


def tls_words(version: str | None, cipher: tuple[str, str, int] | None) -> str:
    """``TLSv1.3 TLS_AES_256_GCM_SHA384``."""
    suite = "" if cipher is None else cipher[0]
    return _TLS_WORDS.sub("-", f"{version or 'TLS'} {suite}".strip())[:80]
