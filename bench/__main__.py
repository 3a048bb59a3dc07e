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

from bench.floor import measure_floor
from bench.machine import describe_machine
from bench.postgres import find_programs, running_postgres
from bench.report import NOTES, format_comparison, format_store
from bench.rounds import FULL, QUICK, Figures, Plan, alternate, count_syncs, fill, flows, listing
from bench.servers import NotStarted, running_peer, running_pli, why_no_peer
from bench.store import count_store_syncs, run_store

DOCUMENT = Path(__file__).parents[1] / "docs" / "figures.md"


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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 90 s: fewer messages, one round")
    parser.add_argument("--store", action="store_true", help="the store only, no servers")
    parser.add_argument("--write", action="store_true", help="write docs/figures.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whatever runs is stopped on the way out
    plan = QUICK if options.quick else FULL
    end = time.monotonic() + plan.last_round_seconds
    with tempfile.TemporaryDirectory(prefix="pli-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # Postfix and Dovecot pass through it as other users
        facts = "\n".join(f"- {key}: {value}" for key, value in describe_machine(folder).items())
        sections = [facts]
        try:
            sections.append(store_section(folder, plan))
            if not options.store:
                sections.append(comparison_section(folder, plan, end))
                sections.append(NOTES)
        except NotStarted as error:
            print(f"\n{error}", file=sys.stderr)
            return 1
    text = "\n\n".join(sections)
    print(text)
    if options.write:
        day = datetime.now(UTC).date().isoformat()
        how = "`make bench`" if plan is FULL else '`make bench ARGS="--quick"`'
        DOCUMENT.write_text(f"# Figures\n\nMeasured on {day} by {how}, on one machine:\n\n{text.rstrip()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
