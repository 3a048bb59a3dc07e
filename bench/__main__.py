"""``make bench``: Pli's store against this machine's floor, then Pli beside Postfix and Dovecot, in turn.

Everything lies in a temporary folder and on 127.0.0.1, and is gone at the end.
"""

import argparse
import math
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import imap_rounds
from bench.document import write_section
from bench.floor import measure_floor
from bench.imap_report import IMAP_NOTES, format_imap
from bench.machine import describe_machine
from bench.postgres import find_programs, running_postgres
from bench.report import NOTES, format_comparison, format_store
from bench.rounds import FULL, QUICK, Figures, Plan, alternate, count_syncs, fill, flows, listing
from bench.servers import NotStarted, running_peer, running_pli, why_no_peer
from bench.store import count_store_syncs, run_store


@contextmanager
def told(what: str) -> Iterator[None]:
    """Say on standard error what is going on and how long it took."""
    start = time.monotonic()
    print(f"{what} …", file=sys.stderr, end="", flush=True)
    try:
        yield
    finally:
        print(f" {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)


def store_section(folder: Path, plan: Plan) -> str:
    found = {}
    with told("machine's floor"):
        floor = measure_floor(folder)
    with told("deliveries into the store, SQLite"):
        found["SQLite"] = run_store(folder / "store", plan.store)
    programs = find_programs()
    if programs is not None and plan is FULL:
        with told("deliveries into the store, PostgreSQL"), running_postgres(programs) as url:
            found["PostgreSQL"] = run_store(folder / "store", plan.store, url)
    with told("fsyncs of the store"):
        try:
            syncs = count_store_syncs(folder, 200)
        except FileNotFoundError:  # no strace
            syncs = None
    return format_store(found, syncs, floor)


def comparison_section(folder: Path, plan: Plan, end: float) -> str:
    figures, absent = Figures(), why_no_peer()
    with ExitStack() as stack:
        with told("starting Pli"):
            servers = [stack.enter_context(running_pli(folder / "pli"))]
        if absent is None:
            with told("starting Postfix and Dovecot"):
                servers.append(stack.enter_context(running_peer(folder / "peer")))
        with told("fsyncs of the servers"):
            for server in servers:
                count_syncs(figures, server, plan, folder)
        with told("rounds of mail"):
            alternate(figures, flows(plan), servers, plan, end)
        for server in servers:
            with told(f"{server.name}: {plan.listed} messages put in and listed for the first time"):
                fill(figures, server, plan)
        with told("rounds of listing"):
            alternate(figures, {"listing": listing}, servers, plan, math.inf)
    table = format_comparison(figures, plan)
    table += f"\n\nOther processes took {min(1, figures.others_share()):.0%} of the machine meanwhile."
    return table if absent is None else f"Postfix and Dovecot were not measured: {absent}.\n\n{table}"


def imap_section(folder: Path, plan: imap_rounds.ImapPlan, end: float, *, is_alone: bool) -> str:
    absent = "it was not asked for" if is_alone else why_no_peer()
    with ExitStack() as stack:
        with told("starting Pli"):
            servers = [stack.enter_context(running_pli(folder / "pli"))]
        if absent is None:
            with told("starting Postfix and Dovecot"):
                servers.append(stack.enter_context(running_peer(folder / "peer")))
        table = format_imap(imap_rounds.measure_imap(servers, plan, told, end), plan)
    return table if absent is None else f"Dovecot was not measured: {absent}.\n\n{table}"


def delivery_text(folder: Path, options: argparse.Namespace) -> str:
    """The first suite: the store and mail on its way in."""
    plan = QUICK if options.quick else FULL
    end = time.monotonic() + plan.last_round_seconds
    sections = [store_section(folder, plan)]
    if not options.store:
        sections += [comparison_section(folder, plan, end), NOTES]
    return "\n\n".join(sections)


def imap_text(folder: Path, options: argparse.Namespace) -> str:
    """The second suite: what mail clients ask of a server."""
    plan = imap_rounds.QUICK if options.quick else imap_rounds.FULL
    end = time.monotonic() + plan.last_round_seconds
    return f"{imap_section(folder, plan, end, is_alone=options.alone)}\n\n{IMAP_NOTES}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 90 s: fewer messages, one round")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--store", action="store_true", help="the store only, no servers")
    which.add_argument(
        "--imap", action="store_true", help="IMAP instead: listing, searching, changing, waiting"
    )
    parser.add_argument(
        "--alone", action="store_true", help="with --imap: Pli without the peer, a look in passing"
    )
    parser.add_argument("--write", action="store_true", help="write the section of docs/figures.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whatever runs is stopped on the way out
    with tempfile.TemporaryDirectory(prefix="pli-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postfix and Dovecot pass through it as other users
        facts = "\n".join(f"- {key}: {value}" for key, value in describe_machine(folder).items())
        try:
            measured = imap_text(folder, options) if options.imap else delivery_text(folder, options)
        except NotStarted as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
    text = f"{facts}\n\n{measured}"
    print(text)
    if options.write:
        day = datetime.now(UTC).date().isoformat()
        chosen = [f"--{name}" for name in ("quick", "store", "imap", "alone") if getattr(options, name)]
        how = f'make bench ARGS="{" ".join(chosen)}"' if chosen else "make bench"
        title = "IMAP" if options.imap else "Delivery"
        write_section(title, f"Measured on {day} by `{how}`, on one machine:\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
