"""The log's Merkle tree, as RFC 6962 §2.1 hashes it (SHA-256).

Only the *frontier* (one hash per complete subtree, at most 64) is needed to append and to know the root. Proofs
read complete subtrees through a ``HashReader``; verification follows RFC 9162 §2.1.3.2 and §2.1.4.2, whose
tree is the same. A proof with too many, too few or wrongly sized hashes is refused, never trimmed.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from itertools import pairwise
from typing import Self, TypeAlias

from mailserver.model.errors import Malformed, NotFound

HASH_BYTES = 32
MAX_LEVEL = 63
MAX_SIZE = 2**63 - 1
EMPTY_ROOT = sha256(b"").digest()

HashReader: TypeAlias = Callable[[int, int], bytes]
"""``(level, index)`` → root of the complete subtree of 2**level leaves that starts at leaf index·2**level."""


def leaf_hash(data: bytes) -> bytes:
    """RFC 6962 §2.1: SHA-256(0x00 ‖ data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 6962 §2.1: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """An append-only tree: its size and the roots of its complete subtrees, the largest (oldest) first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.hashes) != self.size.bit_count():
            raise Malformed("log-frontier", "hash count does not fit the size")
        if any(len(value) != HASH_BYTES for value in self.hashes):
            raise Malformed("log-frontier", "a hash is not 32 bytes")

    def extend(self, leaf_hashes: Iterable[bytes]) -> Self:
        """The tree with these leaves after its own; this one is unchanged."""
        size, stack = self.size, list(self.hashes)
        for value in leaf_hashes:
            stack.append(value)
            size += 1
            # one merge for each trailing zero of the new size: a subtree has just become complete
            for _ in range((size & -size).bit_length() - 1):
                right = stack.pop()
                stack[-1] = node_hash(stack[-1], right)
        return type(self)(size, tuple(stack))

    def root(self) -> bytes:
        """RFC 6962 §2.1: Merkle Tree Hash; of no leaves, SHA-256 of nothing."""
        return fold_right(self.hashes) if self.hashes else EMPTY_ROOT


def fold_right(hashes: Sequence[bytes]) -> bytes:
    """One root over complete subtrees given left to right, the smaller ones merged first."""
    *left, root = hashes
    for value in reversed(left):
        root = node_hash(value, root)
    return root


def format_frontier(frontier: Frontier) -> bytes:
    """u64 size ‖ the hashes, as many as the size has bits set."""
    return frontier.size.to_bytes(8, "big") + b"".join(frontier.hashes)


def parse_frontier(raw: bytes) -> Frontier:
    """Inverse of ``format_frontier``. Raises Malformed."""
    if len(raw) < 8 or (len(raw) - 8) % HASH_BYTES:
        raise Malformed("log-frontier", "length")
    hashes = tuple(raw[at : at + HASH_BYTES] for at in range(8, len(raw), HASH_BYTES))
    return Frontier(int.from_bytes(raw[:8], "big"), hashes)


def complete_subtrees(start: int, end: int) -> list[tuple[int, int]]:
    """The (level, index) of the fewest complete subtrees that cover leaves ``start`` to ``end``, left to right."""
    found = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        found.append((level, start >> level))
        start += 1 << level
    return found


def _range_root(start: int, end: int, read: HashReader) -> bytes:
    """Merkle Tree Hash of leaves ``start`` to ``end``; RFC 6962's splits keep every part but the last complete."""
    return fold_right([read(level, index) for level, index in complete_subtrees(start, end)])


def inclusion_proof(index: int, size: int, read: HashReader) -> tuple[bytes, ...]:
    """RFC 6962 §2.1.1: the audit path of leaf ``index`` in the tree of ``size`` leaves, nearest sibling first.

    Raises NotFound when the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise NotFound("log-leaf")
    path = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    return tuple(reversed(path))


def consistency_proof(old_size: int, new_size: int, read: HashReader) -> tuple[bytes, ...]:
    """RFC 6962 §2.1.2: that the first ``old_size`` leaves of the new tree are the old tree; empty when trivial.

    Raises NotFound when ``old_size`` is not between 0 and ``new_size``.
    """
    if not 0 <= old_size <= new_size:
        raise NotFound("log-size")
    if old_size in {0, new_size}:
        return ()
    path = []
    start, end = 0, new_size
    while old_size != end:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_range_root(middle, end, read))
            end = middle
        else:
            path.append(_range_root(start, middle, read))
            start = middle
    if start:  # the old tree is not a subtree on its own: its last part opens the proof
        path.append(_range_root(start, end, read))
    return tuple(reversed(path))


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``proof`` shows the leaf hash ``leaf`` at ``index`` of the tree (size, root): RFC 9162 §2.1.3.2."""
    if not 0 <= index < size or not _are_hashes(proof):
        return False
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and compare_digest(value, root)


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A tree as one names it: how many leaves, and the root over them."""

    size: int
    root: bytes


def verify_consistency(old: TreeHead, new: TreeHead, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows that ``new`` only appends to ``old``: RFC 9162 §2.1.4.2."""
    if not 0 <= old.size <= new.size or not _are_hashes(proof):
        return False
    if old.size == 0:
        return not proof and compare_digest(old.root, EMPTY_ROOT)
    if old.size == new.size:
        return not proof and compare_digest(old.root, new.root)
    # an old size that is a power of two is itself the first subtree, so the proof omits it
    path = list(proof) if old.size.bit_count() > 1 else [old.root, *proof]
    if not path:
        return False
    node, last = old.size - 1, new.size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_root = new_root = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_root = node_hash(sibling, old_root)
            new_root = node_hash(sibling, new_root)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new_root = node_hash(new_root, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and compare_digest(old_root, old.root) and compare_digest(new_root, new.root)


def _split(size: int) -> int:
    """RFC 6962 §2.1: the largest power of two smaller than ``size`` (> 1)."""
    return 1 << ((size - 1).bit_length() - 1)


def _are_hashes(values: Sequence[bytes]) -> bool:
    return len(values) <= MAX_LEVEL + 1 and all(len(value) == HASH_BYTES for value in values)


def reader_over(leaf_hashes: Sequence[bytes]) -> HashReader:
    """A reader over leaf hashes held in memory: for small trees and for rebuilding tiles."""
    levels = [list(leaf_hashes)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = list(pairwise(below))[::2]
        levels.append([node_hash(left, right) for left, right in pairs])

    def read(level: int, index: int) -> bytes:
        if level >= len(levels) or not 0 <= index < len(levels[level]):
            raise NotFound("log-hash")
        return levels[level][index]

    return read
