"""The supervisor of ``pli serve``: it holds the custodian and keeps the log, starts the workers, restarts what dies,
and stops all in order on SIGTERM. It touches no message and no socket of a user.
"""

import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mailserver.app.custody_link import LocalCustodian
from mailserver.app.hardening import harden_process
from mailserver.app.log_keeper import LogKeeper
from mailserver.app.ports import demand_ports
from mailserver.app.trust_lists import plan_sources
from mailserver.config import Config, demand_revocation
from mailserver.store.database import Database
from mailserver.store.migrations import upgrade

STOP_SECONDS = 26
KEEPER_SECONDS = 3
"""Workers, then the log's last round: together under 30 s (R14)."""
START_SECONDS = 60
PORT_SECONDS = 5
"""Workers of a supervisor that was killed let go of their ports as soon as they know, which is within this time."""
_RESTART_SECONDS = (0.2, 0.5, 1, 2, 5, 10)
_STEADY_SECONDS = 60
_TICK_SECONDS = 0.1
_LATER, _FAULT = 3, 70
"""Exit codes of the table in ``mailserver.cli.main``."""

logger = logging.getLogger("pli.supervisor")


@dataclass(slots=True)
class _Worker:
    index: int
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    failures: int = 0
    restart_at: float = 0.0
    is_ready: bool = False
    ready_pipe: int = -1


@dataclass(slots=True)
class Supervisor:
    """Runs ``workers`` processes over one configuration file."""

    config: Config
    config_path: Path
    workers: int
    is_stopping: bool = False
    start_code: int = 0
    """Why the server never was ready: the exit code of the worker that could not start."""
    _fleet: list[_Worker] = field(default_factory=list)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit code. Raises what ``demand_revocation``,
        ``plan_sources``, ``LocalCustodian`` and ``demand_ports`` do.
        """
        demand_revocation(self.config, self.config_path)
        plan_sources(self.config)  # what the workers would stumble over
        harden_process()
        local = LocalCustodian(self.config)
        try:
            demand_ports(self.config.listen, PORT_SECONDS)
            return self._serve(local)
        finally:
            local.close()

    def _serve(self, local: LocalCustodian) -> int:
        listener = local.listen(self.config.keys_folder)
        database = Database(self.config.database_url)
        upgrade(database)
        database.close()
        keeper = LogKeeper(self.config, local, datetime.now(UTC))
        keeper.start()
        wake = self._watch_signals()
        self._fleet = [_Worker(index) for index in range(self.workers)]
        try:
            for worker in self._fleet:
                self._start(worker, local)
            self._await_ready()
            while not self.is_stopping:
                self._look_after(local)
                select.select([wake], [], [], _TICK_SECONDS)
            return self._stop()
        finally:
            keeper.stop(KEEPER_SECONDS)
            listener.close()

    def _watch_signals(self) -> int:
        """Signals set a flag and wake the loop through a pipe."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer)

        def stop(_number: int, _frame: object) -> None:
            self.is_stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        return reader

    def _start(self, worker: _Worker, local: LocalCustodian) -> None:
        ours, theirs = socket.socketpair()
        ours_for_logins, theirs_for_logins = socket.socketpair()
        reader, writer = os.pipe()
        os.set_inheritable(writer, True)
        command = [
            sys.executable,
            "-m",
            "mailserver",
            "worker",
            "-c",
            str(self.config_path),
            "--index",
            str(worker.index),
            "--custody-descriptor",
            str(theirs.fileno()),
            "--login-descriptor",
            str(theirs_for_logins.fileno()),
            "--ready-descriptor",
            str(writer),
        ]
        worker.process = subprocess.Popen(  # noqa: S603 # our own interpreter and arguments
            command,
            pass_fds=(theirs.fileno(), theirs_for_logins.fileno(), writer),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        theirs_for_logins.close()
        os.close(writer)
        worker.ready_pipe, worker.is_ready = reader, False
        worker.started_at = time.monotonic()
        local.serve(ours, administrator=False)
        local.serve(ours_for_logins, administrator=False)

    def _await_ready(self) -> None:
        """Say ``ready`` once every worker listens; a worker that cannot start ends the server."""
        deadline = time.monotonic() + START_SECONDS
        while not self.is_stopping and not all(worker.is_ready for worker in self._fleet):
            for worker in self._fleet:
                self._read_ready(worker)
                if worker.process is not None and worker.process.poll() is not None:
                    code = worker.process.returncode
                    logger.error("a worker could not start", extra={"code": code})
                    self.start_code = code if code > 0 else _FAULT  # negative: a signal ended it
                    self.is_stopping = True
            if time.monotonic() > deadline:
                logger.error("workers are not ready in time")
                self.start_code = _LATER
                self.is_stopping = True
        if not self.is_stopping:
            logger.info("ready", extra={"workers": self.workers})

    def _read_ready(self, worker: _Worker) -> None:
        if worker.ready_pipe >= 0 and select.select([worker.ready_pipe], [], [], 0.02)[0]:
            worker.is_ready = os.read(worker.ready_pipe, 1) == b"R"
            os.close(worker.ready_pipe)
            worker.ready_pipe = -1

    def _look_after(self, local: LocalCustodian) -> None:
        now = time.monotonic()
        for worker in self._fleet:
            self._read_ready(worker)
            process = worker.process
            if process is not None and process.poll() is not None:
                steady = now - worker.started_at > _STEADY_SECONDS
                worker.failures = 0 if steady else worker.failures + 1
                delay = _RESTART_SECONDS[min(worker.failures, len(_RESTART_SECONDS) - 1)]
                logger.error("a worker ended", extra={"code": process.returncode, "again_in_seconds": delay})
                worker.process, worker.restart_at = None, now + delay
            elif process is None and now >= worker.restart_at:
                self._start(worker, local)

    def _stop(self) -> int:
        """SIGTERM to every worker, then wait for them (R14)."""
        logger.info("stopping")
        running = [worker.process for worker in self._fleet if worker.process is not None]
        failed = any(process.poll() not in {None, 0} for process in running)
        for process in running:
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.error("a worker did not stop in time")  # noqa: TRY400 # no trace of use
                process.kill()
                process.wait()
                failed = True
        logger.info("stopped")
        return self.start_code or (1 if failed else 0)
