"""Kill -9 on workers and supervisor while senders are at work: what the tests of small and of large mail share."""

import json
import os
import random
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.processes import list_children

from mailserver.cli.demo_stage import Operator

SECONDS = 60


@dataclass
class Tally:
    """What each sender was told, under one lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    acknowledged: dict[str, str] = field(default_factory=dict)
    tries: int = 0
    failures: int = 0
    last_error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def told(self, kills: int) -> str:
        return f"{len(self.acknowledged)} acknowledged, {self.tries} tries, {self.failures} failed, {kills} kills"


def pli(*arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "mailserver", *arguments, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def keep_trying(send: Callable[[], None], tally: Tally) -> bool:
    """Send one message again and again until it is acknowledged; False when the time is over before."""
    while not tally.stop.is_set():
        with tally.lock:
            tally.tries += 1
        try:
            send()
        except (OSError, smtplib.SMTPException) as error:
            with tally.lock:
                tally.failures += 1
                tally.last_error = repr(error)
            tally.stop.wait(0.2)
            continue
        return True
    return False


def send_and_kill(
    operator: Operator, senders: list[Callable[[], None]], tally: Tally, kills: int, goal: int
) -> None:
    """Every sender at work while workers and supervisor are killed; the server runs at the end."""
    threads = [threading.Thread(target=each) for each in senders]
    try:
        for thread in threads:
            thread.start()
        _kill_in_turn(operator, tally, kills, goal)
    finally:
        tally.stop.set()
        for thread in threads:
            thread.join()


def _kill_in_turn(operator: Operator, tally: Tally, kills: int, goal: int) -> None:
    """A worker, then the supervisor, half and half, either worker; before each, ``goal`` more messages must get
    through, and a moment passes that is never the same.
    """
    moments = random.Random(kills)
    for number in range(kills):
        _wait_for_progress(tally, goal)
        tally.stop.wait(moments.uniform(0, 0.1))
        assert operator.process is not None
        if number % 2:
            os.kill(operator.process.pid, signal.SIGKILL)
            operator.process.wait()
            operator.start(workers=2)
        else:
            pids = list_children(operator.process.pid)
            os.kill(pids[number // 2 % len(pids)], signal.SIGKILL)


def _wait_for_progress(tally: Tally, goal: int) -> None:
    """Until so many more messages are acknowledged."""
    with tally.lock:
        until = len(tally.acknowledged) + goal
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with tally.lock:
            if len(tally.acknowledged) >= until:
                return
        tally.stop.wait(0.02)
    raise AssertionError(f"mail does not get through any more: {tally.last_error}")
