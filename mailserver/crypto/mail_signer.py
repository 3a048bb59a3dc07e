"""The key that signs our notices (DKIM): RSA or Ed25519, from a PEM file of the operator's."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mailserver.model.errors import Malformed

RSA_BITS_FLOOR = 2048
"""RFC 8301 §3.2 demands 1024 and recommends this."""


@dataclass(frozen=True, slots=True)
class MailSigner:
    """``algorithm`` is its name in a signature (RFC 6376 §3.3, RFC 8463 §3); ``sign`` takes the octets to be hashed."""

    algorithm: str
    sign: Callable[[bytes], bytes] = field(repr=False)


def load_mail_signer(pem: bytes) -> MailSigner:
    """Raises Malformed("dkim-key")."""
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise Malformed("dkim-key", "the DKIM key cannot be read") from error
    if isinstance(key, Ed25519PrivateKey):
        ed25519 = key
        return MailSigner("ed25519-sha256", lambda octets: ed25519.sign(sha256(octets).digest()))
    if isinstance(key, RSAPrivateKey) and key.key_size >= RSA_BITS_FLOOR:
        rsa = key
        return MailSigner("rsa-sha256", lambda octets: rsa.sign(octets, PKCS1v15(), SHA256()))
    raise Malformed("dkim-key", "the DKIM key must be RSA of 2048 bits or more, or Ed25519")
