"""Class S columns: sealed under a service key of the custodian, bound to what they describe.

Every value is a text that ends in no space (JSON, an address, base32): it is padded with spaces to a multiple of
``PAD_BYTES`` inside the seal, so that the length of a row tells little of a name or an address.
"""

import threading

from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.secret import Secret
from mailserver.crypto.wrap import Wrapper

PAD_BYTES = 128


class ServiceSeals:
    """Seals and opens service data. Keys are asked once and kept in memory."""

    def __init__(self, custody: CustodianVerbs) -> None:
        self._custody = custody
        self._wrappers: dict[tuple[str, int], Wrapper] = {}
        self._lock = threading.Lock()

    def seal(self, purpose: str, plaintext: bytes, context: bytes, epoch: int = 0) -> bytes:
        """ValueError for a text that ends in a space: it would come back without it."""
        if plaintext.endswith(b" "):
            raise ValueError("a class S value ends in no space")
        padded = plaintext + b" " * (-len(plaintext) % PAD_BYTES)
        return self._wrapper(purpose, epoch).wrap(padded, context)

    def open(self, purpose: str, sealed: bytes, context: bytes, epoch: int = 0) -> bytes:
        """Raises Corrupt when altered or moved to another row."""
        return self._wrapper(purpose, epoch).unwrap(sealed, context).rstrip(b" ")

    def forget(self, purpose: str, epoch: int) -> None:
        """Drop a key for good: what it sealed is shredded (K20)."""
        with self._lock:
            self._wrappers.pop((purpose, epoch), None)
        self._custody.drop_service_key(purpose, epoch)

    def _wrapper(self, purpose: str, epoch: int) -> Wrapper:
        with self._lock:
            wrapper = self._wrappers.get((purpose, epoch))
            if wrapper is None:
                key: Secret = self._custody.service_key(purpose, epoch)
                wrapper = self._wrappers[purpose, epoch] = Wrapper(key)
            return wrapper
