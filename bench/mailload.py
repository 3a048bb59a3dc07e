"""Load client for SMTP and IMAP servers on this machine; every command prints one JSON object.

It talks to 127.0.0.0/8 only, never checks the server's certificate, and every loop ends by count and by time.
Addresses and their passwords come from a JSON file (``--accounts``): messages go to each in turn.
"""

import argparse
import asyncio
import contextlib
import json
import re
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvloop

from bench.imap_client import ImapClient, ImapTarget
from bench.meter import Meter, Run, percentile, summary
from bench.samples import Pool
from bench.smtp_client import SmtpClient, SmtpTarget

EXISTS_SECONDS = 20.0
OPERATIONS = {
    "select": "SELECT INBOX",
    "flags": "UID FETCH 1:* (FLAGS)",
    "summaries": "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    "headers": "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE MESSAGE-ID)])",
    "bodies": "FETCH 1:* (UID BODY.PEEK[])",
    "unseen": "UID SEARCH UNSEEN",
    "search_from": 'SEARCH FROM "kalo"',
    "search_text": 'SEARCH TEXT "absolutelynotthere"',
}


@dataclass(frozen=True, slots=True)
class Load:
    """The options as values."""

    smtp: SmtpTarget
    imap: ImapTarget | None
    accounts: dict[str, str]
    sender: str
    pids: list[int]
    options: argparse.Namespace

    @property
    def addresses(self) -> list[str]:
        return list(self.accounts)

    def pool(self) -> Pool:
        return Pool(self.options.size, self.sender, self.addresses[0])

    async def opened(self, address: str, mailbox: str | None = None) -> ImapClient:
        """A logged-in connection, with ``mailbox`` selected."""
        assert self.imap is not None
        client = await ImapClient.connected(self.imap)
        await client.login(address, self.accounts[address])
        if mailbox is not None:
            await client.command(f"SELECT {mailbox}")
        return client


def parse_endpoint(text: str) -> tuple[str, int]:
    """Raises ValueError for anything outside 127.0.0.0/8."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"127\.\d+\.\d+\.\d+", host):
        raise ValueError("only 127.0.0.0/8 is ever a target")
    return host, int(port)


def tls_context(certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """The server's certificate is not checked: the figures are of a server that we started ourselves."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


async def repeated(load: Load, once: Callable[[], Awaitable[Run]]) -> dict[str, object]:
    return summary([await once() for _ in range(load.options.runs)])


async def do_smtp(load: Load) -> dict[str, object]:
    """Messages a second: taken (250) and readable by IMAP in every mailbox."""
    pool = load.pool()
    watch = (
        {address: await load.opened(address) for address in load.addresses} if load.imap is not None else {}
    )
    try:
        return await repeated(load, lambda: smtp_run(load, pool, watch))
    finally:
        for client in watch.values():
            client.close()


async def smtp_run(load: Load, pool: Pool, watch: dict[str, ImapClient]) -> Run:
    base = {address: await client.exists("INBOX") for address, client in watch.items()}
    left, sent, taken = iter(range(load.options.count)), dict.fromkeys(load.addresses, 0), list[float]()
    end = time.perf_counter() + load.options.max_seconds

    async def session() -> None:
        client = await SmtpClient.connected(load.smtp)
        for number in left:
            if time.perf_counter() > end:
                break
            address = load.addresses[number % len(load.addresses)]
            start = time.perf_counter()
            await client.send(load.sender, address, pool.next_message())
            taken.append(time.perf_counter() - start)
            sent[address] += 1
        await client.quit()

    with Meter(load.pids) as meter:
        await asyncio.gather(*(session() for _ in range(load.options.conc)))
        accepted = time.perf_counter() - meter.start
        last = end + load.options.max_seconds
        await asyncio.gather(
            *(until_readable(client, base[each] + sent[each], last) for each, client in watch.items())
        )
        meter.stop_clock()
    return meter.run(
        len(taken),
        accepted_per_s=round(len(taken) / accepted, 2),
        ack_p50_ms=percentile(taken, 0.5),
        ack_p99_ms=percentile(taken, 0.99),
    )


async def until_readable(client: ImapClient, wanted: int, end: float) -> None:
    """Ask until the mailbox holds what was sent to it."""
    while await client.exists("INBOX") < wanted:
        if time.perf_counter() > end:
            raise TimeoutError("not all messages became readable")
        await asyncio.sleep(0.005)


async def do_login(load: Load) -> dict[str, object]:
    """Logins a second, each on a connection of its own."""

    async def once() -> Run:
        left, took = iter(range(load.options.count)), list[float]()

        async def session() -> None:
            for number in left:
                start = time.perf_counter()
                (await load.opened(load.addresses[number % len(load.addresses)])).close()
                took.append(time.perf_counter() - start)

        with Meter(load.pids) as meter:
            await asyncio.gather(*(session() for _ in range(load.options.conc)))
        return meter.run(len(took), p50_ms=percentile(took, 0.5), p99_ms=percentile(took, 0.99))

    return await repeated(load, once)


