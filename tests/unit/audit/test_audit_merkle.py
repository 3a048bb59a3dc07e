"""RFC 6962 against a naive tree written from its text, for every size up to 130 and every index."""

from functools import cache
from hashlib import sha256

import pytest

from mailserver.audit import merkle
from mailserver.audit.merkle import Frontier, TreeHead, consistency_proof, inclusion_proof, reader_over
from mailserver.audit.tiles import (
    Tile,
    TileReader,
    grow_tiles,
    parse_tile_path,
    subtree_root,
    tile_of,
    tile_path,
)
from mailserver.model.errors import Corrupt, Malformed, NotFound

LEAVES = [number.to_bytes(2, "big") * 3 for number in range(130)]
HASHES = [sha256(b"\0" + leaf).digest() for leaf in LEAVES]


def largest_power_below(size):
    power = 1
    while power * 2 < size:
        power *= 2
    return power


@cache
def naive_root(start, end):
    """RFC 6962 §2.1, word for word."""
    if end == start:
        return sha256(b"").digest()
    if end - start == 1:
        return HASHES[start]
    middle = start + largest_power_below(end - start)
    return sha256(b"\x01" + naive_root(start, middle) + naive_root(middle, end)).digest()


def naive_path(index, start, end):
    """RFC 6962 §2.1.1."""
    if end - start == 1:
        return []
    split = largest_power_below(end - start)
    if index < split:
        return [*naive_path(index, start, start + split), naive_root(start + split, end)]
    return [*naive_path(index - split, start + split, end), naive_root(start, start + split)]


def naive_subproof(old, start, end, whole):
    """RFC 6962 §2.1.2."""
    if old == end - start:
        return [] if whole else [naive_root(start, end)]
    split = largest_power_below(end - start)
    if old <= split:
        return [*naive_subproof(old, start, start + split, whole), naive_root(start + split, end)]
    return [*naive_subproof(old - split, start + split, end, False), naive_root(start, start + split)]


@pytest.mark.parametrize("size", range(131))
def test_every_root_and_proof_equals_the_naive_tree(size):
    root = naive_root(0, size)
    assert Frontier().extend(HASHES[:size]).root() == root
    read = reader_over(HASHES[:size])
    for index in range(size):
        proof = inclusion_proof(index, size, read)
        assert list(proof) == naive_path(index, 0, size)
        assert merkle.verify_inclusion(index, size, HASHES[index], proof, root)
        assert not merkle.verify_inclusion(
            index, size, HASHES[index - 1] if size > 1 else root[::-1], proof, root
        )
    for old in range(size + 1):
        proof = consistency_proof(old, size, read)
        assert list(proof) == (naive_subproof(old, 0, size, True) if old else [])
        assert merkle.verify_consistency(TreeHead(old, naive_root(0, old)), TreeHead(size, root), proof)
        assert not merkle.verify_consistency(TreeHead(old, bytes(32)), TreeHead(size, root), proof)


def test_a_proof_does_not_serve_another_index_size_or_root():
    read = reader_over(HASHES[:13])
    root = naive_root(0, 13)
    for index in range(13):
        proof = inclusion_proof(index, 13, read)
        for other in set(range(13)) - {index}:
            assert not merkle.verify_inclusion(other, 13, HASHES[index], proof, root)
        assert not merkle.verify_inclusion(index, 13, HASHES[index], proof, naive_root(0, 12))
        assert not merkle.verify_inclusion(index, 13, HASHES[index], [*proof, bytes(32)], root)
        assert not merkle.verify_inclusion(index, 13, HASHES[index], proof[:-1], root)
        assert not merkle.verify_inclusion(index, 13, HASHES[index], [*proof[:-1], proof[-1][:31]], root)
    assert not merkle.verify_inclusion(13, 13, HASHES[0], (), root)
    assert not merkle.verify_inclusion(-1, 13, HASHES[0], (), root)


def test_consistency_is_refused_for_other_lengths_and_orders():
    old, new = TreeHead(6, naive_root(0, 6)), TreeHead(13, naive_root(0, 13))
    proof = consistency_proof(6, 13, reader_over(HASHES[:13]))
    assert merkle.verify_consistency(old, new, proof)
    for bad in ((), proof[:-1], proof[1:], (*proof, bytes(32)), proof[::-1], [bytes(32)] * 65):
        assert not merkle.verify_consistency(old, new, bad)
    assert not merkle.verify_consistency(new, old, proof)
    assert not merkle.verify_consistency(old, old, proof)
    assert not merkle.verify_consistency(TreeHead(0, merkle.EMPTY_ROOT), new, proof)
    assert not merkle.verify_consistency(TreeHead(-1, b""), new, ())


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_outside_the_tree_has_no_proof(index, size):
    with pytest.raises(NotFound, match="log-leaf"):
        inclusion_proof(index, size, reader_over(HASHES[:size]))


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3)])
def test_a_size_outside_the_tree_has_no_proof(old, new):
    with pytest.raises(NotFound, match="log-size"):
        consistency_proof(old, new, reader_over(HASHES[:3]))


