"""The outbound queue as the gateway works it: leases, what a job says, and what follows each attempt (R7, K20).

An attempt is settled in one Unit: its row, the job's state, the report to the sender, and at the end the order shredded
and the message released when nothing else holds it. So no failure stays silent and none is told twice. A worker that
lost its lease changes nothing.
"""

import contextlib
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.crypto.blob import Decryptor
from mailserver.crypto.ctx import ctx
from mailserver.mime.reports import DeliveryAction
from mailserver.model.errors import Conflict, Corrupt, PliError, Unavailable
from mailserver.model.ids import NOBODY, BlobId, JobId
from mailserver.service.awaited_notices import mark_relayed
from mailserver.service.delivery_reports import AttemptResult, Cause, Fate, refused
from mailserver.service.outbound import DAY_SECONDS, NoticeOrder, Outbound, RelayOrder, SmsOrder
from mailserver.service.sender_reports import (
    NO_OCTETS,
    Place,
    Report,
    SenderReports,
    SentOctets,
    Told,
    is_asked,
)
from mailserver.store import items, jobs
from mailserver.store.database import Connection
from mailserver.store.jobs import JobList, JobRow, JobState, Lane, name_job
from mailserver.store.store import Store
from mailserver.store.writer import Unit

LEASE_SECONDS = 120
RELAY_DELAYS = (300, 600, 1200, 2400, 4200)
"""Back-off of the relay lane; the last one repeats (R7: 5 min → 1 h 10)."""
NOTICE_DELAYS = (10, 30, 60)
DELAY_NOTICE_SECONDS = 4 * 3600
KEY_DAYS = 3
KEY_GRACE_SECONDS = 2 * 3600
"""A submission may commit some time after the moment that chose its day key."""

