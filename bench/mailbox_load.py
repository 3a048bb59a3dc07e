"""The load client's commands on one mailbox: fill it, and time what a mail client asks of it."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from bench.imap_client import ImapClient
from bench.load import Load, repeated
from bench.meter import Meter, Run
from bench.samples import NEEDLE

COPIED_AT_ONCE = 10_000
SCRATCH, SECOND_SCRATCH = "Scratch", "Scratch2"
STRIDE = 37
"""Messages read one by one are so far apart, so that no page of the last one holds the next."""
ONE_COMMAND = {
    "flags": "UID FETCH 1:* (FLAGS)",
    "summaries": "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
    "headers": "FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (FROM TO SUBJECT DATE MESSAGE-ID)])",
    "bodies": "FETCH 1:* (UID BODY.PEEK[])",
    "unseen": "UID SEARCH UNSEEN",
    "search_from": 'SEARCH FROM "kalo"',
    "search_text": f'SEARCH TEXT "{NEEDLE}"',
    "sort": "SORT (DATE) UTF-8 ALL",
    "thread": "THREAD REFERENCES UTF-8 ALL",
}


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A connection with the mailbox selected."""

    load: Load
    client: ImapClient
    number: int
    """Messages in it."""

    @property
    def few(self) -> int:
        """How many messages a command that names a part of them names."""
        return min(self.number, int(self.load.options.part))


def shown(meter: Meter, count: int, octets: int = 0) -> Run:
    """The figures of one command over ``count`` messages."""
    return meter.run(
        count,
        ms=round(meter.wall * 1e3, 3),
        octets=octets,
        mb_per_s=round(octets / meter.wall / 1e6, 2),
    )


async def time_command(mailbox: Mailbox, line: str) -> Run:
    with Meter(mailbox.load.pids) as meter:
        answer = await mailbox.client.command(line)
    return shown(meter, answer.count(b" FETCH (") or mailbox.number, len(answer))


async def time_store(mailbox: Mailbox) -> Run:
    r"""+FLAGS of every message, told; taken away again outside the clock."""
    with Meter(mailbox.load.pids) as meter:
        answer = await mailbox.client.command(r"STORE 1:* +FLAGS (\Flagged)")
    told = answer.count(b" FETCH (")
    if told < mailbox.number:
        raise RuntimeError(f"STORE of {mailbox.number} messages told {told}")
    await mailbox.client.command(r"STORE 1:* -FLAGS.SILENT (\Flagged)")
    return shown(meter, told)


async def time_single_fetch(mailbox: Mailbox) -> Run:
    """One message a command, as somebody who reads: the next command waits for the answer."""
    client = mailbox.client
    with Meter(mailbox.load.pids) as meter:
        for at in range(mailbox.few):
            await client.command(f"FETCH {at * STRIDE % mailbox.number + 1} (UID BODY.PEEK[])")
    return shown(meter, mailbox.few)


async def time_copy(mailbox: Mailbox) -> Run:
    """COPY to a mailbox, MOVE from there to another: what the source holds stays as it was. ``ms`` is COPY's."""
    client, last = mailbox.client, mailbox.few
    for name in (SCRATCH, SECOND_SCRATCH):
        await client.attempt(f"DELETE {name}")
        await client.command(f"CREATE {name}")
    with Meter(mailbox.load.pids) as copying:
        await client.command(f"COPY 1:{last} {SCRATCH}")
    await client.command(f"SELECT {SCRATCH}")
    with Meter(mailbox.load.pids) as moving:
        await client.command(f"MOVE 1:{last} {SECOND_SCRATCH}")
    moved = await client.exists(SECOND_SCRATCH)
    await client.command("UNSELECT")
    for name in (SCRATCH, SECOND_SCRATCH):
        await client.command(f"DELETE {name}")
    if moved != last:
        raise RuntimeError(f"MOVE of {last} messages moved {moved}")
    return shown(copying, last) | {"move_ms": round(moving.wall * 1e3, 3)}


OTHERS: dict[str, Callable[[Mailbox], Awaitable[Run]]] = {
    "store": time_store,
    "fetch1": time_single_fetch,
    "copy": time_copy,
}
OPERATIONS = ("select", *ONE_COMMAND, *OTHERS)


async def do_imap(load: Load) -> dict[str, object]:
    """Each of ``--ops`` on ``--mailbox`` of the first account, on a fresh connection."""
    return {
        operation: await repeated(load, partial(time_operation, load, operation))
        for operation in load.options.ops.split(",")
    }


async def time_operation(load: Load, operation: str) -> Run:
    client = await load.opened(load.addresses[0])
    try:
        with Meter(load.pids) as selecting:
            answer = await client.command(f"SELECT {load.options.mailbox}")
        found = re.search(rb"^\* (\d+) EXISTS", answer, re.MULTILINE)
        number = int(found[1]) if found is not None else 0
        if operation == "select":
            return shown(selecting, number, len(answer))
        mailbox = Mailbox(load, client, number)
        if operation in ONE_COMMAND:
            return await time_command(mailbox, ONE_COMMAND[operation])
        return await OTHERS[operation](mailbox)
    finally:
        client.close()


async def do_prefill(load: Load) -> dict[str, object]:
    """Fill ``--mailbox`` of the first account to ``--count`` messages over ``--conc`` connections.

    ``--distinct`` of them by APPEND, the rest by COPY of the mailbox into itself.
    """
    address, name = load.addresses[0], load.options.mailbox
    clients = [await load.opened(address) for _ in range(load.options.conc)]
    first = clients[0]
    await first.attempt(f"CREATE {name}")
    before, start = await first.exists(name), time.perf_counter()
    appended = max(0, min(load.options.count, load.options.distinct or load.options.count) - before)
    share, rest = divmod(appended, len(clients))
    pool = load.pool()
    await asyncio.gather(
        *(client.append(name, share + (at < rest), pool) for at, client in enumerate(clients))
    )
    if load.options.distinct:
        await _multiply(first, name, load.options.count, start + load.options.max_seconds)
    wall = time.perf_counter() - start
    found = await first.exists(name)
    for client in clients:
        client.close()
    return {"after": found, "wall_s": round(wall, 2), "per_s": round((found - before) / wall, 1)}


async def _multiply(client: ImapClient, name: str, wanted: int, end: float) -> None:
    have = await client.exists(name)
    while have < wanted and time.perf_counter() < end:
        copied = min(have, wanted - have, COPIED_AT_ONCE)
        await client.command(f"SELECT {name}")
        await client.command(f"COPY 1:{copied} {name}")
        await client.command("UNSELECT")
        have += copied


async def do_append(load: Load) -> dict[str, object]:
    """Messages a second by pipelined APPEND with LITERAL+ into a fresh mailbox of the first account."""
    pool = load.pool()

    async def once() -> Run:
        client = await load.opened(load.addresses[0])
        await client.attempt(f"DELETE {SCRATCH}")
        await client.command(f"CREATE {SCRATCH}")
        with Meter(load.pids) as meter:
            await client.append(SCRATCH, load.options.count, pool)
        await client.command(f"DELETE {SCRATCH}")
        client.close()
        return shown(meter, load.options.count, load.options.count * pool.mean_bytes)

    return await repeated(load, once)
