"""The pool: hops, commits that are waited for off the thread, warm threads first, an end that loses nothing."""

import asyncio
import gc
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import pytest

from mailserver.pool import Pool

SECONDS = 10


@dataclass
class Verdict:
    commits: list[Future[int]] = field(default_factory=list)


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(3, "test") as made:
        yield made


def fail(error: BaseException) -> None:
    raise error


def test_a_hop_gives_what_work_gives(pool: Pool) -> None:
    async def run() -> None:
        assert await pool.hop(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await pool.hop(divmod, 7, 0)
        with pytest.raises(KeyboardInterrupt):
            await pool.hop(fail, KeyboardInterrupt())
        with pytest.raises(RuntimeError, match="StopIteration"):
            await pool.hop(next, iter(()))

    asyncio.run(run())


def test_the_thread_that_worked_last_works_next(pool: Pool) -> None:
    async def run() -> list[str]:
        gate = threading.Barrier(3)
        await asyncio.gather(*(pool.hop(gate.wait, SECONDS) for _ in range(3)))
        return [await pool.hop(lambda: threading.current_thread().name) for _ in range(20)]

    # the last of the three rests on top; a thread that has just posted may not rest yet when the next hop comes
    assert max(Counter(asyncio.run(run())).values()) >= 10


def test_more_work_than_threads_waits(pool: Pool) -> None:
    gate, begun = threading.Event(), threading.Semaphore(0)

    def wait(number: int) -> int:
        begun.release()
        assert gate.wait(SECONDS)
        return number

    async def run() -> list[int]:
        hops = [pool.hop(wait, number) for number in range(50)]
        for _ in range(3):
            assert await asyncio.to_thread(begun.acquire, timeout=SECONDS)
        assert not begun.acquire(blocking=False)
        gate.set()
        return await asyncio.gather(*hops)

    assert asyncio.run(run()) == list(range(50))


def test_commits_are_waited_for_without_a_thread(pool: Pool) -> None:
    verdict = Verdict([Future(), Future()])
    for commit in verdict.commits:
        commit.set_running_or_notify_cancel()

    async def run() -> None:
        waits = [
            pool.hop_until_committed(lambda: verdict) for _ in range(5)
        ]  # two more than there are threads
        assert [await pool.hop(int, "3") for _ in range(3)] == [3, 3, 3]
        verdict.commits[1].set_result(1)
        assert await pool.hop(int, "4") == 4
        assert not any(wait.done() for wait in waits)
        verdict.commits[0].set_result(0)
        assert await asyncio.wait_for(asyncio.gather(*waits), SECONDS) == [verdict] * 5
        assert await pool.hop_until_committed(lambda: verdict) is verdict, "done before it is asked for"
        nothing = Verdict()
        assert await pool.hop_until_committed(lambda: nothing) is nothing

    asyncio.run(run())


def test_the_first_failed_commit_is_raised_when_all_are_over(pool: Pool) -> None:
    done: list[Future[int]] = [Future() for _ in range(3)]
    done[2].set_exception(ValueError("third"))
    done[1].set_exception(KeyError("second"))

    async def run() -> None:
        wait = pool.hop_until_committed(Verdict, done)
        assert await pool.hop(int, "5") == 5
        assert not wait.done()
        done[0].set_result(1)
        with pytest.raises(KeyError):
            await asyncio.wait_for(wait, SECONDS)
        with pytest.raises(OSError, match="disk"):
            await pool.hop_until_committed(fail_with_disk)

    asyncio.run(run())


def fail_with_disk() -> Verdict:
    raise OSError("disk")


def test_who_stopped_waiting_is_left_alone(pool: Pool) -> None:
    gate = threading.Event()

    async def run() -> None:
        wait = pool.hop(gate.wait, SECONDS)
        wait.cancel()
        gate.set()
        assert await pool.hop(int, "6") == 6
        with pytest.raises(asyncio.CancelledError):
            await wait

    asyncio.run(run())


def test_the_standard_way(pool: Pool) -> None:
    assert pool.submit(int, "ff", base=16).result(SECONDS) == 255
    with pytest.raises(ValueError, match="invalid literal"):
        pool.submit(int, "no").result(SECONDS)

    async def run() -> int:
        return await asyncio.get_running_loop().run_in_executor(pool, int, "7")

    assert asyncio.run(run()) == 7


def test_the_end_does_what_waits_and_takes_nothing_more() -> None:
    pool, gate, done = Pool(1, "test"), threading.Event(), []
    pool.submit(gate.wait, SECONDS)
    for number in range(3):
        pool.submit(done.append, number)
    pool.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        pool.submit(int)
    gate.set()
    pool.shutdown()
    assert done == [0, 1, 2]
    assert not any(thread.is_alive() for thread in pool._threads)


def test_a_thread_that_the_system_does_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work waits for another one; without any other its caller is told, and the next one tries again."""
    start, refused = threading.Thread.start, [True]

    def may_start(thread: threading.Thread) -> None:
        if refused[0]:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", may_start)
    with Pool(2, "test") as pool:
        with pytest.raises(RuntimeError, match="new thread"):
            pool.submit(int)
        refused[0] = False
        gate = threading.Event()
        first = pool.submit(gate.wait, SECONDS)
        refused[0] = True
        second = pool.submit(int, "2")
        gate.set()
        assert (first.result(SECONDS), second.result(SECONDS)) == (True, 2)
        refused[0] = False
        assert len(pool._threads) == 1


def test_work_is_forgotten_when_it_is_done(pool: Pool) -> None:
    class Thing:
        pass

    thing = Thing()
    seen = weakref.ref(thing)
    assert pool.submit(lambda held: None, thing).result(SECONDS) is None
    del thing
    assert pool.submit(int).result(SECONDS) == 0
    gc.collect()
    assert seen() is None
