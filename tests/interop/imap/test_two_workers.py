"""Two worker processes, and clients on both: who waits for news in one sees what is done through the other."""

import asyncio
import imaplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aioimaplib
import pytest
from harness.aioimap import opened_aioimaplib
from harness.imap_harness import HOST
from harness.imap_transcript import message
from harness.imapflow import ImapFlow
from harness.node import make_node
from harness.processes import find_server, list_children
from harness.programs import SECONDS

from mailserver.cli.demo_clients import send_mail
from mailserver.cli.demo_stage import Operator, Person, reserve_ports

WORKERS = 2
MOST_TRIES = 100
"""The kernel gives each connection to either worker as by a coin."""


@dataclass
class Served:
    """An operator that serves with two workers, and two people on it."""

    operator: Operator
    authority: Path
    reader: Person
    sender: Person

    @property
    def port(self) -> int:
        return self.operator.port("imaps")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    (ports,) = reserve_ports(1)
    node = make_node(tmp_path, base_port=ports.base)
    operator = Operator("a", node.folder, ports)
    people = [
        Person(f"{name}@{node.domain}", name, node.add(f"{name}@{node.domain}").app_password)
        for name in ("reader", "sender")
    ]
    node.close()
    operator.start(WORKERS)
    yield Served(operator, tmp_path / "authority" / "demo-ca.pem", *people)
    operator.stop()
    ports.release()


@contextmanager
def one_client_each(served: Served, tls: ssl.SSLContext) -> Iterator[list[imaplib.IMAP4_SSL]]:
    """A client on each worker, logged in as the reader, INBOX selected."""
    workers = list_children(served.operator.process.pid)
    assert len(workers) == WORKERS
    clients: dict[int | None, imaplib.IMAP4_SSL] = {}
    with ExitStack() as stack:
        for _try in range(MOST_TRIES):
            client = stack.enter_context(imaplib.IMAP4_SSL(HOST, served.port, ssl_context=tls))
            worker = find_server(served.port, client.sock.getsockname()[1], workers)
            clients.setdefault(worker, client)
            if len(clients) == WORKERS:
                break
        assert clients.keys() == set(workers)
        for client in clients.values():
            client.login(served.reader.address, served.reader.app_password)
            client.select("INBOX")
        yield list(clients.values())


@pytest.mark.timeout(240)
def test_news_cross_from_worker_to_worker(served: Served, make_imapflow: Callable[[], ImapFlow]) -> None:
    """Two clients wait, on any worker; each act is done by a client of the one worker and by a client of the other."""
    tls = ssl.create_default_context(cafile=str(served.authority))
    with make_imapflow() as flow, one_client_each(served, tls) as clients:
        asyncio.run(play(served, tls, flow, clients))


async def play(served: Served, tls: ssl.SSLContext, flow: ImapFlow, clients: list[imaplib.IMAP4_SSL]) -> None:
    reader, sender = served.reader, served.sender
    async with opened_aioimaplib(served.port, reader.address, reader.app_password, tls) as waiting:
        idling = await waiting.idle_start(4 * SECONDS)
        flow.open(served.port, reader.address, reader.app_password, str(served.authority))
        flow.ask("idle")

        async def both_see(line: str, kind: str, **facts: object) -> None:
            await until_pushed(waiting, line)
            flow.wait_for_event(kind, **facts)

        for count, client in enumerate(clients, 1):
            client.append("INBOX", None, None, message(count))
            await both_see(f"{count} EXISTS", "exists", count=count)
        for count in (3, 4):  # whichever worker takes the letter
            letter = message(count).replace(b"claude%d@b.localhost" % count, sender.address.encode())
            send_mail(served.operator, sender, [reader.address], letter, tls)
            await both_see(f"{count} EXISTS", "exists", count=count)
        for number, client in enumerate(clients, 1):
            client.store(str(number), "+FLAGS", "\\Flagged")
            await both_see(f"{number} FETCH (FLAGS (\\Flagged", "flags", seq=number, flags=["\\Flagged"])
        for uid, client in enumerate(clients, 1):
            client.uid("MOVE", str(uid), "Archive")
            await both_see("1 EXPUNGE", "expunge", uid=uid, vanished=True)
        waiting.idle_done()
        await asyncio.wait_for(idling, SECONDS)
        flow.ask("close")


async def until_pushed(client: aioimaplib.IMAP4, line: str) -> None:
    """Until the server says what begins with ``line``; what it says before is passed over."""
    pushed: list[bytes] = []
    while not any(each.startswith(line.encode()) for each in pushed):
        pushed = await client.wait_server_push(SECONDS)
