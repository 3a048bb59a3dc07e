"""Octets that nobody should send: pieces of a protocol in any order, cut anywhere, between noise of every kind."""

import os
import random
from collections.abc import Iterator, Sequence

NOISE = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\0", b" ", b'"', b"\\", b"(", b")", b"{", b"}", b"\xff\xfe", b"\xc3\xa9", b"%s", b"A" * 300)  # fmt: skip
MOST_PIECES = 24


def seeds(count: int) -> range:
    """The first ``count``, or twenty times as many under the profile that searches further."""
    return range(20 * count if os.environ.get("HYPOTHESIS_PROFILE") == "long" else count)


def hostile_octets(seed: int, pieces: Sequence[bytes]) -> bytes:
    """The same octets for the same seed."""
    source = random.Random(seed)
    chosen = (
        source.randbytes(source.randrange(1, 40))
        if source.random() < 0.15
        else source.choice((*pieces, *NOISE))
        for _ in range(source.randrange(1, MOST_PIECES))
    )
    return b"".join(chosen)


def cut(octets: bytes, seed: int) -> Iterator[bytes]:
    """``octets`` in a few pieces."""
    source = random.Random(seed)
    at = 0
    while at < len(octets):
        step = source.choice((1, 7, 60, len(octets)))
        yield octets[at : at + step]
        at += step
