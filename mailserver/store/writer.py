"""The one writer thread of a process: it takes every Unit that waits, runs them in one transaction and commits
once (one fsync), then wakes who waits. A Unit belongs to one account, may run again, and is idempotent.

Units run in ascending account order, so that two nodes on PostgreSQL lock in the same order (R8). If a batch
fails it is rolled back and its Units run singly, so that one bad delivery spoils nobody else's.
After a failed fsync nothing more is written: what is on disk is known again only after a restart (R5).
What a Unit deleted is gone from SQLite's log a second after one that shreds, a minute after any other at the
latest (K18): the writer empties the log when it is idle, or between two batches when it never is.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from mailserver.model.errors import Unavailable
from mailserver.model.ids import NOBODY, AccountId
from mailserver.store.accounts import lock_accounts
from mailserver.store.database import Database
from mailserver.store.news import News, take_news

T = TypeVar("T")
BATCH_UNITS = 256
IDLE_SECONDS = 1.0
REMANENCE_SECONDS = 60.0
RETRY_SECONDS = 5.0

logger = logging.getLogger("pli.writer")


@dataclass(frozen=True, slots=True)
class Unit(Generic[T]):
    """Writes rows for one account. ``run`` may be called more than once. ``shreds``: keys leave with it (K18)."""

    account_id: AccountId
    run: Callable[[Connection], T]
    shreds: bool = False


@dataclass(slots=True)
class _Waiting(Generic[T]):
    unit: Unit[T]
    future: Future[T] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # An edge whose connection closes cancels what it awaits: a queued Unit runs all the same.
        self.future.set_running_or_notify_cancel()


class Writer:
    """Group commit over one Database. ``on_failure`` is told of a failed fsync: the process must end (R5)."""

    def __init__(self, database: Database, on_failure: Callable[[Unavailable], None] | None = None) -> None:
        self._database = database
        self._queue: queue.SimpleQueue[_Waiting[Any] | None] = queue.SimpleQueue()
        self._on_failure = on_failure
        self._after_commit: Callable[[Sequence[AccountId]], None] = lambda _accounts: None
        self._after_recipients: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._loop, name="writer", daemon=True)
        self._gate = threading.Lock()
        self._closed = False
        self._failure: str | None = None
        self._truncate_at: float | None = None
        self._has_shredded = False
        self._thread.start()

    def on_commit(self, call: Callable[[Sequence[AccountId]], None]) -> None:
        """``call`` gets the accounts of each committed batch, on the writer thread: the change feed's source. NOBODY is
        among them when the queue was changed.
        """
        self._after_commit = call

    def on_recipients(self, call: Callable[[], None]) -> None:
        """``call`` is told of each commit of this process that changed who takes mail or who is away, before its Unit's
        future is done; on the writer thread, and must not fail.
        """
        self._after_recipients = call

    def submit(self, unit: Unit[T]) -> Future[T]:
        """Queue a Unit. The future is done after the commit that holds it."""
        waiting = _Waiting(unit)
        with self._gate:
            if self._closed:
                raise Unavailable("stopping")
            self._queue.put(waiting)
        return waiting.future

    def commit(self, unit: Unit[T]) -> T:
        """Queue a Unit and wait for its commit (pool threads and commands; never the event loop)."""
        return self.submit(unit).result()

    def close(self) -> None:
        """Commit what waits, then stop."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _loop(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._take()
            if batch:
                self._run(batch)
            if self._truncate_at is not None and (not open_ or time.monotonic() >= self._truncate_at):
                self._truncate()

    def _take(self) -> tuple[list[_Waiting[Any]], bool]:
        try:
            first = self._queue.get(timeout=self._patience())
        except queue.Empty:
            self._truncate_at = time.monotonic()
            return [], True
        if first is None:
            return [], False
        batch = [first]
        while len(batch) < BATCH_UNITS:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                return batch, False
            batch.append(waiting)
        return batch, True

    def _patience(self) -> float | None:
        """How long to wait for a Unit before the log is emptied; None while nothing was written."""
        if self._truncate_at is None:
            return None
        left = max(0.0, self._truncate_at - time.monotonic())
        return min(left, IDLE_SECONDS) if self._has_shredded else left

    def _truncate(self) -> None:
        """Empty SQLite's log; again in a while when a reader holds it."""
        self._has_shredded, self._truncate_at = False, None
        if self._failure is not None:
            return
        try:
            is_done = self._database.truncate_log()
        except Unavailable as error:
            self._failed([], error)
            return
        except Exception:
            logger.exception("the write-ahead log is not emptied")
            is_done = False
        if not is_done:
            self._truncate_at = time.monotonic() + RETRY_SECONDS

    def _run(self, batch: list[_Waiting[Any]]) -> None:
        if self._failure is not None:
            for waiting in batch:
                waiting.future.set_exception(Unavailable(self._failure))
            return
        batch.sort(key=lambda waiting: waiting.unit.account_id)
        try:
            with self._database.write() as connection:
                if not self._database.is_sqlite:
                    lock_accounts(connection, {waiting.unit.account_id for waiting in batch})
                results = [waiting.unit.run(connection) for waiting in batch]
                news = take_news(connection)
        except Exception as error:  # noqa: BLE001 # whatever a Unit raises belongs to its caller
            self._failed(batch, error)
            return
        if self._truncate_at is None:
            self._truncate_at = time.monotonic() + REMANENCE_SECONDS
        self._has_shredded = self._has_shredded or any(waiting.unit.shreds for waiting in batch)
        if News.RECIPIENTS in news:
            self._after_recipients()
        told = [NOBODY] if News.QUEUE in news else []
        self._tell([*told, *(waiting.unit.account_id for waiting in batch)])
        for waiting, result in zip(batch, results, strict=True):
            waiting.future.set_result(result)

    def _tell(self, accounts: Sequence[AccountId]) -> None:
        """A lost wake-up costs delay, never mail, and never the writer."""
        try:
            self._after_commit(accounts)
        except Exception:
            logger.exception("the change feed failed")

    def _failed(self, batch: list[_Waiting[Any]], error: Exception) -> None:
        if isinstance(error, Unavailable) and error.code == "disk-io":
            self._failure = error.code
            for waiting in batch:
                waiting.future.set_exception(error)
            if self._on_failure:
                self._on_failure(error)
        elif len(batch) == 1:
            batch[0].future.set_exception(error)
        else:
            for waiting in batch:
                self._run([waiting])
