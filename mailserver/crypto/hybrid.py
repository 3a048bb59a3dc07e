"""Proof that the installed ``cryptography`` has the post-quantum hybrid; there is never a silent fallback."""

from cryptography.exceptions import UnsupportedAlgorithm

from mailserver.model.errors import Unavailable


class HybridMissing(Unavailable, RuntimeError):
    """ML-KEM-768 + X25519 HPKE or ML-DSA-44 is missing: the server must not start."""


def demand_hybrid() -> None:
    """Return when both algorithms work; HybridMissing otherwise, in words an administrator understands."""
    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
        from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

        Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
        assert MLKEM768X25519PrivateKey is not None
        MLKEM768PrivateKey.from_seed_bytes(bytes(64))
        MLDSA44PrivateKey.from_seed_bytes(bytes(32))
    except (ImportError, AttributeError, UnsupportedAlgorithm) as error:
        raise HybridMissing(
            "hybrid-missing",
            "this installation of the Python package 'cryptography' has no ML-KEM-768+X25519 HPKE or no "
            "ML-DSA-44; install cryptography 50.0.2 or newer from its binary wheel",
        ) from error