@pytest.mark.parametrize("place", [(0, 3), (2, 0), (0, -1)])
def test_a_reader_in_memory_knows_only_complete_subtrees(place):
    with pytest.raises(NotFound, match="log-hash"):
        reader_over(HASHES[:3])(*place)


def test_a_frontier_survives_its_bytes():
    for size in range(131):
        frontier = Frontier().extend(HASHES[:size])
        assert merkle.parse_frontier(merkle.format_frontier(frontier)) == frontier


@pytest.mark.parametrize(
    "raw", [b"", bytes(7), bytes(7) + b"\1", bytes(8) + bytes(32), bytes(7) + b"\1" + bytes(31), b"\xff" * 8]
)
def test_a_bad_frontier_is_refused(raw):
    with pytest.raises(Malformed, match="log-frontier"):
        merkle.parse_frontier(raw)


def test_a_frontier_refuses_a_short_hash():
    with pytest.raises(Malformed, match="log-frontier"):
        Frontier(1, (b"short",))


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 273, 112), "tile/0/273.p/112"),
        (Tile(2, 1234067, 8), "tile/2/x001/x234/067.p/8"),
        (Tile(1, 1000), "tile/1/x001/000"),
    ],
)
def test_tile_paths_follow_c2sp(tile, path):
    assert tile_path(tile) == path
    assert parse_tile_path(path) == tile


@pytest.mark.parametrize(
    "path",
    "|tile/0/0|tile/00/000|tile/8/000|tile/0/x000/000|tile/0/001/000|tile/0/000.p/256|tile/0/000.p/0"
    "|tile/0/000.p/01|tile/0/000/|tile/0/../000|tile/0/٠٠٠".split("|"),
)
def test_other_tile_paths_are_refused(path):
    with pytest.raises(Malformed):
        parse_tile_path(path)


class Folder(dict):
    """Tiles kept by path."""

    def load(self, tile):
        return self[tile_path(tile)]

    def grow(self, old, hashes):
        tiles = list(grow_tiles(old, hashes, self.load))
        self.update((tile_path(tile), raw) for tile, raw in tiles)
        return [tile for tile, _ in tiles]


def test_the_spec_s_example_of_70000_leaves():
    folder = Folder()
    leaves = [number.to_bytes(32, "big") for number in range(70_000)]
    tiles = folder.grow(0, leaves)
    assert len([tile for tile in tiles if tile.level == 0 and tile.is_full]) == 273
    assert [tile for tile in tiles if not tile.is_full] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    root = Frontier().extend(leaves).root()
    read = TileReader(70_000, folder.load)
    for index in (0, 255, 256, 65_535, 65_536, 69_999):
        assert merkle.verify_inclusion(
            index, 70_000, leaves[index], inclusion_proof(index, 70_000, read), root
        )
    for old in (1, 256, 65_537):
        old_head = TreeHead(old, Frontier().extend(leaves[:old]).root())
        proof = consistency_proof(old, 70_000, read)
        assert merkle.verify_consistency(old_head, TreeHead(70_000, root), proof)


def test_growing_in_steps_gives_the_same_tiles():
    leaves = [number.to_bytes(32, "big") for number in range(1500)]
    stepwise, at_once, size = Folder(), Folder(), 0
    at_once.grow(0, leaves)
    for step in (1, 255, 1, 300, 0, 211, 732):
        stepwise.grow(size, leaves[size : size + step])
        size += step
    assert size == 1500
    assert at_once.items() <= stepwise.items()


def test_a_longer_tile_replaces_a_partial_one_and_a_short_one_is_corrupt():
    tile = b"".join(HASHES[:8])
    assert TileReader(3, lambda _: tile)(1, 0) == subtree_root(HASHES[:2])
    with pytest.raises(Corrupt, match="log-tile"):
        TileReader(9, lambda _: tile)(0, 0)
    with pytest.raises(Corrupt, match="log-tile"):
        TileReader(3, lambda _: tile[:-1])(0, 0)


def test_nothing_beyond_the_tree_is_read():
    read = TileReader(3, lambda _: b"")
    for level, index in ((0, 3), (1, 1), (0, -1)):
        with pytest.raises(NotFound, match="log-hash"):
            read(level, index)
    with pytest.raises(NotFound, match="log-tile"):
        tile_of(1, 0, 255)


def test_a_tile_names_its_full_form():
    assert Tile(0, 3, 7).full == Tile(0, 3)
    with pytest.raises(Malformed, match="log-tile"):
        Tile(0, 0, 0)
