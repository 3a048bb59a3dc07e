"""Entries and leaves: the bytes that are sealed for the person and the bytes that the tree commits to (L3, L6).

Sealed plain text = u32 length ‖ salt (32) ‖ canonical event ‖ zeros up to a multiple of 512. The commitment
C = SHA-256("pli/entry/1" ‖ salt ‖ event) hides the event from whoever sees the leaf and binds its every byte.
Leaves of one account form a chain: each names the hash of the one before.
"""

from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from mailserver.audit import merkle
from mailserver.audit.events import EVENT_BYTES
from mailserver.crypto.ctx import ctx
from mailserver.crypto.seal import KeyPair, PublicKey
from mailserver.model.errors import Conflict, Corrupt, Malformed
from mailserver.model.ids import ID_BYTES, AccountId, EntryId

SALT_BYTES = 32
PAD_BYTES = 512
LEAF_BYTES = 1 + ID_BYTES + 8 + merkle.HASH_BYTES + merkle.HASH_BYTES
NO_PREVIOUS = bytes(merkle.HASH_BYTES)
_COMMITMENT_LABEL = b"pli/entry/1"


class LeafType(IntEnum):
    """An event of the account, or a statement of its public keys; both commit the same way."""

    ENTRY = 1
    KEY = 2


@dataclass(frozen=True, slots=True)
class LeafData:
    """What the tree holds of one entry. ``pseudonym`` is random per account and links to nothing else."""

    type: LeafType
    pseudonym: bytes
    sequence: int
    previous: bytes
    commitment: bytes

    def __post_init__(self) -> None:
        if len(self.pseudonym) != ID_BYTES or not 0 <= self.sequence < 2**63:
            raise Malformed("leaf")
        if len(self.previous) != merkle.HASH_BYTES or len(self.commitment) != merkle.HASH_BYTES:
            raise Malformed("leaf")
        if (self.sequence == 0) != (self.previous == NO_PREVIOUS):
            raise Malformed("leaf", "only the first leaf has no previous one")

    def leaf_hash(self) -> bytes:
        """RFC 6962 §2.1."""
        return merkle.leaf_hash(format_leaf(self))


def format_leaf(leaf: LeafData) -> bytes:
    """Type u8 ‖ pseudonym 16 ‖ sequence u64 ‖ previous leaf hash 32 ‖ C 32: always 89 bytes."""
    return b"".join(
        (
            leaf.type.to_bytes(1, "big"),
            leaf.pseudonym,
            leaf.sequence.to_bytes(8, "big"),
            leaf.previous,
            leaf.commitment,
        )
    )


def parse_leaf(raw: bytes) -> LeafData:
    """Inverse of ``format_leaf``. Raises Malformed."""
    if len(raw) != LEAF_BYTES:
        raise Malformed("leaf")
    try:
        kind = LeafType(raw[0])
    except ValueError as error:
        raise Malformed("leaf") from error
    return LeafData(kind, raw[1:17], int.from_bytes(raw[17:25], "big"), raw[25:57], raw[57:])


@dataclass(frozen=True, slots=True)
class AccountHead:
    """Where an account's chain stands: how many leaves it has, and the hash of the last one."""

    pseudonym: bytes
    count: int = 0
    last: bytes = NO_PREVIOUS

    def accept(self, leaf: LeafData) -> "AccountHead":
        """The head after ``leaf``. Raises Conflict("log-sequence") when the leaf does not follow."""
        follows = (
            leaf.pseudonym == self.pseudonym and leaf.sequence == self.count and leaf.previous == self.last
        )
        if not follows:
            raise Conflict("log-sequence")
        return AccountHead(self.pseudonym, self.count + 1, leaf.leaf_hash())


def next_leaf(
    head: AccountHead, commitment: bytes, kind: LeafType = LeafType.ENTRY
) -> tuple[LeafData, AccountHead]:
    """The leaf that follows ``head``, and the head after it."""
    leaf = LeafData(kind, head.pseudonym, head.count, head.last, commitment)
    return leaf, head.accept(leaf)


def commitment(salt: bytes, event: bytes) -> bytes:
    """C of L3. The salt has a fixed length, so the two parts cannot be confused."""
    if len(salt) != SALT_BYTES:
        raise Malformed("entry-salt")
    return sha256(_COMMITMENT_LABEL + salt + event).digest()


def seal_entry(
    event: bytes, salt: bytes, space_key: PublicKey, account: AccountId, entry_id: EntryId
) -> bytes:
    """Canonical event bytes sealed to the space's public key. ``salt``: 32 fresh random bytes."""
    if len(salt) != SALT_BYTES:
        raise Malformed("entry-salt")
    if len(event) > EVENT_BYTES:
        raise Malformed("event-length")
    plain = len(event).to_bytes(4, "big") + salt + event
    return space_key.seal(plain + bytes(-len(plain) % PAD_BYTES), ctx("log", account, entry_id))


def open_entry(sealed: bytes, keypair: KeyPair, account: AccountId, entry_id: EntryId) -> tuple[bytes, bytes]:
    """(event bytes, salt). Raises Corrupt when altered, or sealed for another account, entry or key."""
    plain = keypair.open(sealed, ctx("log", account, entry_id))
    start = 4 + SALT_BYTES
    end = start + int.from_bytes(plain[:4], "big")
    if len(plain) % PAD_BYTES or len(plain) - end not in range(PAD_BYTES) or any(plain[end:]):
        raise Corrupt("entry-padding")
    return plain[start:end], plain[4:start]
