"""The IMAP suite: the same mailboxes in both servers, then each figure of each server in turn.

A figure that fails is told with its reason and not tried again; the others go on.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from bench.meter import Run
from bench.rounds import Figures, load, one_run
from bench.servers import PEER, Server

FILL_SECONDS = 1800
"""Most that 10 000 messages by SMTP may take, on a machine that does much else."""
MANY_SECONDS = 300
"""After so long the largest mailbox is as large as it is: mail_crypt takes 8 ms for each copy."""
VARIANTS = 512
IDLE_MAILBOXES = 20
IN_FLIGHT = 10
MANY, LARGE = "Many", "Large"
LARGE_BYTES, MANY_BYTES = 50 * 1024, 1024
COLD = "select_cold"
MAIN_FIGURES = (
    "select",
    COLD,
    "flags",
    "summaries",
    "search_from",
    "sort",
    "thread",
    "store",
    "fetch1",
    "bodies",
    "copy",
    "search_text",
)
SLOW_OF_PEER = {"bodies": 2, "copy": 2, "idle": 1, "search_text": 0}
"""Rounds of what takes the peer seconds: mail_crypt opens each message with a key of its own. Its SEARCH TEXT is the
first one, measured once: it has no index that a second would use."""


@dataclass(frozen=True, slots=True)
class ImapPlan:
    """How much is measured. After ``last_round_seconds`` of the whole run no further round begins."""

    rounds: int
    many: int
    """Messages of the mailbox that is only selected and whose flags are listed."""
    listed: int
    large: int
    part: int
    """Messages that are copied and moved."""
    singles: int
    """Messages read one by one."""
    appended: int
    logins: int
    connections: int
    idle: int
    last_round_seconds: float


FULL = ImapPlan(
    rounds=5,
    many=100_000,
    listed=10_000,
    large=1000,
    part=1000,
    singles=300,
    appended=600,
    logins=600,
    connections=500,
    idle=100,
    last_round_seconds=600,
)
QUICK = ImapPlan(
    rounds=1,
    many=1000,
    listed=200,
    large=20,
    part=50,
    singles=30,
    appended=60,
    logins=60,
    connections=40,
    idle=20,
    last_round_seconds=60,
)


def forget_cached(folder: Path) -> None:
    """Drop the files of a server from the machine's page cache; what the server holds in its own memory stays."""
    os.sync()
    for path in folder.rglob("*"):
        if not path.is_file() or path.is_symlink():
            continue
        with contextlib.suppress(OSError):  # it left meanwhile
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def operation(server: Server, name: str, plan: ImapPlan) -> Run:
    """One operation on one of the mailboxes of the big account, on a fresh connection."""
    mailbox = {"select": MANY, COLD: MANY, "flags": MANY, "bodies": LARGE}.get(name, "INBOX")
    if name == COLD:
        forget_cached(server.folder)
    ops = name.removesuffix("_cold")
    part = plan.singles if name == "fetch1" else plan.part
    options = ("--mailbox", mailbox, "--ops", ops, "--part", str(part))
    answer = load("imap", server, "--accounts", str(server.big), *options)[ops]
    assert isinstance(answer, dict)
    return one_run(answer)


def memory(server: Server, plan: ImapPlan) -> Run:
    options = ("--accounts", str(server.accounts), "--count", str(plan.connections), "--settle", "3")
    return one_run(load("memory", server, *options))


def connection_figures(plan: ImapPlan) -> dict[str, Callable[[Server], Run]]:
    def login(server: Server) -> Run:
        options = ("--count", str(plan.logins), "--conc", str(IN_FLIGHT))
        return one_run(load("login", server, "--accounts", str(server.accounts), *options))

    def append(server: Server) -> Run:
        options = ("--accounts", str(server.accounts), "--only", "1", "--count", str(plan.appended))
        return one_run(load("append", server, *options))

    def idle(server: Server) -> Run:
        mailboxes = ("--accounts", str(server.accounts), "--only", str(IDLE_MAILBOXES))
        return one_run(load("idle", server, *mailboxes, "--count", str(plan.idle), *server.smtp_tls))

    return {"login": login, "append": append, "idle": idle}


def mailbox_figures(plan: ImapPlan) -> dict[str, Callable[[Server], Run]]:
    def of(name: str) -> Callable[[Server], Run]:
        return lambda server: operation(server, name, plan)

    return {name: of(name) for name in MAIN_FIGURES}


def fill(figures: Figures, server: Server, plan: ImapPlan) -> None:
    """Mail that comes while its owner is away, seen and searched for the first time; then the other mailboxes."""
    big = ("--accounts", str(server.big))
    sent = ("--count", str(plan.listed), "--conc", str(IN_FLIGHT), "--variants", str(VARIANTS))
    bounded = ("--max-seconds", str(FILL_SECONDS // 2))
    load("smtp", server, *big, *sent, *bounded, *server.smtp_tls, seconds=FILL_SECONDS)
    figures.take("first sight", server, lambda each: operation(each, "summaries", plan))
    figures.take("first search", server, lambda each: operation(each, "search_text", plan))
    large = ("--mailbox", LARGE, "--count", str(plan.large), "--size", str(LARGE_BYTES), "--conc", "4")
    load("prefill", server, *big, *large, seconds=FILL_SECONDS)
    distinct = ("--distinct", str(max(1, plan.many // 50)), "--conc", "4")
    many = ("--mailbox", MANY, "--count", str(plan.many), "--size", str(MANY_BYTES))
    patient = ("--max-seconds", str(MANY_SECONDS))
    load("prefill", server, *big, *many, *distinct, *patient, seconds=FILL_SECONDS)


def take_turns(
    figures: Figures,
    kinds: Mapping[str, Callable[[Server], Run]],
    servers: Sequence[Server],
    plan: ImapPlan,
    end: float,
) -> None:
    """Rounds of every figure; after ``end``, of the monotonic clock, no further one begins."""
    for number in range(plan.rounds):
        for kind, measure in kinds.items():
            for server in servers if number % 2 == 0 else reversed(servers):
                most = SLOW_OF_PEER.get(kind, plan.rounds) if server.name == PEER else plan.rounds
                if number < most and (number == 0 or time.monotonic() < end):
                    figures.take(kind, server, measure)


def measure_imap(
    servers: Sequence[Server], plan: ImapPlan, told: Callable[[str], AbstractContextManager[None]], end: float
) -> Figures:
    """The whole suite. ``told`` says what is going on."""
    figures = Figures()
    for server in servers:  # first: a server that did much holds memory that connections then fill
        with told(f"{server.name}: memory of {plan.connections} connections"):
            figures.take("memory", server, lambda each: memory(each, plan))
    with told("rounds of logins, APPEND and IDLE"):
        take_turns(figures, connection_figures(plan), servers, plan, end)
    filled: list[Server] = []
    for server in servers:
        with told(f"{server.name}: mailboxes of {plan.listed}, {plan.large} and {plan.many} messages"):
            filled += _filled(figures, server, plan)
    with told("rounds of SELECT, FETCH, SEARCH, STORE, COPY"):
        take_turns(figures, mailbox_figures(plan), filled, plan, end)
    return figures


def _filled(figures: Figures, server: Server, plan: ImapPlan) -> Iterable[Server]:
    """The server, or nothing when its mailboxes could not be filled."""
    try:
        fill(figures, server, plan)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        figures.failed["filling the mailboxes", server.name] = str(error).strip()[-300:]
        print(f"\n{server.name}: {error}", file=sys.stderr)
        return []
    return [server]
