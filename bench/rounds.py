"""Rounds: each figure of each server in turn, so that what else the machine does falls on both alike."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.meter import QUIET_RUNS, Run, summary
from bench.servers import PLI, Server
from bench.syncs import syncs_during

LOAD_SECONDS = 600
IDLE_MAILBOXES = 20
IN_FLIGHT = 10
COPIES = 50
CLEAR = "ingest, no TLS"
"""Of the peer only: Pli's link between operators has no other form than mutual TLS."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. After ``last_round_seconds`` of the whole run no further round of mail begins: what is
    short on a busy machine is rounds of mail, never the mailbox to list, which takes the peer minutes there.
    """

    rounds: int
    most_rounds: int
    ingest: int
    large: int
    listed: int
    idle: int
    synced: int
    store: int
    last_round_seconds: float


FULL = Plan(
    rounds=5,
    most_rounds=7,
    ingest=400,
    large=40,
    listed=10_000,
    idle=100,
    synced=200,
    store=1000,
    last_round_seconds=150,
)
QUICK = Plan(
    rounds=1,
    most_rounds=1,
    ingest=300,
    large=10,
    listed=1000,
    idle=40,
    synced=100,
    store=200,
    last_round_seconds=60,
)


@dataclass(slots=True)
class Figures:
    """Runs by figure and server; what was counted once beside them; ``failed``: why a figure of a server is missing."""

    runs: dict[tuple[str, str], list[Run]] = field(default_factory=dict)
    once: dict[tuple[str, str], float] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, figure: str, server: Server, measure: Callable[[Server], Run]) -> None:
        """One run of a figure, unless it failed before."""
        if (figure, server.name) in self.failed:
            return
        try:
            self.add(figure, server.name, measure(server))
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            said = str(error).strip().splitlines() or [""]
            self.failed[figure, server.name] = f"{type(error).__name__}: {said[-1][:200]}"
            print(f"\n{server.name}, {figure}: {error}", file=sys.stderr)

    def add(self, figure: str, server: str, run: Run) -> None:
        self.runs.setdefault((figure, server), []).append(run)

    def median(self, figure: str, server: str, key: str) -> float | None:
        runs = self.runs.get((figure, server))
        if not runs:
            return None
        medians = summary(runs)["median"]
        assert isinstance(medians, dict)
        return float(medians[key])

    def is_noisy(self, figure: str, server: str) -> bool:
        """True when the median rests on fewer than three quiet runs."""
        return self.quiet(figure, server) < QUIET_RUNS

    def others_share(self) -> float:
        """What other processes took of the machine while the servers were measured."""
        runs = [run for runs in self.runs.values() for run in runs]
        if not runs:
            return 0.0
        return (
            sum(run["other_cpu_s"] for run in runs)
            / sum(run["wall_s"] for run in runs)
            / (os.cpu_count() or 1)
        )

    def quiet(self, figure: str, server: str) -> int:
        return sum(not run["noisy"] for run in self.runs.get((figure, server), ()))


def load(what: str, server: Server, *options: str, seconds: float = LOAD_SECONDS) -> dict[str, object]:
    """One command of the load client, in a process of its own."""
    command = [sys.executable, "-m", "bench.mailload", what, *server.options, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{server.name}, {what}: {done.stderr.strip()[-1500:]}")
    found: dict[str, object] = json.loads(done.stdout)
    return found


def one_run(answer: dict[str, object]) -> Run:
    runs = answer["runs"]
    assert isinstance(runs, list)
    run: Run = runs[0]
    return run


def ingest(
    server: Server, count: int, *more: str, tls: bool = True, in_flight: int = IN_FLIGHT, size: int = 4096
) -> Run:
    """Mail to every account in turn, until it is readable by IMAP. ``more``: further options of the load client."""
    options = ("--accounts", str(server.accounts), "--count", str(count), "--conc", str(in_flight))
    sized = ("--size", str(size), "--variants", str(max(2, min(64, (64 << 20) // size))))
    return one_run(load("smtp", server, *options, *sized, *(server.smtp_tls if tls else ()), *more))


def submitted(server: Server, count: int) -> Run:
    """Mail of one of the server's own users to others, on connections that stay open."""
    sender = next(iter(json.loads(server.accounts.read_text())))
    to_own = ("--smtp", server.submission, "--smtp-tls", "starttls", "--sender", sender, "--login")
    return ingest(server, count, *to_own, tls=False)


def idle(server: Server, count: int) -> Run:
    mailboxes = ("--accounts", str(server.accounts), "--only", str(IDLE_MAILBOXES))
    return one_run(load("idle", server, *mailboxes, "--count", str(count), *server.smtp_tls))


def listing(server: Server) -> Run:
    answer = load("imap", server, "--accounts", str(server.big), "--ops", "summaries")["summaries"]
    assert isinstance(answer, dict)
    return one_run(answer)


def count_syncs(figures: Figures, server: Server, plan: Plan, folder: Path) -> None:
    """fsync calls a message, once the server is warm."""
    ingest(server, plan.ingest // 4)
    work = folder / server.name.split()[0]
    work.mkdir()

    def send() -> int:
        return int(ingest(server, plan.synced, in_flight=50)["count"])

    syncs = syncs_during(server.pids, work, send)
    if syncs is not None:
        figures.once["syncs", server.name] = syncs


def fill(figures: Figures, server: Server, plan: Plan) -> None:
    """A mailbox to list, by APPEND, and its first listing."""
    options = ("--accounts", str(server.big), "--count", str(plan.listed), "--conc", "4")
    figures.once["append", server.name] = float(str(load("prefill", server, *options)["per_s"]))
    figures.add("first listing", server.name, listing(server))


def flows(plan: Plan) -> dict[str, Callable[[Server], Run]]:
    """The figures of mail on its way in."""
    return {
        "ingest": lambda server: ingest(server, plan.ingest),
        "ingest × 1": lambda server: ingest(server, plan.ingest // 2, in_flight=1),
        "ingest × 50": lambda server: ingest(server, plan.ingest, in_flight=50),
        "100 KiB": lambda server: ingest(server, plan.ingest // 2, size=100 << 10),
        "5 MiB": lambda server: ingest(server, plan.large, size=5 << 20),
        "fresh": lambda server: ingest(server, plan.ingest // 2, "--fresh"),
        "submission": lambda server: submitted(server, plan.ingest),
        "copies": lambda server: ingest(server, plan.ingest // COPIES, "--copies", str(COPIES), in_flight=1),
        "idle": lambda server: idle(server, plan.idle),
        CLEAR: lambda server: ingest(server, plan.ingest, tls=False),
    }


def alternate(
    figures: Figures,
    kinds: Mapping[str, Callable[[Server], Run]],
    servers: Sequence[Server],
    plan: Plan,
    end: float,
) -> None:
    """Rounds of every figure until each has enough quiet runs, rounds are used up, or the time is: ``end`` is monotonic."""
    for number in range(plan.most_rounds):
        for kind, measure in kinds.items():
            measured = [server for server in servers if kind != CLEAR or server.name != PLI]
            judged = [each for each in measured if (kind, each.name) not in figures.failed]
            enough = number >= plan.rounds and not any(figures.is_noisy(kind, each.name) for each in judged)
            for server in () if enough or (number and time.monotonic() > end) else measured:
                figures.take(kind, server, measure)
