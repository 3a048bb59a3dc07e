"""Hash tiles: the tree cut into files of up to 256 hashes (C2SP tlog-tiles, height 8).

A tile at level L holds subtree roots of 256**L leaves each; level 0 holds leaf hashes. A full tile never changes;
the rightmost tile of a level is partial and is named with its width. Only complete subtrees are ever stored, so
a reader for a given size never sees a hash that a later append could change.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from mailserver.audit.merkle import HASH_BYTES, node_hash
from mailserver.model.errors import Corrupt, Malformed, NotFound

TILE_HEIGHT = 8
TILE_WIDTH = 256
MAX_TILE_LEVEL = 7
"""2**63 leaves need no more; the format itself allows 63."""

# tlog-tiles, "Merkle Tree": tile/<L>/<N>[.p/<W>], N in groups of three digits, all but the last led by x
_PATH = re.compile(r"tile/(0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """Where a tile stands: its level, its index in the level, and how many hashes it holds (1…256)."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not 0 <= self.level <= MAX_TILE_LEVEL or self.index < 0 or not 1 <= self.width <= TILE_WIDTH:
            raise Malformed("log-tile")

    @property
    def is_full(self) -> bool:
        return self.width == TILE_WIDTH

    @property
    def full(self) -> "Tile":
        """The same place once 256 hashes wide: a partial tile may be gone when it exists."""
        return Tile(self.level, self.index)


def tile_path(tile: Tile) -> str:
    """``tile/0/x001/x234/067.p/8``: relative to the log's prefix."""
    groups = []
    rest = tile.index
    while True:
        rest, group = divmod(rest, 1000)
        groups.append(f"{group:03d}")
        if not rest:
            break
    place = "/".join([*(f"x{group}" for group in reversed(groups[1:])), groups[0]])
    suffix = "" if tile.is_full else f".p/{tile.width}"
    return f"tile/{tile.level}/{place}{suffix}"


def parse_tile_path(path: str) -> Tile:
    """Inverse of ``tile_path``; leading zero groups and a width of 256 are refused. Raises Malformed."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise Malformed("log-tile-path")
    level, place, width = match.groups()
    index = int(place.replace("x", "").replace("/", ""))
    tile = Tile(int(level), index, int(width) if width else TILE_WIDTH)
    if tile_path(tile) != path:
        raise Malformed("log-tile-path")
    return tile


def tile_of(level: int, index: int, size: int) -> Tile:
    """The tile (full or partial) that stands at this place in a tree of ``size`` leaves. Raises NotFound."""
    hashes = size >> (TILE_HEIGHT * level)
    width = min(hashes - index * TILE_WIDTH, TILE_WIDTH)
    if width < 1:
        raise NotFound("log-tile")
    return Tile(level, index, width)


LoadTile: TypeAlias = Callable[[Tile], bytes]
"""Bytes of a tile; for a partial one, its own file or the longer one that replaced it. Raises NotFound."""


def grow_tiles(old_size: int, leaf_hashes: Sequence[bytes], load: LoadTile) -> Iterator[tuple[Tile, bytes]]:
    """Every tile to write when ``leaf_hashes`` are appended to a tree of ``old_size``, lower levels first.

    Reads back at most one partial tile per level. Write them before the checkpoint that needs them.
    """
    fresh, start, level = list(leaf_hashes), old_size, 0
    while fresh:
        first = start - start % TILE_WIDTH
        if start > first:
            fresh[:0] = _split_hashes(_load(load, Tile(level, first // TILE_WIDTH, start - first)))
        above = []
        for at in range(0, len(fresh), TILE_WIDTH):
            part = fresh[at : at + TILE_WIDTH]
            yield Tile(level, (first + at) // TILE_WIDTH, len(part)), b"".join(part)
            if len(part) == TILE_WIDTH:
                above.append(subtree_root(part))
        fresh, start, level = above, first // TILE_WIDTH, level + 1


class TileReader:
    """A ``HashReader`` over the tiles of a tree of ``size`` leaves; each tile is loaded once."""

    def __init__(self, size: int, load: LoadTile) -> None:
        self._size = size
        self._read = load
        self._held: dict[tuple[int, int], list[bytes]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Root of a complete subtree. Raises NotFound beyond the tree, Corrupt when a tile is cut short."""
        if index < 0 or (index + 1) << level > self._size:
            raise NotFound("log-hash")
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = index << height
        hashes = self._tile(tile_level, first // TILE_WIDTH)
        within = first % TILE_WIDTH
        return subtree_root(hashes[within : within + (1 << height)])

    def _tile(self, level: int, index: int) -> list[bytes]:
        held = self._held.get((level, index))
        if held is None:
            held = _split_hashes(_load(self._read, tile_of(level, index, self._size)))
            self._held[level, index] = held
        return held


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of neighbouring subtree roots."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def _load(load: LoadTile, tile: Tile) -> bytes:
    raw = load(tile)
    needed = tile.width * HASH_BYTES
    if len(raw) < needed or len(raw) % HASH_BYTES:
        raise Corrupt("log-tile", "shorter than the tree says")
    return raw[:needed]


def _split_hashes(raw: bytes) -> list[bytes]:
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]
