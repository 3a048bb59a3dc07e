"""The load client's commands about connections: logins, news in IDLE, the memory of those that wait."""

import asyncio
import resource
import time

from bench.imap_client import ImapClient
from bench.load import Load, repeated
from bench.meter import Meter, Run, percentile, pss_kib
from bench.smtp_client import SmtpClient

EXISTS_SECONDS = 20.0
OPENED_AT_ONCE = 20
FIRST_CONNECTIONS = 20
"""Opened and closed before memory is read for the first time: what a server loads once is not its connections'."""


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


async def do_idle(load: Load) -> dict[str, object]:
    """From the 250 after DATA to EXISTS on an IDLE connection, one a mailbox; messages are ``--pace`` seconds apart."""
    pool = load.pool()
    clients = {address: await load.opened(address, "INBOX") for address in load.addresses}
    for client in clients.values():
        await client.idle()
    await asyncio.sleep(load.options.settle)

    async def once() -> Run:
        smtp = await SmtpClient.connected(load.smtp)
        after_250: list[float] = []
        missed = 0
        with Meter(load.pids) as meter:
            for _ in range(0, load.options.count, len(clients)):
                waiting = []
                for address, client in clients.items():
                    arrived = client.await_exists()
                    await smtp.send(load.sender, [address], pool.next_message())
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

    try:
        return await repeated(load, once)
    finally:
        for client in clients.values():
            client.close()


async def do_memory(load: Load) -> dict[str, object]:
    """What ``--count`` TLS connections in IDLE add to the server's proportional set size, one by one."""
    _allow_open_files(load.options.count)
    for client in await idling(load, FIRST_CONNECTIONS):
        client.close()
    await asyncio.sleep(load.options.settle)
    before = pss_kib(load.pids)
    with Meter(load.pids) as meter:
        clients = await idling(load, load.options.count)
    await asyncio.sleep(load.options.settle)
    each = (pss_kib(load.pids) - before) / len(clients)
    lost = sum(client.is_lost for client in clients)
    for client in clients:
        client.close()
    if lost:
        raise RuntimeError(f"{lost} of {len(clients)} connections in IDLE were closed by the server")
    run = meter.run(len(clients), kib_each=round(each, 1), before_kib=before)
    return {"runs": [run]}


async def idling(load: Load, number: int) -> list[ImapClient]:
    """So many connections in IDLE, over the accounts in turn."""

    async def one(at: int) -> ImapClient:
        client = await load.opened(load.addresses[at % len(load.addresses)], "INBOX")
        await client.idle()
        return client

    clients: list[ImapClient] = []
    for start in range(0, number, OPENED_AT_ONCE):
        batch = range(start, min(start + OPENED_AT_ONCE, number))
        clients += await asyncio.gather(*(one(at) for at in batch))
    return clients


def _allow_open_files(connections: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 200
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard > 0 else wanted, hard))
