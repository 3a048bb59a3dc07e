"""Commands about the connection itself (RFC 9051 §6.1, §6.2) and those valid in any mailbox or none."""

from dataclasses import dataclass, field


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
class Unauthenticate:
    """RFC 8437 §3."""


@dataclass(frozen=True, slots=True)
class Enable:
    """RFC 5161 §3.1; names in upper case, unknown ones included."""

    names: tuple[str, ...]


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
