"""The queue under kill -9 with a peer that fails at every step: nothing is lost, a crash after DATA sends at most one
message of each connection again, and the timeline explains each.
"""

import os
import random
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from faults.flaky_peer import FlakyPeer, Taken
from faults.queue_worker import Workers
from harness.node import Node, make_node
from harness.smtp_harness import inbox
from service.gateway_node import context_of, make_authority

from mailserver.app import build_services
from mailserver.crypto.custodian import Custodian
from mailserver.model.address import parse_address
from mailserver.model.dsn import Notify, RecipientAsk
from mailserver.model.ids import JobId
from mailserver.service.outbound import RelayOrder
from mailserver.service.sealing import seal_octets
from mailserver.store import jobs
from mailserver.store.items import add_blob
from mailserver.store.jobs import AttemptRow, JobState
from mailserver.store.writer import Unit

KILLS = 200
JOBS = 200
ROUND_SECONDS = 130
"""A lease ends within it; no job is tried twice in it."""
PATIENCE_SECONDS = 0.8
"""For an event that does not come: the worker is killed where it is then."""
SENDER = "camille@a.localhost"
MESSAGE = f"From: {SENDER}\r\nSubject: Radio\r\nMessage-ID: <un@a.localhost>\r\n\r\nBonjour.\r\n".encode()
EVENTS = ("connected", "secured", "mail", "data", "taken", "taken", "taken", "answered", "answered", "")
"""Where a worker is killed; the empty one is some moment."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


def name_of(number: int) -> str:
    return f"r{number}@b.localhost"


def fill_queue(node: Node, count: int, now: datetime) -> tuple[str, dict[str, JobId]]:
    """One message to ``count`` recipients, every tenth with a wish for news of success. The sender's app password, and
    which job is whose.
    """
    made = node.add(SENDER)
    services = node.services
    blob = seal_octets(MESSAGE)
    rows = []
    for number in range(count):
        ask = RecipientAsk(frozenset({Notify.SUCCESS})) if number % 10 == 0 else RecipientAsk()
        recipient = parse_address(name_of(number))
        order = RelayOrder(
            parse_address(SENDER), recipient, blob.data_key, len(MESSAGE), 0, "<un@a.localhost>", ask=ask
        )
        rows.append(services.outbound.relay_job(made.account_id, order, blob.row.blob_id, now))

    def run(connection) -> None:
        add_blob(connection, made.account_id, blob.row)
        services.store.jobs.add_jobs(connection, rows)

    services.store.writer.commit(Unit(made.account_id, run))
    assert made.app_password is not None
    return made.app_password, {name_of(number): row.job_id for number, row in enumerate(rows)}


class Killer:
    """Kills the worker of a round at an event of the peer's, or when its time is over."""

    def __init__(self, peer: FlakyPeer, generator: random.Random) -> None:
        self._peer, self._random = peer, generator
        self._lock = threading.Lock()
        self._pid = self._left = 0
        self._event = ""
        self._killed = threading.Event()
        peer.on_event = self._hear

    def _hear(self, event: str) -> None:
        """In the peer's thread, before its next octet leaves."""
        with self._lock:
            if not self._pid or event != self._event:
                return
            self._left -= 1
            if self._left <= 0:
                self._kill()

    def _kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._pid = 0
        self._killed.set()

    def run_round(self, workers: Workers, number: int, now: datetime) -> bool:
        """Whether the worker ended by the kill."""
        self._peer.round = number
        self._killed.clear()
        with self._lock:
            pid = workers.start(f"w{number}", now)
            self._pid, self._event = pid, self._random.choice(EVENTS)
            self._left = self._random.randint(1, 2)
        patience = PATIENCE_SECONDS if self._event else self._random.uniform(0.0, 0.2)
        if not self._killed.wait(patience):
            with self._lock:
                if self._pid:
                    self._kill()
        status = workers.wait(pid)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_two_hundred_kills(tmp_path: Path, authority: Path) -> None:
    node = make_node(tmp_path, authority=authority)
    start = datetime.now(UTC).replace(microsecond=0)
    app_password, job_of = fill_queue(node, JOBS, start)
    node.close()
    began, errors = time.monotonic(), tmp_path / "errors"
    with FlakyPeer(context_of(authority, "b.localhost"), seed=7).running() as peer:
        workers = Workers(node.folder / "pli.toml", peer.port, errors)
        killer = Killer(peer, random.Random(11))
        try:
            kills = sum(
                killer.run_round(workers, number, start + timedelta(seconds=ROUND_SECONDS * number))
                for number in range(KILLS)
            )
            finish(workers, peer, start)
        finally:
            workers.close()
    seconds = time.monotonic() - began
    assert errors.read_bytes() == b""
    with reopened(node) as node:
        timelines = read_timelines(node)
        told = [octets for octets in inbox(node, SENDER, app_password) if b"Action: relayed\r\n" in octets]
    again = explain(peer, {name: timelines[job_id] for name, job_id in job_of.items()}, start)
    crashes = [taken for taken, end in again if end == "interrupted"]
    of_connections = Counter((each.round, each.connection) for each in crashes)
    print(
        f"{kills} kills in {seconds:.0f} s, {JOBS} jobs, {len(again)} copies more, {len(crashes)} of them by a crash"
    )
    assert kills >= KILLS
    assert len(peer.taken) == JOBS + len(again)
    assert len(crashes) > 5, "hardly a worker was killed after DATA: this proves nothing"
    assert set(of_connections.values()) == {1}, "a crash sent more than one message of a connection again"
    assert len(told) == JOBS // 10, "each news of success once"


