"""Sealing to a public key: HPKE (RFC 9180) with ML-KEM-768+X25519, HKDF-SHA-256 and AES-256-GCM.

The private key is kept as its 32-byte X-Wing seed: SHAKE256(seed, 96) = ML-KEM seed (64) ‖ X25519 (32). A public key
is ML-KEM (1184) ‖ X25519 (32). HPKE says who can read, never who wrote: callers add a MAC or a signature (K23).
"""

import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from mailserver.crypto.secret import Secret
from mailserver.model.errors import Corrupt, Malformed

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_MLKEM_PUBLIC_BYTES = 1184
PUBLIC_BYTES = _MLKEM_PUBLIC_BYTES + 32
SEED_BYTES = 32
SEAL_OVERHEAD_BYTES = 1088 + 32 + 16


class PublicKey:
    """A recipient's key: whoever has it can seal, nobody can open."""

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        """Malformed("public-key") unless ``raw`` is 1216 bytes that encode a valid ML-KEM key."""
        if len(raw) != PUBLIC_BYTES:
            raise Malformed("public-key")
        try:
            mlkem = MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_BYTES])
        except ValueError:  # FIPS 203 §7.2: coefficients must be reduced
            raise Malformed("public-key") from None
        self.raw = raw
        x25519 = X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC_BYTES:])
        self._key = MLKEM768X25519PublicKey(mlkem, x25519)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Encapsulated key (1120) ‖ ciphertext ‖ tag; ``info`` is a ctx. Malformed for a low-order X25519 key."""
        try:
            return _SUITE.encrypt(plaintext, self._key, info)
        except ValueError:  # RFC 7748 §6.1: an all-zero shared secret is refused
            raise Malformed("public-key") from None


@lru_cache(maxsize=512)
def read_public_key(raw: bytes) -> PublicKey:
    """As ``PublicKey``, for keys that are sealed to again and again: reading one takes half as long as a seal."""
    return PublicKey(raw)


class KeyPair:
    """The private half, held as a seed by its owner. About 0.14 ms per ``open``, with the interpreter lock."""

    __slots__ = ("_key", "public")

    def __init__(self, key: MLKEM768X25519PrivateKey, public: bytes) -> None:
        self._key = key
        self.public = public

    @classmethod
    def from_seed(cls, seed: Secret) -> "KeyPair":
        """The pair of a 32-byte X-Wing seed; ValueError for another length."""
        if len(seed.reveal()) != SEED_BYTES:
            raise ValueError("an X-Wing seed has 32 bytes")
        expanded = hashlib.shake_256(seed.reveal()).digest(96)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
        public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
        return cls(MLKEM768X25519PrivateKey(mlkem, x25519), public)

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """What was sealed; Corrupt("unseal") for another key, another ``info`` or any altered bit."""
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            raise Corrupt("unseal") from None
