"""What an account key gives (K1).

AMK (32 random bytes) → mail root (messages of the box), space root (documents, log entries, contacts) and the Ed25519
key of the person's statements. A root → one wrapping key and one HPKE pair per epoch. Whoever holds a root cannot go
back to the AMK or across to the other root.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mailserver.crypto.hkdf import derive
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret
from mailserver.crypto.wrap import KEY_BYTES

FIRST_EPOCH = 1
"""The epoch of keys made at provisioning; each rotation (K17) adds one."""


class Root:
    """The mail root or the space root of one account."""

    __slots__ = ("_pairs", "secret")

    def __init__(self, secret: Secret) -> None:
        self.secret = _demand_key(secret)
        self._pairs: dict[int, KeyPair] = {}

    def wrapping_key(self, epoch: int) -> Secret:
        """The symmetric key of ``epoch``: HKDF with ctx("root-wrap", epoch)."""
        return derive(self.secret, "root-wrap", epoch)

    def pair(self, epoch: int) -> KeyPair:
        """The HPKE pair of ``epoch``, its seed by HKDF with ctx("root-pair", epoch); computed once."""
        pair = self._pairs.get(epoch)
        if pair is None:
            pair = self._pairs[epoch] = KeyPair.from_seed(derive(self.secret, "root-pair", epoch))
        return pair


class SigningKey:
    """The Ed25519 key (RFC 8032) of a person's statements."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: Secret) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        """64 bytes over ``data``, which starts with the ctx of what is stated."""
        return self._key.sign(data)


class AccountKeys:
    """Every key of an account, from its AMK. Lives in one connection or one worker call, never in a row."""

    __slots__ = ("amk", "mail", "signing", "space")

    def __init__(self, amk: Secret) -> None:
        self.amk = _demand_key(amk)
        self.mail = Root(derive(amk, "root-mail"))
        self.space = Root(derive(amk, "root-space"))
        self.signing = SigningKey(derive(amk, "signing"))


def verify_statement(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether ``signature`` is by ``public`` over ``data``; False for a key or signature that is no key or signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _demand_key(secret: Secret) -> Secret:
    if len(secret.reveal()) != KEY_BYTES:
        raise ValueError("a root has 32 bytes")
    return secret
