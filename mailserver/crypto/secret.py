"""Key bytes that do not leak by accident.

A ``Secret`` shows nothing when printed or logged, cannot be pickled, copied or hashed, and compares in constant
time. Python cannot promise to clear memory, so nothing here pretends to.
"""

import hmac
import os
from typing import NoReturn, final

from mailserver.model.ids import ID_BYTES


@final
class Secret:
    """Bytes of a key. ``reveal`` is the only way to them, so every use can be searched for."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # hashing a key would put a trace of it in dict order

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """The bytes; the caller keeps them out of logs, errors and stored rows."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is neither pickled nor copied")


def random_secret(n: int = 32) -> Secret:
    """``n`` fresh random bytes from the operating system."""
    return Secret(os.urandom(n))


def random_id() -> bytes:
    """A fresh 16-byte identifier."""
    return os.urandom(ID_BYTES)
