"""The one writer thread of a process: it takes every Unit that waits, runs them in one transaction and commits
once (one fsync), then wakes who waits. A Unit belongs to one account, may run again, and is idempotent.

Units run in ascending account order, so that two nodes on PostgreSQL lock in the same order (R8). If a batch
fails it is rolled back and its Units run singly, so that one bad delivery spoils nobody else's.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection

from mailserver.model.errors import Unavailable
from mailserver.model.ids import AccountId
from mailserver.store.database import Database

T = TypeVar("T")
BATCH_UNITS = 256


@dataclass(frozen=True, slots=True)
class Unit(Generic[T]):
    """Writes rows for one account. ``run`` may be called more than once."""

    account_id: AccountId
    run: Callable[[Connection], T]


@dataclass(slots=True)
class _Waiting(Generic[T]):
    unit: Unit[T]
    future: Future[T] = field(default_factory=Future)


class Writer:
    """Group commit over one Database. ``on_failure`` is told of a failed fsync: the process must end (R5)."""

    def __init__(self, database: Database, on_failure: Callable[[Unavailable], None] | None = None) -> None:
        self._database = database
        self._queue: queue.SimpleQueue[_Waiting[Any] | None] = queue.SimpleQueue()
        self._on_failure = on_failure
        self._after_commit: Callable[[Sequence[AccountId]], None] = lambda _accounts: None
        self._thread = threading.Thread(target=self._loop, name="writer", daemon=True)
        self._closed = False
        self._thread.start()

    def on_commit(self, call: Callable[[Sequence[AccountId]], None]) -> None:
        """``call`` gets the accounts of each committed batch, on the writer thread: the change feed's source."""
        self._after_commit = call

    def submit(self, unit: Unit[T]) -> Future[T]:
        """Queue a Unit. The future is done after the commit that holds it."""
        if self._closed:
            raise Unavailable("stopping")
        waiting = _Waiting(unit)
        self._queue.put(waiting)
        return waiting.future

    def commit(self, unit: Unit[T]) -> T:
        """Queue a Unit and wait for its commit (pool threads and commands; never the event loop)."""
        return self.submit(unit).result()

    def close(self) -> None:
        """Commit what waits, then stop."""
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

    def _take(self) -> tuple[list[_Waiting[Any]], bool]:
        first = self._queue.get()
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

    def _run(self, batch: list[_Waiting[Any]]) -> None:
        batch.sort(key=lambda waiting: waiting.unit.account_id)
        try:
            with self._database.write() as connection:
                results = [waiting.unit.run(connection) for waiting in batch]
        except Exception as error:  # noqa: BLE001 # whatever a Unit raises belongs to its caller
            self._failed(batch, error)
            return
        self._after_commit([waiting.unit.account_id for waiting in batch])
        for waiting, result in zip(batch, results, strict=True):
            waiting.future.set_result(result)

    def _failed(self, batch: list[_Waiting[Any]], error: Exception) -> None:
        if isinstance(error, Unavailable) and error.code == "disk-io":
            for waiting in batch:
                waiting.future.set_exception(error)
            if self._on_failure:
                self._on_failure(error)
        elif len(batch) == 1:
            batch[0].future.set_exception(error)
        else:
            for waiting in batch:
                self._run([waiting])
