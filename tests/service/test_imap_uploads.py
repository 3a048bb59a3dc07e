"""Uploads of several messages, of large ones and of parts: bounded in memory, sealed on disk, all placed or none."""

import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.canary import find_traces
from harness.imap_harness import ImapNode, RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client

from mailserver.audit.events import Origin
from mailserver.mime.summary_wire import SummaryView
from mailserver.model.errors import OverLimit, Unavailable
from mailserver.model.ids import BlobId
from mailserver.service import placing
from mailserver.service.quotas import DEFAULT_QUOTA, Amount
from mailserver.store.blob_folder import Spool

MIB = 2**20
HEAD = b"Subject: grand\r\n\r\n"
LIMIT_BYTES = 8 * MIB


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def running(folder: Path, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(folder, limit_bytes=LIMIT_BYTES)
    with running_imap(node, tls) as server:
        yield server
    node.close()


@pytest.fixture
def client(running: RunningImap, tls: TlsFiles) -> Iterator[Client]:
    client = Client(running.tls_port, tls.client)
    account = running.node.add(f"u{len(running.node.accounts)}")
    ask(client, f"l LOGIN {account.address} {account.app_password}".encode())
    ask(client, b"s SELECT Drafts")
    yield client
    running.node.services.messages.quotas.limit = DEFAULT_QUOTA
    client.close()


def ask(client: Client, line: bytes) -> str:
    client.send(line + b"\r\n")
    return client.until_tagged(line.split(maxsplit=1)[0].decode())[-1]


def push(client: Client, *messages: bytes, verb: bytes = b"a APPEND Drafts") -> str:
    """APPEND of these messages, their octets pushed."""
    client.send(verb)
    for octets in messages:
        client.send(b" {%d+}\r\n" % len(octets) + octets)
    client.send(b"\r\n")
    return client.until_tagged("a")[-1]


def held(client: Client) -> str:
    client.send(b"h STATUS Drafts (MESSAGES UIDNEXT)\r\n")
    return client.until_tagged("h")[-2]


def texts(node: ImapNode) -> list[bytes]:
    """What the newest account keeps in Drafts, octet for octet."""
    name = list(node.accounts)[-1]
    account, services = node.open(name), node.services
    mailbox_id = services.mailboxes.load_mailbox(account, "Drafts").mailbox_id
    permit = services.permits.permit(account, Origin("192.0.2.0/24", "test"), datetime.now(UTC))
    found = []
    for item in services.messages.page(account, mailbox_id, [(1, 999)]):
        size_bytes = SummaryView(item.summary).size_bytes
        found.append(services.messages.reader(account, item, size_bytes, permit).read(0, size_bytes))
    return found


def test_large_and_small_messages_in_one_command(running: RunningImap, client: Client) -> None:
    large = [HEAD + bytes([65 + number]) * (3 * MIB) for number in range(3)]
    messages = [large[0], HEAD + b"petit", large[1], HEAD + b"p", large[2]]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        answer = push(client, *messages)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert answer.startswith("a OK [APPENDUID ")
    assert answer.endswith(" 1:5] APPEND completed")
    assert peak < 4 * MIB + len(large[0]) + MIB, "one message as the test sends it, and S4's share"
    assert texts(running.node) == messages


def test_a_part_of_a_large_message_is_copied_in_slices(running: RunningImap, client: Client) -> None:
    octets = HEAD + bytes(range(1, 256)) * 20_000
    assert " OK " in push(client, octets)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        answer = ask(
            client, b'a APPEND Drafts CATENATE (URL ";UID=1/;SECTION=HEADER" URL ";UID=1/;SECTION=TEXT")'
        )
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert " OK " in answer
    assert peak < 4 * MIB
    assert texts(running.node) == [octets, octets]


def test_parts_that_are_too_big_together(client: Client) -> None:
    assert " OK " in push(client, HEAD + b"x" * (5 * MIB))
    answer = ask(client, b'a APPEND Drafts CATENATE (URL ";UID=1" URL ";UID=1")')
    assert answer.startswith("a NO [TOOBIG] ")
    assert held(client) == "* STATUS Drafts (MESSAGES 1 UIDNEXT 2)"


def test_what_one_command_may_bring_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = HEAD + b"x" * 30_000, HEAD + b"x" * 70_000
    for limit, value, messages in (
        ("MOST_MESSAGES", 2, [small] * 3),
        ("MOST_HELD_BYTES", 50_000, [small] * 3),
        ("MOST_LARGE", 2, [large] * 3),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"mailserver.service.uploads.{limit}", value)
            assert push(client, *messages).startswith("a NO [LIMIT] "), limit
            assert held(client) == "* STATUS Drafts (MESSAGES 0 UIDNEXT 1)", limit
            assert " OK " in push(client, *messages[:2])
        assert " OK " in ask(client, b"d STORE 1:* +FLAGS.SILENT (\\Deleted)")
        assert " OK " in ask(client, b"e EXPUNGE")
        assert " OK " in ask(client, b"f DELETE Drafts")
        assert " OK " in ask(client, b"g CREATE Drafts")
        assert " OK " in ask(client, b"s SELECT Drafts")


def test_a_store_that_fails_keeps_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second message of two, and a replacement, fail in the very transaction."""
    assert " OK " in push(client, HEAD + b"first")

    def fail(*_arguments: object) -> None:
        raise Unavailable("database")

    with monkeypatch.context() as patch:
        patch.setattr(placing.items, "add_items", fail)
        assert push(client, HEAD + b"a", HEAD + b"b" * 70_000).startswith("a NO [UNAVAILABLE] ")
        assert push(client, HEAD + b"c", verb=b"a REPLACE 1 Drafts").startswith("a NO [UNAVAILABLE] ")
    with monkeypatch.context() as patch:
        patch.setattr(placing.item_changes, "expunge", fail)
        assert push(client, HEAD + b"c", verb=b"a REPLACE 1 Drafts").startswith("a NO [UNAVAILABLE] ")
    assert held(client) == "* STATUS Drafts (MESSAGES 1 UIDNEXT 2)"


def test_what_the_transaction_refuses_leaves_no_file(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The room was there before the octets came, and another session took it."""
    files = set(folder.glob("**/blobs/??/*"))

    def fail(*_arguments: object) -> None:
        assert len(set(folder.glob("**/blobs/??/*")) - files) == 2
        raise OverLimit("quota")

    large = HEAD + b"b" * 70_000
    with monkeypatch.context() as patch:
        patch.setattr(placing.items, "add_items", fail)
        assert push(client, large, HEAD + b"a", large).startswith("a NO [OVERQUOTA] ")
    assert set(folder.glob("**/blobs/??/*")) == files
    assert " OK " in push(client, large)


def test_a_disk_that_fills_up_between_two_messages_keeps_neither(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, real, kept = set(folder.glob("**/blobs/??/*")), Spool.keep, []

    def keep(spool: Spool, blob_id: BlobId) -> None:
        if kept:
            raise Unavailable("disk-full")
        kept.append(blob_id)
        real(spool, blob_id)

    large = HEAD + b"b" * 70_000
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "keep", keep)
        assert push(client, large, large).startswith("a NO ")
    assert len(kept) == 1
    assert set(folder.glob("**/blobs/??/*")) == files


def test_what_another_session_expunged_is_not_replaced(
    running: RunningImap, client: Client, tls: TlsFiles
) -> None:
    assert " OK " in push(client, HEAD + b"first")
    account = list(running.node.accounts.values())[-1]
    other = Client(running.tls_port, tls.client)
    ask(other, f"l LOGIN {account.address} {account.app_password}".encode())
    ask(other, b"s SELECT Drafts")
    ask(other, b"d STORE 1 +FLAGS.SILENT (\\Deleted)")
    ask(other, b"e EXPUNGE")
    other.close()
    assert push(client, HEAD + b"c", verb=b"a UID REPLACE 1 Drafts").startswith("a NO [NONEXISTENT] ")
    assert held(client) == "* STATUS Drafts (MESSAGES 0 UIDNEXT 2)"


def test_the_quota_counts_every_message_of_a_command(running: RunningImap, client: Client) -> None:
    running.node.services.messages.quotas.limit = Amount(100, 200_000)
    large = HEAD + b"x" * 90_000
    assert push(client, large, large, large).startswith("a NO [OVERQUOTA] ")
    assert held(client) == "* STATUS Drafts (MESSAGES 0 UIDNEXT 1)"
    assert " OK " in push(client, large, large)
    assert push(client, large, verb=b"a REPLACE 1 Drafts").startswith("a OK ")


def test_nothing_of_an_upload_is_plain_on_disk(folder: Path, client: Client) -> None:
    """Neither while its octets come, nor once it was cancelled or placed."""
    word = "carabistouille-catadioptrique"
    octets = HEAD + f"{word}\r\n".encode() * 10_000
    client.send(b"a APPEND Drafts {%d+}\r\n" % len(octets) + octets + b" {5+}\r\nab")
    assert not find_traces(folder, [word])
    client.send(b"\0de\r\n")
    assert client.until_tagged("a")[-1].startswith("a NO Le message contient un octet nul")
    assert " OK " in push(client, octets, octets)
    assert not find_traces(folder, [word])