async def do_prefill(load: Load) -> dict[str, object]:
    """Fill the first account's INBOX to ``--count`` messages by APPEND, over ``--conc`` connections."""
    address = load.addresses[0]
    clients = [await load.opened(address) for _ in range(load.options.conc)]
    missing = max(0, load.options.count - await clients[0].exists("INBOX"))
    share, rest = divmod(missing, len(clients))
    pool, start = load.pool(), time.perf_counter()
    await asyncio.gather(
        *(client.append("INBOX", share + (at < rest), pool) for at, client in enumerate(clients))
    )
    wall = time.perf_counter() - start
    found = await clients[0].exists("INBOX")
    for client in clients:
        client.close()
    return {"after": found, "wall_s": round(wall, 2), "per_s": round(missing / wall, 1)}


async def do_imap(load: Load) -> dict[str, object]:
    """Each of ``--ops`` over the whole INBOX of the first account, on a fresh connection."""

    async def once(operation: str) -> Run:
        client = await load.opened(load.addresses[0], None if operation == "select" else "INBOX")
        number = await client.exists("INBOX") if operation == "select" else 0
        with Meter(load.pids) as meter:
            answer = await client.command(OPERATIONS[operation])
        number = number or answer.count(b" FETCH (") or 1
        client.close()
        return meter.run(number, ms=round(meter.wall * 1e3, 2), octets=len(answer))

    found: dict[str, object] = {}
    for operation in load.options.ops.split(","):
        found[operation] = await repeated(load, partial(once, operation))
    return found


async def do_idle(load: Load) -> dict[str, object]:
    """From the 250 after DATA to EXISTS on an IDLE connection, one a mailbox; messages are ``--pace`` seconds apart."""
    pool = load.pool()
    clients = {address: await load.opened(address, "INBOX") for address in load.addresses}
    for client in clients.values():
        await client.idle()
    await asyncio.sleep(load.options.settle)
    try:
        return await repeated(load, lambda: idle_run(load, pool, clients))
    finally:
        for client in clients.values():
            client.close()


async def idle_run(load: Load, pool: Pool, clients: dict[str, ImapClient]) -> Run:
    smtp = await SmtpClient.connected(load.smtp)
    after_250: list[float] = []
    missed = 0
    with Meter(load.pids) as meter:
        for _ in range(0, load.options.count, len(clients)):
            waiting = []
            for address, client in clients.items():
                arrived = client.await_exists()
                await smtp.send(load.sender, address, pool.next_message())
                waiting.append((arrived, time.perf_counter()))
                await asyncio.sleep(load.options.pace)
            for arrived, taken in waiting:
                try:
                    after_250.append(await asyncio.wait_for(arrived, EXISTS_SECONDS) - taken)
                except TimeoutError:
                    missed += 1
    await smtp.quit()
    p50, p99 = percentile(after_250, 0.5), percentile(after_250, 0.99)
    return meter.run(len(after_250), missed=missed, p50_ms=p50, p99_ms=p99)


COMMANDS = {"smtp": do_smtp, "login": do_login, "prefill": do_prefill, "imap": do_imap, "idle": do_idle}


def parse_arguments(arguments: list[str]) -> Load:
    parser = argparse.ArgumentParser(prog="mailload", description=__doc__)
    parser.add_argument("what", choices=sorted(COMMANDS))
    parser.add_argument("--smtp", default="127.0.0.1:2525", metavar="HOST:PORT")
    parser.add_argument("--smtp-tls", choices=["none", "starttls"], default="none")
    parser.add_argument("--certificate", type=Path, help="shown to the SMTP server (mutual TLS)")
    parser.add_argument("--key", type=Path, help="its private key")
    parser.add_argument("--imap", default="none", metavar="HOST:PORT", help="none: count what SMTP took only")
    parser.add_argument("--imap-tls", choices=["none", "implicit"], default="implicit")
    parser.add_argument(
        "--accounts", type=Path, required=True, metavar="FILE", help="JSON: address → password"
    )
    parser.add_argument("--sender", default="sender@example.net", help="of the envelope and of From")
    parser.add_argument("--only", type=int, default=0, metavar="N", help="use the first N accounts")
    parser.add_argument("--pids", default="", help="the server's process trees, for its CPU")
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--conc", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=60)
    parser.add_argument("--ops", default="summaries")
    parser.add_argument("--pace", type=float, default=0.02)
    parser.add_argument("--settle", type=float, default=1.0)
    options = parser.parse_args(arguments)
    accounts: dict[str, str] = json.loads(options.accounts.read_text())
    if options.only:
        accounts = dict(list(accounts.items())[: options.only])
    try:
        smtp, imap = parse_endpoint(options.smtp), None
        if options.imap != "none":
            imap = ImapTarget(
                *parse_endpoint(options.imap), tls_context() if options.imap_tls == "implicit" else None
            )
    except ValueError as error:
        parser.error(str(error))
    tls = tls_context(options.certificate, options.key) if options.smtp_tls == "starttls" else None
    pids = [int(pid) for pid in options.pids.split(",") if pid]
    return Load(SmtpTarget(*smtp, tls), imap, accounts, options.sender, pids, options)


def main() -> int:
    load = parse_arguments(sys.argv[1:])
    with contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(uvloop.run(COMMANDS[load.options.what](load))))
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
