"""What the sequencer and the signer say to each other, as bytes: the custodian's channel carries bytes only.

Request = version u8 ‖ first index u64 ‖ count u32 ‖ leaves of 89 bytes. The answer is the signer's head: version ‖
size u64 ‖ first index of the tail u64 ‖ count u32 ‖ tail leaf hashes ‖ the signed checkpoint to the end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mailserver.audit.entry import LEAF_BYTES
from mailserver.audit.merkle import HASH_BYTES, MAX_SIZE
from mailserver.model.errors import Malformed, OverLimit

MAX_LEAVES = 1000
"""One checkpoint at least every 1000 leaves (L5)."""
_VERSION = 1
_REQUEST_HEAD = 1 + 8 + 4
_ANSWER_HEAD = 1 + 8 + 8 + 4


@dataclass(frozen=True, slots=True)
class SignRequest:
    """Leaf data in the order of the tree, from index ``first_index`` on."""

    first_index: int
    leaves: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.first_index <= MAX_SIZE - MAX_LEAVES:
            raise Malformed("sign-request", "first index")
        if len(self.leaves) > MAX_LEAVES:
            raise OverLimit("log-batch")
        if any(len(leaf) != LEAF_BYTES for leaf in self.leaves):
            raise Malformed("sign-request", "leaf length")


@dataclass(frozen=True, slots=True)
class SignerHead:
    """Where the signer stands. ``tail`` holds the leaf hashes of the last batch, which starts at ``tail_first``:
    a sequencer that lost its own commit finds there the order in which it must resubmit.
    """

    size: int
    tail_first: int
    tail: tuple[bytes, ...]
    checkpoint: bytes


def format_sign_request(first_index: int, leaves: Sequence[bytes]) -> bytes:
    """Raises Malformed or OverLimit("log-batch")."""
    request = SignRequest(first_index, tuple(leaves))
    head = bytes((_VERSION,)) + first_index.to_bytes(8, "big") + len(request.leaves).to_bytes(4, "big")
    return head + b"".join(request.leaves)


def parse_sign_request(raw: bytes) -> SignRequest:
    """Inverse of ``format_sign_request``. Raises Malformed or OverLimit."""
    if len(raw) < _REQUEST_HEAD or raw[0] != _VERSION:
        raise Malformed("sign-request")
    count = int.from_bytes(raw[9:_REQUEST_HEAD], "big")
    if len(raw) != _REQUEST_HEAD + count * LEAF_BYTES:
        raise Malformed("sign-request", "length")
    leaves = tuple(raw[at : at + LEAF_BYTES] for at in range(_REQUEST_HEAD, len(raw), LEAF_BYTES))
    return SignRequest(int.from_bytes(raw[1:9], "big"), leaves)


def format_signer_head(head: SignerHead) -> bytes:
    """The answer to a request, and to "where are you"."""
    return b"".join(
        (
            bytes((_VERSION,)),
            head.size.to_bytes(8, "big"),
            head.tail_first.to_bytes(8, "big"),
            len(head.tail).to_bytes(4, "big"),
            *head.tail,
            head.checkpoint,
        )
    )


def parse_signer_head(raw: bytes) -> SignerHead:
    """Inverse of ``format_signer_head``; the checkpoint inside is not verified here. Raises Malformed."""
    if len(raw) < _ANSWER_HEAD or raw[0] != _VERSION:
        raise Malformed("signer-head")
    end = _ANSWER_HEAD + int.from_bytes(raw[17:_ANSWER_HEAD], "big") * HASH_BYTES
    size, first = int.from_bytes(raw[1:9], "big"), int.from_bytes(raw[9:17], "big")
    tail = tuple(raw[at : at + HASH_BYTES] for at in range(_ANSWER_HEAD, min(end, len(raw)), HASH_BYTES))
    if len(raw) <= end or first + len(tail) != size:
        raise Malformed("signer-head")
    return SignerHead(size, first, tail, raw[end:])
