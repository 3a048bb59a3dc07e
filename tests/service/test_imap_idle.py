"""IDLE through aioimaplib: mail is announced at once, by a real asynchronous client."""

import asyncio
import ssl
import time
from collections.abc import Iterator

import pytest
from harness.aioimap import opened_aioimaplib
from harness.imap_harness import ImapNode, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import message


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("node"))
    node.add("doc")
    yield node
    node.close()


async def idle_and_read(node: ImapNode, port: int, tls: ssl.SSLContext) -> tuple[float, bytes]:
    account = node.accounts["doc"]
    async with opened_aioimaplib(port, account.address, account.app_password, tls) as client:
        idling = await client.idle_start(timeout=60)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, node.deliver, "doc", message(1))
        committed = time.perf_counter()
        pushed = await client.wait_server_push()
        waited = time.perf_counter() - committed
        assert any(b"1 EXISTS" in line for line in pushed)
        client.idle_done()
        await asyncio.wait_for(idling, 10)
        found = await client.fetch("1", "(BODY.PEEK[])")
    return waited, bytes(found.lines[1])


def test_news_reach_an_idling_client_at_once(node: ImapNode, tls: TlsFiles) -> None:
    with running_imap(node, tls) as running:
        waited, octets = asyncio.run(idle_and_read(node, running.tls_port, tls.client))
    assert octets == message(1)
    assert waited < 1.0  # a few milliseconds; the bound leaves room for a loaded machine
