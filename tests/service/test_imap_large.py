"""A large message: a part of it costs what the part costs, and no session ever holds the whole (S3, S4)."""

import binascii
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.imap_harness import RunningImap, make_node, make_tls, running_imap
from harness.imap_strict import StrictClient

from mailserver.crypto import blob
from mailserver.crypto.blob import CHUNK_BYTES, TAG_BYTES
from mailserver.mime.scanner import MessageScanner

DOCUMENT = bytes(range(256)) * 36_000
CODED = b"\r\n".join(
    binascii.b2a_base64(DOCUMENT[at : at + 57], newline=False) for at in range(0, len(DOCUMENT), 57)
)
MESSAGE = (
    b"Subject: grand\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nVoici.\r\n"
    b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    b"--c\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + CODED
    + b"\r\n--c\r\n\r\nfin\r\n--c--\r\n--b--\r\n"
)
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
HEADER_BYTES = 56
COMMAND_BYTES = 65_536


class Meter:
    """What was read from blob files, and how many chunks were opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read_bytes = 0
        self.chunks = 0
        real_pread, real_open = os.pread, blob._Chunks.open

        def pread(descriptor: int, count: int, offset: int) -> bytes:
            octets = real_pread(descriptor, count, offset)
            self.read_bytes += len(octets)
            return octets

        def open_chunk(chunks, number, sealed):
            self.chunks += 1
            return real_open(chunks, number, sealed)

        monkeypatch.setattr("mailserver.store.blob_folder.os.pread", pread)
        monkeypatch.setattr(blob._Chunks, "open", open_chunk)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningImap, StrictClient]]:
    node = make_node(tmp_path_factory.mktemp("node"))
    tls = make_tls(tmp_path_factory.mktemp("tls"))
    account = node.add("doc")
    node.deliver("doc", MESSAGE, b"Subject: petit\r\n\r\npetit\r\n")
    with running_imap(node, tls) as server:
        client = StrictClient(server.tls_port, tls.client, account)
        client.ask("SELECT INBOX")
        client.ask("FETCH 1:2 (BODY.PEEK[HEADER])")
        yield server, client
        client.close()
    node.close()


@pytest.fixture
def client(running: tuple[RunningImap, StrictClient]) -> StrictClient:
    return running[1]


def start_of_document() -> int:
    scanner = MessageScanner()
    scanner.feed(MESSAGE)
    return next(part.body_start for part in scanner.close().walk() if part.path == "2.1")


def test_the_message_is_a_file(running: tuple[RunningImap, StrictClient]) -> None:
    folder = running[0].node.store.blobs._folder
    assert sum(path.stat().st_size > len(MESSAGE) for path in Path(folder).rglob("*") if path.is_file()) == 1


@pytest.mark.parametrize("offset", [0, 65_536, 5_000_001, len(CODED) - 65_536, len(CODED) - 10, len(CODED)])
def test_a_partial_opens_only_its_chunks(
    client: StrictClient, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    meter = Meter(monkeypatch)
    ((_number, items),) = client.ask(f"FETCH 1 BODY.PEEK[2.1]<{offset}.{COMMAND_BYTES}>").fetches()
    expected = CODED[offset : offset + COMMAND_BYTES]
    assert items == {b"BODY[2.1]<%d>" % offset: expected}
    first = start_of_document() + offset
    chunks = -(-(first + len(expected)) // CHUNK_BYTES) - first // CHUNK_BYTES if expected else 0
    assert meter.chunks <= chunks
    assert meter.read_bytes <= chunks * SEALED_CHUNK_BYTES + HEADER_BYTES


@pytest.mark.parametrize(
    ("items", "most_chunks"),
    [
        ("(FLAGS INTERNALDATE EMAILID SAVEDATE)", 0),
        ("(ENVELOPE BODYSTRUCTURE RFC822.SIZE PREVIEW)", 0),
        ("(BODY.PEEK[HEADER])", 1),
        ("(BODY.PEEK[HEADER.FIELDS (SUBJECT)])", 1),
        ("(BODY.PEEK[1] BODY.PEEK[1.MIME])", 2),
        ("(BODY.PEEK[2.2])", 2),
        ("(BODY.PEEK[2.1]<0.10> BODY.PEEK[2.1.MIME])", 2),
        ("(BINARY.PEEK[2.1]<0.65536>)", 10),
    ],
)
def test_what_lies_at_the_edge_costs_the_edge(
    client: StrictClient, monkeypatch: pytest.MonkeyPatch, items: str, most_chunks: int
) -> None:
    meter = Meter(monkeypatch)
    assert client.ask(f"FETCH 1 {items}").is_ok
    assert meter.chunks <= most_chunks
    assert meter.read_bytes <= most_chunks * SEALED_CHUNK_BYTES + most_chunks * HEADER_BYTES


def test_a_copy_reads_nothing(client: StrictClient, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Meter(monkeypatch)
    assert client.ask("COPY 1:2 Archive").is_ok
    assert (meter.chunks, meter.read_bytes) == (0, 0)


@pytest.mark.parametrize(
    ("item", "octets"),
    [("BODY.PEEK[]", MESSAGE), ("BODY.PEEK[2.1]", CODED), ("BINARY.PEEK[2.1]", DOCUMENT)],
)
def test_the_whole_is_never_held(client: StrictClient, item: str, octets: bytes) -> None:
    """The client counts as it reads: what is traced is the server's."""
    client.send(f"FETCH 1 {item}")
    tracemalloc.start()
    try:
        assert client.skip_until_tagged() > len(octets)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 6_000_000
    ((_number, items),) = client.ask(f"FETCH 1 {item}").fetches()
    assert list(items.values()) == [octets]
