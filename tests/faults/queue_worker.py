"""Processes that only work the outbound queue, made by fork from one that has loaded everything: ``Workers`` is the
test's hand on them. A worker's clock starts where it is told, so that leases and delays pass without waiting.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

from mailserver.app import build_services
from mailserver.config import Config, load_config
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.secret import random_id
from mailserver.gateway.peer_connection import PeerCalls, PeerContext
from mailserver.gateway.routes import Routes
from mailserver.gateway.worker import GatewayWorker
from mailserver.service.relay import RelayQueue
from mailserver.tls.contexts import PeerFiles

TESTS = Path(__file__).parents[1]


class Workers:
    """The parent process at the other end of a pipe."""

    def __init__(self, config: Path, port: int, errors: Path) -> None:
        paths = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
        with errors.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(config), str(port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                text=True,
                bufsize=1,
                env=os.environ | {"PYTHONPATH": paths},
            )
        self._ask("ready")

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        return int(self._process.stdout.readline())

    def start(self, name: str, now: datetime, *, drains: bool = False) -> int:
        """A worker's process id. ``drains``: it ends once nothing is due."""
        return self._ask(f"start {name} {now.isoformat()} {int(drains)}")

    def wait(self, pid: int) -> int:
        """The wait status of a worker that has ended or soon will."""
        return self._ask(f"wait {pid}")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()


def work(config: Config, custodian: Custodian, port: int, words: list[str]) -> None:
    name, start, drains = words
    services = build_services(config, custodian)
    began, begins_at = time.monotonic(), datetime.fromisoformat(start)

    def clock() -> datetime:
        return begins_at + timedelta(seconds=time.monotonic() - began)

    tls = config.tls
    files = PeerFiles(
        config.path(tls.peer_certificate), config.path(tls.peer_key), config.path(tls.peer_authority)
    )
    routes = Routes({"b.localhost": f"127.0.0.1:{port}"})
    with ThreadPoolExecutor(4) as pool:
        context, peers = PeerContext(files), services.peers
        calls = PeerCalls(f"{name}.a.localhost", context, routes, services.trust, peers, clock, pool)
        queue = RelayQueue(services.store, services.outbound, services.reports, random_id())
        worker = GatewayWorker(queue, calls, None, clock, pool)
        asyncio.run(drain(worker) if drains == "1" else worker.run())
    services.close()


async def drain(worker: GatewayWorker) -> None:
    while await worker.run_due():
        pass


def main() -> None:
    """Forks for as long as the pipe is open. No thread runs here, so a fork is whole."""
    logging.basicConfig(level=logging.ERROR)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config, port = load_config(Path(sys.argv[1])), int(sys.argv[2])
    custodian = Custodian.open(config.keys_folder)
    for line in sys.stdin:
        verb, *words = line.split()
        match verb:
            case "start":
                answer = os.fork()
                if answer == 0:
                    try:
                        work(config, custodian, port, words)
                    except BaseException:
                        logging.getLogger("worker").exception("worker")
                        os._exit(70)
                    os._exit(0)
            case "wait":
                answer = os.waitpid(int(words[0]), 0)[1]
            case _:
                answer = 0
        print(answer, flush=True)


if __name__ == "__main__":
    main()
