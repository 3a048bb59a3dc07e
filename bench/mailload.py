"""Load client for SMTP and IMAP servers on this machine; every command prints one JSON object.

It talks to 127.0.0.0/8 only, never checks the server's certificate, and every loop ends by count and by time.
Addresses and their passwords come from a JSON file (``--accounts``): messages go to each in turn.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

import uvloop

from bench.connection_load import do_idle, do_login, do_memory
from bench.imap_client import ImapClient, ImapTarget
from bench.load import Load, parse_endpoint, repeated, tls_context
from bench.mailbox_load import OPERATIONS, do_append, do_imap, do_prefill
from bench.meter import Meter, Run, percentile, pss_kib
from bench.samples import VARIANTS, Pool
from bench.smtp_client import SmtpClient, SmtpTarget

LARGE_BYTES = 1 << 20
"""From this size on, the server's memory is watched meanwhile."""


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
        client: SmtpClient | None = None
        for number in left:
            if time.perf_counter() > end:
                break
            recipients = load.recipients_of(number)
            start = time.perf_counter()
            client = client or await SmtpClient.connected(load.smtp)
            await client.send(load.sender, recipients, pool.next_message())
            taken.append(time.perf_counter() - start)
            for address in recipients:
                sent[address] += 1
            if load.options.fresh:
                await client.quit()
                client = None
        if client is not None:
            await client.quit()

    before, highest = pss_kib(load.pids), 0

    async def watch_memory() -> None:
        nonlocal highest
        while load.options.size >= LARGE_BYTES:
            highest = max(highest, pss_kib(load.pids))
            await asyncio.sleep(0.2)

    watching = asyncio.create_task(watch_memory())
    with Meter(load.pids) as meter:
        await asyncio.gather(*(session() for _ in range(load.options.conc)))
        accepted = time.perf_counter() - meter.start
        last = end + load.options.max_seconds
        await asyncio.gather(
            *(until_readable(client, base[each] + sent[each], last) for each, client in watch.items())
        )
        meter.stop_clock()
    watching.cancel()
    return meter.run(
        len(taken),
        copies_per_s=round(sum(sent.values()) / meter.wall, 2),
        mb_per_s=round(len(taken) * pool.mean_bytes / meter.wall / 1e6, 2),
        grown_mib=round(max(0, highest - before) / 1024, 1),
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


COMMANDS = {
    "smtp": do_smtp,
    "login": do_login,
    "prefill": do_prefill,
    "append": do_append,
    "imap": do_imap,
    "idle": do_idle,
    "memory": do_memory,
}


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
    parser.add_argument("--copies", type=int, default=1, help="recipients of each message")
    parser.add_argument("--fresh", action="store_true", help="a connection for each message")
    parser.add_argument("--login", action="store_true", help="AUTH as the sender, who is one of the accounts")
    parser.add_argument("--conc", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--max-seconds", type=float, default=60)
    parser.add_argument("--variants", type=int, default=VARIANTS, help="different messages")
    parser.add_argument("--mailbox", default="INBOX")
    parser.add_argument("--ops", default="summaries", help=f"of: {','.join(OPERATIONS)}")
    parser.add_argument(
        "--part", type=int, default=1000, help="messages of an operation on a part of the mailbox"
    )
    parser.add_argument("--distinct", type=int, default=0, help="prefill: append so many, the rest by COPY")
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
    login = (options.sender, accounts[options.sender]) if options.login else None
    return Load(SmtpTarget(*smtp, tls, login), imap, accounts, options.sender, pids, options)


def main() -> int:
    load = parse_arguments(sys.argv[1:])
    with contextlib.suppress(KeyboardInterrupt):
        print(json.dumps(uvloop.run(COMMANDS[load.options.what](load))))
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
