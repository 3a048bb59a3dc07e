"""What an administrator sees of the outbound queue and does to it: routes, states and times, never an address or a
subject. Each act is in the custodian's journal before it is done and in the operator's log after; a removal is in the
sender's own access log and is reported to them. All of it goes through the store: leases are respected.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mailserver.audit.events import EventKind, ObjectKind, ParameterName
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.secret import random_id
from mailserver.model.address import DomainName
from mailserver.model.errors import Conflict, Corrupt, PliError
from mailserver.model.ids import AccountId, JobId
from mailserver.service.access_log import PreparedEntry, add_entries, prepare_entry
from mailserver.service.administrator import QUEUE_ADMINISTRATOR, administrator_act
from mailserver.service.delivery_reports import Cause, refused
from mailserver.service.outbound import Outbound
from mailserver.service.relay import RelayQueue
from mailserver.service.sender_reports import SenderReports
from mailserver.store import jobs
from mailserver.store.database import Connection
from mailserver.store.jobs import AttemptRow, JobRow, JobState, Lane
from mailserver.store.store import Store
from mailserver.store.writer import Unit

logger = logging.getLogger("pli.queue")


class QueueAct(StrEnum):
    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class JobInfo:
    """One job as an administrator may see it."""

    row: JobRow
    attempts: Sequence[AttemptRow]
    is_tried_now: bool


@dataclass(frozen=True, slots=True)
class Changed:
    """What an act on several jobs came to; those that a worker tries now are left to it."""

    done: Sequence[JobId]
    busy: Sequence[JobId]


class QueueControl:
    def __init__(
        self, store: Store, outbound: Outbound, reports: SenderReports, custody: CustodianVerbs
    ) -> None:
        self._store = store
        self._outbound = outbound
        self._queue = RelayQueue(store, outbound, reports, random_id())
        self._custody = custody

    def list_jobs(
        self, now: datetime, domain: DomainName | None = None, *, has_finished: bool = False
    ) -> list[JobInfo]:
        """Oldest first: what is not over, and on demand what is."""
        with self._store.database.read() as connection:
            found = self._store.jobs.list_sound(connection, is_open=not has_finished)
            rows = [row for row in found.rows if domain is None or row.next_hop == domain.name]
            return self._infos(connection, rows, now)

    def list_altered(self, *, has_finished: bool = False) -> list[JobId]:
        """Jobs whose row was altered: not sent, whatever their domain may be."""
        with self._store.database.read() as connection:
            return self._store.jobs.list_sound(connection, is_open=not has_finished).altered

    def load_job(self, job_id: JobId, now: datetime) -> JobInfo:
        """One job with its timeline. Raises NotFound("job")."""
        with self._store.database.read() as connection:
            row = self._store.jobs.load_job(connection, job_id)
            return self._infos(connection, [row], now)[0]

    def _infos(self, connection: Connection, rows: Sequence[JobRow], now: datetime) -> list[JobInfo]:
        attempts: dict[JobId, list[AttemptRow]] = defaultdict(list)
        for each in jobs.list_attempts(connection, [row.job_id for row in rows]):
            attempts[each.job_id].append(each)
        leased = jobs.list_leased(connection, int(now.timestamp()))
        return [JobInfo(row, attempts[row.job_id], row.job_id in leased) for row in rows]

    def act(self, act: QueueAct, job_id: JobId, now: datetime) -> None:
        """One job. Raises NotFound("job"), Conflict("job-over", "job-held", "job-not-held") and, while a worker tries it,
        Unavailable("job-busy").
        """
        self._custody.note_act(f"queue {act} {job_id.hex()}")
        self._change(act, self.load_job(job_id, now).row, now)

    def act_on_all(self, act: QueueAct, domain: DomainName | None, now: datetime) -> Changed:
        """Every job that is not over, or those of one next hop; what the act does not fit is passed over."""
        self._custody.note_act(f"queue {act} {'all' if domain is None else domain.name}")
        done: list[JobId] = []
        busy: list[JobId] = []
        for info in self.list_jobs(now, domain):
            try:
                self._change(act, info.row, now)
            except Conflict:
                continue
            except PliError as error:
                if error.code != "job-busy":
                    raise
                busy.append(info.row.job_id)
            else:
                done.append(info.row.job_id)
        return Changed(done, busy)

    def _change(self, act: QueueAct, row: JobRow, now: datetime) -> None:
        match act:
            case QueueAct.DROP:
                self._drop(row, now)
            case QueueAct.RETRY | QueueAct.HOLD | QueueAct.RELEASE:
                self._move(act, row, now)
        logger.info("queue act", extra={"act": act.value, "job": row.job_id.hex(), "hop": row.next_hop})

    def _move(self, act: QueueAct, row: JobRow, now: datetime) -> None:
        at = int(now.timestamp())

        def run(connection: Connection) -> None:
            idle = self._store.jobs.load_idle(connection, row.job_id, at)
            if act is QueueAct.HOLD:
                jobs.mark_state(connection, idle, JobState.HELD, idle.next_try_at)
                return
            is_held = idle.state is JobState.HELD
            if is_held is not (act is QueueAct.RELEASE):
                raise Conflict("job-held" if is_held else "job-not-held")
            jobs.mark_state(connection, idle, JobState.WAITING, at)

        self._store.writer.commit(Unit(row.account_id, run))

    def _drop(self, row: JobRow, now: datetime) -> None:
        """The entry in the sender's log is of the same Unit as the removal (L4)."""
        entries = [self._entry(row, now)] if row.lane is Lane.RELAY else []

        def note(connection: Connection) -> None:
            add_entries(connection, self._store.macs, entries)

        self._queue.end_unsent(row, refused(Cause.REMOVED), now, note)

    def _entry(self, row: JobRow, now: datetime) -> PreparedEntry:
        more = []
        try:
            recipient = str(self._outbound.open_relay(row).recipient)
            more.append((ParameterName.RECIPIENT, recipient))
        except Corrupt:
            logger.warning("order unreadable", extra={"job": row.job_id.hex()})
        act = administrator_act(
            now, EventKind.ADMINISTRATOR_ACT, ObjectKind.MESSAGE, "removed-from-queue", *more
        )
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, AccountId(row.account_id))
        return prepare_entry(account, replace(act, who=QUEUE_ADMINISTRATOR))
