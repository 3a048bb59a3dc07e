"""Every file of the corpus is played to its target: whole, cut short, and with single octets changed."""

from itertools import chain
from pathlib import Path

import pytest
from fuzz.targets import CORPUS, TARGETS

CHANGES = 60
"""Prefixes, and as many changed octets, of one file: spread over it when it is longer."""
OCTETS = (0x00, 0x0A, 0x22, 0x28, 0xFF)
FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def test_each_target_has_a_corpus() -> None:
    assert {path.parent.name for path in FILES} == TARGETS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_corpus(path: Path) -> None:
    run, data = TARGETS[path.parent.name], path.read_bytes()
    run(data)
    step = max(1, len(data) // CHANGES)
    for changed in chain.from_iterable(changes(data, at) for at in range(0, len(data), step)):
        run(changed)


def changes(data: bytes, at: int) -> list[bytes]:
    """``data`` cut before a place, without the octet there, and with another one."""
    other = OCTETS[at % len(OCTETS)]
    return [data[:at], data[:at] + data[at + 1 :], data[:at] + bytes([other]) + data[at + 1 :]]
