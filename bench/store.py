"""Deliveries a second into the store: from a message's first octet to the commit that makes it ours to keep.

``python -m bench.store FOLDER`` measures in this process and prints JSON. A file whose name starts with ``mark``
is synchronised before and after each measurement, so that a trace of fsync calls can be cut there.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.operators import OURS, PEER, SENDER, Operators, add_accounts, make_operators
from bench.samples import Pool
from mailserver.app.services import Services, build_services
from mailserver.config import load_config
from mailserver.crypto.custodian import Custodian
from mailserver.mime.trace import Hop
from mailserver.model.address import parse_address
from mailserver.service.receive import PeerEnvelope, Recipient
from mailserver.store.database import Database
from mailserver.store.migrations import upgrade

MESSAGE_BYTES = 4096
ACCOUNTS = 100
IN_FLIGHT = (1, 10)


@dataclass(frozen=True, slots=True)
class Target:
    """The services under measure with what every delivery needs."""

    services: Services
    envelopes: list[PeerEnvelope]
    pool: Pool

    def deliver(self, number: int) -> None:
        """One message as the reception edge hands it in: returns after the commit."""
        now = datetime.now(UTC)
        reception = self.services.reception
        envelope = self.envelopes[number % len(self.envelopes)]
        hop = Hop(PEER, "127.0.0.1", OURS, "ESMTPS", f"bench{number}")
        intake = reception.begin(hop, envelope.sender, now)
        try:
            intake.write(self.pool.next_message())
            intake.finish()
            verdict = reception.accept(envelope, intake, now)
            assert verdict.decision.accepted, verdict.decision
            for commit in verdict.commits:
                commit.result()
        finally:
            intake.close()


def open_target(operators: Operators, services: Services, addresses: list[str]) -> Target:
    now = datetime.now(UTC)
    sender = parse_address(SENDER)
    envelopes = []
    for address in addresses:
        decision, recipient = services.reception.decide_recipient(parse_address(address), 0, now)
        assert decision.accepted, decision
        assert isinstance(recipient, Recipient)
        envelopes.append(PeerEnvelope(operators.peer_dn, sender, (recipient,)))
    return Target(services, envelopes, Pool(MESSAGE_BYTES, SENDER, addresses[0]))


def measure(target: Target, in_flight: int, count: int) -> dict[str, float]:
    """``count`` deliveries, ``in_flight`` at once: rate and this process's CPU a message."""
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(target.deliver, range(in_flight * 2)))
        cpu, start = time.process_time(), time.perf_counter()
        list(pool.map(target.deliver, range(count)))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {"per_second": round(count / wall, 1), "cpu_us": round(cpu / count * 1e6, 1)}


def _mark(folder: Path, name: str) -> None:
    descriptor = os.open(folder / f"mark-{name}", os.O_CREAT | os.O_WRONLY, 0o600)
    os.fdatasync(descriptor)
    os.close(descriptor)


def measure_store(folder: Path, count: int, database: str = "") -> dict[str, dict[str, float]]:
    """Both measurements on a fresh store under ``folder``; ``database`` is a PostgreSQL URL, or empty for SQLite."""
    if database:
        os.environ["PLI_STORE_DATABASE"] = database
        made = Database(database)
        upgrade(made)
        made.close()
    operators = make_operators(folder)
    addresses = list(add_accounts(operators.config, [f"u{number:04}" for number in range(ACCOUNTS)]))
    config = load_config(operators.config)
    custodian = Custodian.open(config.keys_folder)
    services = build_services(config, custodian)
    try:
        target = open_target(operators, services, addresses)
        found = {}
        for in_flight in IN_FLIGHT:
            _mark(folder, str(in_flight))
            found[str(in_flight)] = measure(target, in_flight, count)
        _mark(folder, "end")
    finally:
        services.close()
        custodian.close()
    return found


def run_store(
    folder: Path, count: int, database: str = "", trace: Path | None = None
) -> dict[str, dict[str, float]]:
    """``measure_store`` in a process of its own, under strace when ``trace`` names where its lines go."""
    folder.mkdir(parents=True)
    command = [
        sys.executable,
        "-m",
        "bench.store",
        str(folder),
        "--count",
        str(count),
        "--database",
        database,
    ]
    if trace is not None:
        command = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace), *command]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"the store was not measured: {done.stderr.strip()[-1500:]}")
    shutil.rmtree(folder)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def count_store_syncs(folder: Path, count: int) -> dict[str, float]:
    """fsync and fdatasync calls a message, by messages in flight."""
    trace = folder / "syncs.trace"
    run_store(folder / "traced", count, trace=trace)
    current, calls = "", dict.fromkeys([*map(str, IN_FLIGHT), "end"], 0)
    for line in trace.read_text(errors="replace").splitlines():
        if "/mark-" in line:
            current = line.split("/mark-", 1)[1].split(">", 1)[0]
        elif current and ("fsync(" in line or "fdatasync(" in line):
            calls[current] += 1
    # The messages that warm up are synchronised too.
    return {name: round(calls[name] / (count + int(name) * 2), 2) for name in map(str, IN_FLIGHT)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--database", default="")
    options = parser.parse_args()
    print(json.dumps(measure_store(options.folder, options.count, options.database)))


if __name__ == "__main__":
    main()
