"""Background work does not die unseen: a failed round is told and the next one comes; a lost task ends the worker."""

import asyncio
import logging
import os
import signal
import subprocess
import sys

import pytest

from mailserver.app.rounds import end_worker_with, keep_doing
from mailserver.app.worker import _end_in_order
from mailserver.model.errors import Unavailable


@pytest.mark.parametrize(
    ("trouble", "code"), [(RuntimeError("private"), "RuntimeError"), (Unavailable("disk"), "disk")]
)
def test_a_failed_round_is_told_and_the_next_one_comes(
    caplog: pytest.LogCaptureFixture, trouble: Exception, code: str
) -> None:
    rounds = []

    async def work() -> None:
        rounds.append(1)
        if len(rounds) == 1:
            raise trouble
        raise asyncio.CancelledError

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await keep_doing("sweep", 0, work)

    with caplog.at_level(logging.ERROR, "pli.rounds"):
        asyncio.run(run())
    assert len(rounds) == 2
    (record,) = caplog.records
    assert (record.__dict__["work"], record.__dict__["code"]) == ("sweep", code)
    assert "private" not in caplog.text


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.mark.parametrize("fails", [True, False])
def test_a_lost_task_ends_the_worker_in_order(signals: list[tuple[int, int]], fails: bool) -> None:
    async def work() -> None:
        if fails:
            raise RuntimeError

    async def run() -> None:
        task = asyncio.create_task(work())
        end_worker_with(task, "gateway")
        await asyncio.wait([task])
        await asyncio.sleep(0)

    asyncio.run(run())
    assert signals == ([(os.getpid(), signal.SIGTERM)] if fails else [])


def test_a_lost_custodian_ends_the_worker_in_order(signals: list[tuple[int, int]]) -> None:
    _end_in_order()
    assert signals == [(os.getpid(), signal.SIGTERM)]


@pytest.mark.parametrize("is_parent", [True, False])
def test_an_orphan_does_not_start(is_parent: bool) -> None:
    """The parent may die before its end is asked to be told: then nobody would ever say it."""
    call = (
        "from mailserver.app.hardening import end_with_parent; import sys; end_with_parent(int(sys.argv[1]))"
    )
    parent = os.getpid() if is_parent else 1
    done = subprocess.run([sys.executable, "-c", call, str(parent)], timeout=60, check=False)
    assert done.returncode == (0 if is_parent else 1)