logger = logging.getLogger("pli.gateway")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A relay job's message, open: ``read`` gives octets of what is sent, from 0 to ``size_bytes``."""

    order: RelayOrder
    read: Callable[[int, int], bytes]

    @property
    def size_bytes(self) -> int:
        return self.order.size_bytes - self.order.skip_bytes

    @property
    def octets(self) -> SentOctets:
        return SentOctets(self.size_bytes, self.read)

    def header(self) -> bytes:
        """The header block without its blank line, at most 256 KiB."""
        return self.octets.header()


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows an attempt. ``next_try_at`` counts for a waiting job only."""

    state: JobState
    next_try_at: int = 0
    report: DeliveryAction | None = None


def plan_next(row: JobRow, result: AttemptResult, now: int) -> Plan:
    """RFC 5321 §4.5.4.1: retry with growing delays, tell the sender of a delay once, give up at expiry."""
    is_relay = row.lane is Lane.RELAY
    if (
        result.fate is Fate.DELIVERED
    ):  # RFC 3461 §5.2.2 and §5.2.3: the last server that knows of reports makes them
        is_ours_to_tell = is_relay and not result.is_reported_on
        return Plan(JobState.DONE, report=DeliveryAction.RELAYED if is_ours_to_tell else None)
    if result.fate is Fate.REFUSED or now >= row.expires_at:
        return Plan(JobState.FAILED, report=DeliveryAction.FAILED if is_relay else None)
    delays = RELAY_DELAYS if is_relay else NOTICE_DELAYS
    due = min(now + delays[min(row.attempts, len(delays) - 1)], row.expires_at)
    if not is_relay or row.delay_noticed:
        return Plan(JobState.WAITING, due)
    notice_at = row.created_at + DELAY_NOTICE_SECONDS
    if now >= notice_at:
        return Plan(JobState.WAITING, due, DeliveryAction.DELAYED)
    return Plan(JobState.WAITING, min(due, notice_at))


class RelayQueue:
    """One worker's hold on the queue. ``holder`` is this worker's random id (16 bytes). Blocks: pool threads only."""

    def __init__(self, store: Store, outbound: Outbound, reports: SenderReports, holder: bytes) -> None:
        self._store = store
        self._outbound = outbound
        self._reports = reports
        self._holder = holder
        self._forgotten: set[int] = set()

    def next_due(self) -> int | None:
        with self._store.database.read() as connection:
            return jobs.next_due(connection)

    def lease(self, now: datetime, limit: int) -> list[JobRow]:
        """Due jobs, this worker's for two minutes. One whose row was altered is never sent, and is told each time that it
        is due. Raises Unavailable.
        """
        at = int(now.timestamp())

        def run(connection: Connection) -> JobList:
            return self._store.jobs.lease_jobs(
                connection, self._holder, at, seconds=LEASE_SECONDS, limit=limit
            )

        found = self._store.writer.commit(Unit(NOBODY, run))
        for job_id in found.altered:
            logger.critical("altered job is not sent, put aside for an hour", extra={"job": name_job(job_id)})
        return found.rows

    def renew(self, rows: Sequence[JobRow], now: datetime) -> None:
        """Two more minutes for the jobs that are still this worker's."""
        until = int(now.timestamp()) + LEASE_SECONDS

        def run(connection: Connection) -> None:
            for row in rows:
                jobs.move_lease(connection, row, self._holder, until)

        self._store.writer.commit(Unit(NOBODY, run))

    def release(self, rows: Sequence[JobRow], tried: Collection[JobId] = ()) -> None:
        """Give jobs back unfinished, for any worker to take at once; ``tried``: those that were cut in their attempt."""

        def run(connection: Connection) -> None:
            for row in rows:
                jobs.end_lease(connection, row, self._holder, was_tried=row.job_id in tried)

        self._store.writer.commit(Unit(NOBODY, run))

    def open_message(self, row: JobRow) -> Outgoing:
        """The message of a relay job. Raises Corrupt when its order or octets cannot be opened."""
        order = self._outbound.open_relay(row)
        if row.blob_id is None:
            raise Corrupt("job-blob")
        with self._store.database.read() as connection:
            blob = items.find_blob(connection, row.account_id, row.blob_id)
        if blob is None:
            raise Corrupt("blob-missing")
        octets = blob.octets
        read_at = self._store.blobs.reader(row.blob_id) if octets is None else lambda lo, hi: octets[lo:hi]
        decryptor = Decryptor(order.data_key, ctx("blob", row.blob_id), read_at, blob.stored_bytes)
        skip = order.skip_bytes
        return Outgoing(order, lambda lo, hi: decryptor.read(lo + skip, hi + skip))

    def open_notice(self, row: JobRow) -> NoticeOrder | SmsOrder:
        return self._outbound.open_notice(row)

    def settle(self, row: JobRow, result: AttemptResult, now: datetime) -> Plan:
        """Write what one attempt led to; returns it. Raises Unavailable: the lease then ends by itself."""
        at = int(now.timestamp())
        plan = plan_next(row, result, at)
        place = None if plan.report is None else self._report(row, result, plan.report, now)

        def run(connection: Connection) -> tuple[bool, list[BlobId]]:
            if not jobs.is_held(connection, row, self._holder):
                return False, []
            jobs.add_attempt(connection, row.job_id, row.attempts + 1, at, (result.name, result.reply_code))
            if place is not None:
                place(connection)
            if plan.report is DeliveryAction.RELAYED:
                mark_relayed(self._store, connection, row.job_id, at)
            if plan.state is JobState.WAITING:
                noticed = row.delay_noticed or plan.report is DeliveryAction.DELAYED
                jobs.mark_retry(connection, row, plan.next_try_at, delay_noticed=noticed)
                return True, []
            jobs.mark_final(connection, row, plan.state)
            return True, jobs.release_blob(connection, row)

        was_held, orphans = self._store.writer.commit(Unit(row.account_id, run))
        for blob_id in orphans:
            self._store.blobs.delete(blob_id)
        if not was_held:
            logger.warning("lease lost, outcome left to its new holder", extra={"job": row.job_id.hex()})
        return plan

    def end_unsent(
        self,
        row: JobRow,
        result: AttemptResult,
        now: datetime,
        also: Callable[[Connection], None] | None = None,
    ) -> None:
        """End a job that nobody tries, and tell its sender why; ``also`` writes in the same Unit. Raises
        Conflict("job-over"), Unavailable("job-busy").
        """
        at = int(now.timestamp())
        place = self._report(row, result, DeliveryAction.FAILED, now) if row.lane is Lane.RELAY else None

        def run(connection: Connection) -> list[BlobId]:
            idle = self._store.jobs.load_idle(connection, row.job_id, at)
            jobs.add_attempt(connection, idle.job_id, idle.attempts + 1, at, (result.name, 0))
            if place is not None:
                place(connection)
            if also is not None:
                also(connection)
            jobs.mark_final(connection, idle, JobState.FAILED)
            return jobs.release_blob(connection, idle)

        for blob_id in self._store.writer.commit(Unit(row.account_id, run, shreds=True)):
            self._store.blobs.delete(blob_id)

    def end_held(self, now: datetime) -> None:
        """Return what was held until its time was over: its day key ends soon after (K20)."""
        with self._store.database.read() as connection:
            rows = self._store.jobs.list_sound(connection, is_open=True).rows
        for row in rows:
            if row.state is JobState.HELD and row.expires_at <= now.timestamp():
                with contextlib.suppress(Conflict):  # another worker was first
                    self.end_unsent(row, refused(Cause.HELD), now)

    def _report(
        self, row: JobRow, result: AttemptResult, action: DeliveryAction, now: datetime
    ) -> Place | None:
        """The report that was asked for, ready to be placed; None without one. Raises Unavailable: nothing is settled
        then, and the job comes back with its lease's end.
        """
        try:
            order = self._outbound.open_relay(row)
        except Corrupt:
            logger.error("order unreadable, sender not told", extra={"job": row.job_id.hex()})  # noqa: TRY400 # the code says it
            return None
        if order.sender is None or not is_asked(order.ask, action):  # RFC 5321 §4.5.5
            return None
        if action is DeliveryAction.FAILED and result.fate is Fate.PASSING:
            result = replace(result, status="5.4.7")  # RFC 3463 §3.5: delivery time expired
        told = [Told(order.recipient, order.ask, result)]
        times, mark = (row.created_at, row.expires_at), f"{row.job_id.hex()}.{row.attempts}"
        report = Report(row.account_id, order.sender, order.message_ask, action, told, times, mark, NO_OCTETS)
        try:
            return self._prepare(row, report, now)
        except Unavailable:
            raise
        except PliError as error:
            # a report that cannot be written must not make the job return to the peer for ever
            logger.error("sender not told", extra={"job": row.job_id.hex(), "code": error.code})  # noqa: TRY400 # no trace of use
            return None

    def _prepare(self, row: JobRow, report: Report, now: datetime) -> Place | None:
        """With what can be read of the message: all of it, its header, nothing."""
        try:
            return self._reports.prepare(replace(report, octets=self.open_message(row).octets), now)
        except Corrupt:
            return self._reports.prepare(report, now)

    def forget_days(self, now: datetime) -> None:
        """Shred the day keys that no job needs any more; never today's (K20)."""
        at = int(now.timestamp()) - KEY_GRACE_SECONDS
        today = at // DAY_SECONDS
        for epoch in range(today - 10, today):
            if epoch in self._forgotten:
                continue
            with self._store.database.read() as connection:
                is_needed = jobs.has_jobs_of_epoch(connection, epoch)
            if not is_needed or today - epoch >= KEY_DAYS:
                self._outbound.forget_day(epoch)
                self._forgotten.add(epoch)


def expired(row: JobRow, now: datetime) -> AttemptResult | None:
    """A notice past its life is dropped unsent; a relay job has one last attempt, whose cause is reported."""
    if row.lane is Lane.NOTICE and now.timestamp() >= row.expires_at:
        return AttemptResult(Fate.REFUSED, Cause.EXPIRED, status="5.4.7")
    return None
