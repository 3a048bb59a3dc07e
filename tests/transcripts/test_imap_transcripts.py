"""Every dialogue of tests/transcripts/imap, against one server, each with an account of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.imap_harness import RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Transcript

FILES = sorted((Path(__file__).parent / "imap").glob("*.txt"))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"), limit_bytes=100_000)
    with running_imap(node, tls) as server:
        yield server
    node.close()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_transcript(path: Path, running: RunningImap, tls: TlsFiles) -> None:
    name = path.stem.replace("_", "-")
    Transcript(running, tls, name, running.node.add(name)).play(path)