def finish(workers: Workers, peer: FlakyPeer, start: datetime) -> None:
    """Let the queue run dry: no more kills, a peer in a good mood, time for every delay."""
    peer.on_event = lambda _event: None
    peer.moods = {"sound": 1}
    peer.round = KILLS
    for wait in range(4):
        later = start + timedelta(seconds=ROUND_SECONDS * KILLS, hours=2 * wait)
        pid = workers.start("last", later, drains=True)
        assert workers.wait(pid) == 0


@contextmanager
def reopened(node: Node) -> Iterator[Node]:
    config = node.services.config
    custodian = Custodian.open(config.keys_folder)
    again = Node(node.folder, custodian, build_services(config, custodian))
    yield again
    again.close()


def read_timelines(node: Node) -> dict[JobId, list[AttemptRow]]:
    """Every job's; each was sent and has forgotten its order."""
    store = node.services.store
    with store.database.read() as connection:
        rows = store.jobs.list_jobs(connection)
        assert {(row.state, row.order) for row in rows} == {(JobState.DONE, b"")}, "something is lost"
        found: dict[JobId, list[AttemptRow]] = defaultdict(list)
        for each in jobs.list_attempts(connection, [row.job_id for row in rows]):
            found[each.job_id].append(each)
    return found


def explain(
    peer: FlakyPeer, timelines: dict[str, list[AttemptRow]], start: datetime
) -> list[tuple[Taken, str]]:
    """Each copy but a recipient's last, with the line of the timeline that tells of it. Fails for a copy that no line
    tells of.
    """
    begins_at = int(start.timestamp())
    copies: dict[str, list[Taken]] = defaultdict(list)
    for each in peer.taken:
        copies[each.recipient].append(each)
    assert copies.keys() == timelines.keys(), "something was never sent"
    again: list[tuple[Taken, str]] = []
    for name, taken in copies.items():
        lines = [(round_of(each.at, begins_at), each.result) for each in timelines[name]]
        ends = find_ends([each.round for each in taken], lines)
        assert ends is not None, f"{taken} is not explained by {lines}"
        assert ends.pop() == "delivered"
        again += zip(taken, ends, strict=False)
    return again


def round_of(at: int, begins_at: int) -> int:
    return min((at - begins_at) // ROUND_SECONDS, KILLS)


def find_ends(rounds: Sequence[int], lines: Sequence[tuple[int, str]]) -> list[str] | None:
    """For each copy that the peer took, the line that ends its attempt; None when there is not one for each."""
    ends, place = [], 0
    for taken in rounds:
        while place < len(lines) and not ends_attempt(taken, lines[place]):
            place += 1
        if place == len(lines):
            return None
        ends.append(lines[place][1])
        place += 1
    return ends


def ends_attempt(taken: int, line: tuple[int, str]) -> bool:
    """An outcome is written in the round of its attempt; that a worker died is seen in a later one."""
    number, result = line
    if result == "interrupted":
        return number > taken
    return number == taken and result in {"delivered", "link-lost"}


def test_two_workers_share_the_queue(tmp_path: Path, authority: Path) -> None:
    """Two processes at once: each job is tried by one of them, once."""
    node = make_node(tmp_path, authority=authority)
    now = datetime.now(UTC).replace(microsecond=0)
    fill_queue(node, JOBS, now)
    node.close()
    with FlakyPeer(context_of(authority, "b.localhost"), seed=1, moods={"sound": 1}).running() as peer:
        workers = Workers(node.folder / "pli.toml", peer.port, tmp_path / "errors")
        try:
            pids = [workers.start(name, now, drains=True) for name in ("one", "two")]
            assert [workers.wait(pid) for pid in pids] == [0, 0]
        finally:
            workers.close()
    assert (tmp_path / "errors").read_bytes() == b""
    assert sorted(each.recipient for each in peer.taken) == sorted(name_of(number) for number in range(JOBS))
    assert {each.caller for each in peer.taken} == {"one.a.localhost", "two.a.localhost"}
    with reopened(node) as node:
        results = [[each.result for each in lines] for lines in read_timelines(node).values()]
    assert results == [["delivered"]] * JOBS
