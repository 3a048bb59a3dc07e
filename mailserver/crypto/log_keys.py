"""The access log's two signatures (L7): Ed25519 (RFC 8032) and ML-DSA-44 (FIPS 204). A verifier demands both."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from mailserver.crypto.secret import Secret
from mailserver.model.errors import Malformed

SEED_BYTES = 32


class LogSigningKeys:
    """Both private keys, kept as their seeds."""

    __slots__ = ("_ed25519", "_mldsa", "publics")

    def __init__(self, ed25519_seed: Secret, mldsa_seed: Secret) -> None:
        """ValueError unless each seed has 32 bytes."""
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(ed25519_seed.reveal())
        self._mldsa = MLDSA44PrivateKey.from_seed_bytes(mldsa_seed.reveal())
        self.publics: tuple[bytes, bytes] = (
            self._ed25519.public_key().public_bytes_raw(),
            self._mldsa.public_key().public_bytes_raw(),
        )

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Ed25519 signature (64 bytes), ML-DSA-44 signature (2420 bytes, empty context)."""
        return self._ed25519.sign(message), self._mldsa.sign(message)


def format_log_keys(keys: LogSigningKeys) -> Secret:
    """Ed25519 seed ‖ ML-DSA-44 seed: 64 bytes for the custodian's file."""
    return Secret(keys._ed25519.private_bytes_raw() + keys._mldsa.private_bytes_raw())  # noqa: SLF001  same module


def parse_log_keys(seeds: Secret) -> LogSigningKeys:
    """The keys of ``format_log_keys``; Malformed("log-keys") for another length."""
    raw = seeds.reveal()
    if len(raw) != 2 * SEED_BYTES:
        raise Malformed("log-keys")
    return LogSigningKeys(Secret(raw[:SEED_BYTES]), Secret(raw[SEED_BYTES:]))


def verify_log_signatures(
    publics: tuple[bytes, bytes], message: bytes, signatures: tuple[bytes, bytes]
) -> bool:
    """True only when both signatures are good; False for anything else, malformed keys included."""
    try:
        Ed25519PublicKey.from_public_bytes(publics[0]).verify(signatures[0], message)
        MLDSA44PublicKey.from_public_bytes(publics[1]).verify(signatures[1], message)
    except (InvalidSignature, ValueError):
        return False
    return True
