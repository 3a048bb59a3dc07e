"""Small things wrapped under a symmetric key: AES-256-GCM, random 96-bit nonce, a ctx as associated data.

Stored form: nonce (12) ‖ ciphertext ‖ tag (16). A key wraps at most 2**32 values (NIST SP 800-38D §8.3); epochs keep
every key far below.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailserver.crypto.secret import Secret
from mailserver.model.errors import Corrupt

NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES
KEY_BYTES = 32


class Wrapper:
    """One key with its cipher set up once, for pages of rows."""

    __slots__ = ("_cipher",)

    def __init__(self, key: Secret) -> None:
        """ValueError when the key has not 32 bytes."""
        value = key.reveal()
        if len(value) != KEY_BYTES:
            raise ValueError("a wrapping key has 32 bytes")
        self._cipher = AESGCM(value)

    def wrap(self, plaintext: bytes, aad: bytes) -> bytes:
        """Nonce ‖ ciphertext ‖ tag."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, aad)

    def unwrap(self, wrapped: bytes, aad: bytes) -> bytes:
        """The plain bytes; Corrupt("unwrap") for another key, another context or any altered bit."""
        try:
            return self._cipher.decrypt(wrapped[:12], wrapped[12:], aad)
        except (InvalidTag, ValueError):  # ValueError: too short to hold a nonce
            raise Corrupt("unwrap") from None


def wrap(key: Secret, plaintext: bytes, aad: bytes) -> bytes:
    """``Wrapper(key).wrap`` for a single value."""
    return Wrapper(key).wrap(plaintext, aad)


def unwrap(key: Secret, wrapped: bytes, aad: bytes) -> bytes:
    """``Wrapper(key).unwrap`` for a single value."""
    return Wrapper(key).unwrap(wrapped, aad)
