"""Pool: the threads that blocking work hops to, off the event loop.

Of the threads that rest, the one that worked last is taken first: few are awake at a time, so that they seldom wait for one
another's interpreter lock, and their memory is warm. A hop is an asyncio future and nothing more; ``submit`` gives the
standard library's, for those who wait in threads.
"""

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")
_Run = Callable[[], None]
"""Never raises."""


class Committing(Protocol):
    """What work hands over before it is durable."""

    @property
    def commits(self) -> Sequence[Future[Any]]: ...


C = TypeVar("C", bound=Committing | None)


class Pool(Executor):
    """At most so many ``threads``, each started when it is first needed."""

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._gate = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._resting: list[SimpleQueue[_Run | None]] = []
        self._waiting: deque[_Run] = deque()
        self._is_closed = False

    def hop(self, work: Callable[[*Arguments], T], *args: *Arguments) -> "asyncio.Future[T]":
        """Run ``work`` in a thread; from an event loop, which gets its result or what it raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                result = work(*args)
            except BaseException as error:  # noqa: BLE001 # whatever it is belongs to who waits
                _post(loop, _fail, future, error)
            else:
                _post(loop, _succeed, future, result)

        self._start(run)
        return future

    def hop_until_committed(self, work: Callable[[*Arguments], C], *args: *Arguments) -> "asyncio.Future[C]":
        """As ``hop``; the future is done when all the commits that ``work`` gives are, with the first of their errors if any
        failed. The thread does not wait for them, and the event loop is woken once.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[C] = loop.create_future()

        def run() -> None:
            try:
                result = work(*args)
            except BaseException as error:  # noqa: BLE001 # as above
                _post(loop, _fail, future, error)
                return
            commits = () if result is None else result.commits
            if not commits:
                _post(loop, _succeed, future, result)
                return
            # next() of a count is one step of the interpreter: commits may be done on another thread meanwhile
            done, last = itertools.count(1), len(commits)

            def note(_commit: Future[Any]) -> None:
                if next(done) == last:
                    errors = filter(None, (commit.exception() for commit in commits))
                    error = next(errors, None)
                    if error is None:
                        _post(loop, _succeed, future, result)
                    else:
                        _post(loop, _fail, future, error)

            for commit in commits:
                commit.add_done_callback(note)

        self._start(run)
        return future

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """The standard way, for ``loop.run_in_executor`` and for threads that wait."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = fn(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 # as above
                future.set_exception(error)
            else:
                future.set_result(result)

        self._start(run)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002 # Executor's form
        """Take nothing more. What waits is still done."""
        with self._gate:
            self._is_closed = True
            for box in self._resting:
                box.put(None)
            self._resting.clear()
        if wait:
            for thread in self._threads:
                thread.join()

    def _start(self, run: _Run) -> None:
        with self._gate:
            if self._is_closed:
                raise RuntimeError("the pool is closed")
            if self._resting:
                box = self._resting.pop()
            else:
                found = self._add_thread() if len(self._threads) < self._most else None
                if found is None:
                    self._waiting.append(run)
                    return
                box = found
        box.put(run)

    def _add_thread(self) -> "SimpleQueue[_Run | None] | None":
        """None when the system gives no thread and others work. RuntimeError when there is no other."""
        box: SimpleQueue[_Run | None] = SimpleQueue()
        name = f"{self._name}_{len(self._threads)}"
        thread = threading.Thread(target=self._work, args=(box,), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            if not self._threads:
                raise
            return None
        self._threads.append(thread)
        return box

    def _work(self, box: "SimpleQueue[_Run | None]") -> None:
        run = box.get()
        while run is not None:
            run()
            run = self._next(box)  # and nothing of what was done is kept while the thread rests
            if run is None:
                run = box.get()

    def _next(self, box: "SimpleQueue[_Run | None]") -> _Run | None:
        """What waits, if anything does; else this thread rests."""
        with self._gate:
            if self._waiting:
                return self._waiting.popleft()
            if self._is_closed:
                box.put(None)
            else:
                self._resting.append(box)
            return None


def _post(loop: asyncio.AbstractEventLoop, settle: Callable[..., None], *args: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(settle, *args)


def _succeed(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # who waited was cancelled
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if isinstance(error, StopIteration):  # which no future takes
        error = RuntimeError("work raised StopIteration")
    if not future.done():  # as above
        future.set_exception(error)
