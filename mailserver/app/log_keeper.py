"""The log's keeper: a thread of the supervisor, beside the custodian, that sequences what the workers' acts wrote.

It opens the store for itself and reads rows of the log only. It tells the custodian whether the log keeps up (K7):
entries that wait over 120 s, a log that cannot be looked at for as long, or a fork mean that nothing is released.
"""

import logging
import threading
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Protocol

from mailserver.config import Config
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Conflict, PliError, Unavailable
from mailserver.model.ids import ID_BYTES
from mailserver.service.sequencer import LEASE_NAME, Sequencer
from mailserver.store.store import Store, open_store

SEQUENCE_SECONDS = 2.0
LATE_SECONDS = 120
ALARM_SECONDS = 60
_FORK = "log-fork"

logger = logging.getLogger("pli.log")


class LogCustody(Protocol):
    """What the keeper needs of the custodian's side."""

    def row_key(self) -> Secret: ...
    def sign_log(self, request: bytes) -> bytes: ...
    def mark_log(self, *, is_late: bool, set_aside: Collection[bytes] = ()) -> None: ...


class LogKeeper:
    """``round`` may be called without ``start`` (tests)."""

    def __init__(self, config: Config, custody: LogCustody, now: datetime) -> None:
        self._config = config
        self._custody = custody
        self._store: Store | None = None
        self._sequencer: Sequencer | None = None
        self._must_reopen = False
        self._is_verified = False
        self._is_forked = False
        self._doubts = 0
        self._well_at = now
        self._alarmed_at: datetime | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """One more round, for what the workers wrote last, then let go of the store; wait at most ``seconds``."""
        self._stopping.set()
        self._thread.join(seconds)

    def close(self) -> None:
        """For who never started the thread."""
        if self._store is not None:
            self._store.close()
            self._store = self._sequencer = None
            self._is_verified = False

    def _run(self) -> None:
        self.round(datetime.now(UTC))
        while not self._stopping.wait(SEQUENCE_SECONDS):
            self.round(datetime.now(UTC))
        self.round(datetime.now(UTC))
        self.close()

    def round(self, now: datetime) -> None:
        """Sequence what waits, then say how the log stands. Raises nothing."""
        oldest: int | None = None
        try:
            oldest = self._work(now)
        except Exception as error:  # noqa: BLE001 # the next round looks again; meanwhile the log is late
            code = error.code if isinstance(error, PliError) else type(error).__name__
            logger.error("the log is not sequenced", extra={"code": code})  # noqa: TRY400 # no trace of use
        else:
            self._weigh(oldest, now)
        is_late = self._is_late(now)
        self._custody.mark_log(
            is_late=is_late, set_aside=self._sequencer.set_aside if self._sequencer else ()
        )
        self._alarm(now, oldest, is_late=is_late)

    def _work(self, now: datetime) -> int | None:
        """When the oldest entry that still waits was written; None when none does."""
        sequencer = self._opened()
        try:
            if not self._is_verified:
                sequencer.verify_tree()
                self._is_verified = True
            while not self._is_forked and sequencer.step(now):
                pass
        except Conflict as error:
            if error.code != _FORK:
                raise
            self._is_forked = True
        return sequencer.find_oldest()

    def _opened(self) -> Sequencer:
        if self._must_reopen:  # a failed fsync: only what the disk gives back counts (R5)
            self.close()
            self._must_reopen = False
        if self._store is None or self._sequencer is None:
            config = self._config
            self._store = open_store(
                config.database_url, config.data_folder, self._custody.row_key(), self._disk_failed
            )
            # one custodian serves one folder of keys: after a crash the next one goes on under the same lease
            holder = self._store.macs.lookup("lease-holder", LEASE_NAME)[:ID_BYTES]
            self._sequencer = Sequencer(self._store, self._custody.sign_log, holder)
        return self._sequencer

    def _disk_failed(self, _error: Unavailable) -> None:
        self._must_reopen = True

    def _weigh(self, oldest: int | None, now: datetime) -> None:
        """Two looks in a row: an entry folded from an hour ago may come in just before one."""
        if oldest is None or now.timestamp() - oldest <= LATE_SECONDS:
            self._doubts, self._well_at = 0, now
        else:
            self._doubts += 1

    def _is_late(self, now: datetime) -> bool:
        is_blind = (now - self._well_at).total_seconds() > LATE_SECONDS
        return self._is_forked or self._doubts > 1 or is_blind

    def _alarm(self, now: datetime, oldest: int | None, *, is_late: bool) -> None:
        """A line a minute while it lasts."""
        if not is_late:
            self._alarmed_at = None
        elif self._alarmed_at is None or (now - self._alarmed_at).total_seconds() >= ALARM_SECONDS:
            self._alarmed_at = now
            waiting = None if oldest is None else int(now.timestamp()) - oldest
            if self._is_forked:
                what = "the store's log is not the one that was signed: nothing more is signed"
                logger.critical(what, extra={"code": _FORK, "waiting_seconds": waiting})
            else:
                what = "entries of the log wait for their signature: nothing is released"
                logger.error(what, extra={"code": "log-late", "waiting_seconds": waiting})
