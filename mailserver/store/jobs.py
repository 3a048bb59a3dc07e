"""The outbound queue: one job per recipient, leased by a worker, one row per attempt (R7).

What a job says (recipient, return path) is sealed under the day's service key (K20); the next hop's domain and the
times are routing, in clear.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sqlalchemy import Connection, case, delete, func, insert, not_, select, update

from mailserver.model.errors import Conflict, Corrupt, NotFound, Unavailable
from mailserver.model.ids import AccountId, BlobId, JobId
from mailserver.store import schema
from mailserver.store.items import find_blob, has_holder
from mailserver.store.news import News, add_news
from mailserver.store.row_macs import RowMacs

ASIDE_SECONDS = 3600
"""After so long an altered job is looked at again: its row may have been put right."""
_MOST_NAMED = 500


class Lane(StrEnum):
    RELAY = "relay"
    """To another operator's MX."""
    NOTICE = "notice"
    """Codes and notifications to ordinary addresses: woken at once, dropped at expiry."""


class JobState(StrEnum):
    WAITING = "waiting"
    HELD = "held"
    """Kept back by an administrator: nobody leases it, and it still ends at its expiry."""
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobRow:
    job_id: JobId
    account_id: AccountId
    lane: Lane
    state: JobState
    next_hop: str
    created_at: int
    next_try_at: int
    expires_at: int
    attempts: int
    delay_noticed: bool
    key_epoch: int
    blob_id: BlobId | None
    order: bytes

    def mac_fields(self) -> tuple[bytes | int | str | None, ...]:
        """What decides where a message goes; times and counts move.

        Not the order: it is sealed for this very job, and shredded at the end while the row stays.
        """
        return (
            self.job_id,
            self.account_id,
            self.lane.value,
            self.next_hop,
            self.created_at,
            self.expires_at,
            self.key_epoch,
            self.blob_id,
        )


@dataclass(frozen=True, slots=True)
class JobList:
    """``altered``: jobs whose row is not what this server wrote. Nothing in it is believed, and nobody sends it."""

    rows: list[JobRow]
    altered: list[JobId]


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One line of a job's timeline."""

    job_id: JobId
    number: int
    at: int
    result: str
    reply_code: int


INTERRUPTED = "interrupted"
"""The result of an attempt whose worker died before it wrote one: the peer may have the message."""
_job = schema.job
_IS_WAITING = _job.c.state == JobState.WAITING.value
IS_OPEN = _job.c.state.in_((JobState.WAITING.value, JobState.HELD.value))
"""Not over: its order and its message are still needed."""
_FIELDS = (
    _job.c.job_id,
    _job.c.account_id,
    _job.c.lane,
    _job.c.state,
    _job.c.next_hop,
    _job.c.created_at,
    _job.c.next_try_at,
    _job.c.expires_at,
    _job.c.attempts,
    _job.c.delay_noticed,
    _job.c.key_epoch,
    _job.c.blob_id,
    _job.c.order,
    _job.c.row_mac,
)


class JobStore:
    def __init__(self, macs: RowMacs) -> None:
        self._macs = macs

    def add_jobs(self, connection: Connection, rows: Sequence[JobRow]) -> None:
        """Insert waiting jobs that nobody holds yet."""
        add_news(connection, News.QUEUE)
        values = [
            {name: getattr(row, name) for name in row.__slots__}
            | {
                "lane": row.lane.value,
                "state": row.state.value,
                "lease_until": 0,
                "lease_holder": None,
                "row_mac": self._macs.sign("job", row.mac_fields()),
            }
            for row in rows
        ]
        connection.execute(insert(_job), values)

    def lease_jobs(
        self, connection: Connection, holder: bytes, now: int, *, seconds: int, limit: int
    ) -> JobList:
        """Take due jobs that nobody holds, oldest first; a holder that died loses them when its lease ends, and the
        timeline says that its attempt was interrupted. Altered ones are put aside, so that they hold up no other.
        """
        due = (
            select(*_FIELDS, _job.c.lease_holder)
            .where(_IS_WAITING, _job.c.next_try_at <= now, _job.c.lease_until <= now)
            .order_by(_job.c.next_try_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taken = connection.execute(due).all()
        holders = {each[0]: each[-1] for each in taken}
        found = self._sift([tuple(each)[:-1] for each in taken])
        if found.altered:
            aside = {"next_try_at": now + ASIDE_SECONDS, "lease_until": 0, "lease_holder": None}
            connection.execute(update(_job).where(_job.c.job_id.in_(found.altered)).values(aside))
        if not found.rows:
            return found
        ids = [row.job_id for row in found.rows]
        lease = {"lease_until": now + seconds, "lease_holder": holder}
        connection.execute(update(_job).where(_job.c.job_id.in_(ids)).values(lease))
        rows = [
            row if holders[row.job_id] is None else _note_interrupted(connection, row, now)
            for row in found.rows
        ]
        return JobList(sorted(rows, key=lambda row: row.next_try_at), found.altered)

    def _sift(self, found: Sequence[tuple[object, ...]]) -> JobList:
        rows: list[JobRow] = []
        altered: list[JobId] = []
        for each in found:
            try:
                rows.append(self._row(each))
            except Corrupt:
                altered.append(each[0])  # type: ignore[arg-type] # whatever stands there
        return JobList(rows, altered)

    def _row(self, found: tuple[object, ...]) -> JobRow:
        """Raises Corrupt("row-mac"), also for what a column never holds (SQLite takes any type)."""
        *fields, mac = found
        try:
            row = JobRow(*fields)  # type: ignore[arg-type] # columns in the order of the dataclass
            row = replace(row, lane=Lane(row.lane), state=JobState(row.state), attempts=int(row.attempts))
            self._macs.check("job", row.mac_fields(), mac)  # type: ignore[arg-type] # a column of bytes
        except (ArithmeticError, AttributeError, TypeError, ValueError):
            raise Corrupt("row-mac", "job") from None
        return row

    def list_jobs(self, connection: Connection, account_id: AccountId | None = None) -> list[JobRow]:
        """Oldest first. Raises Corrupt("row-mac")."""
        query = select(*_FIELDS).order_by(_job.c.created_at)
        if account_id is not None:
            query = query.where(_job.c.account_id == account_id)
        return [self._row(found) for found in connection.execute(query).all()]

    def list_sound(self, connection: Connection, *, is_open: bool) -> JobList:
        """Oldest first; ``is_open``: those that are not over. Altered ones beside them."""
        query = select(*_FIELDS).order_by(_job.c.created_at)
        found = connection.execute(query.where(IS_OPEN) if is_open else query).all()
        return self._sift([tuple(each) for each in found])

    def list_named(
        self, connection: Connection, account_id: AccountId, job_ids: Sequence[JobId]
    ) -> list[JobRow]:
        """Those jobs of one account that are still known, in any order."""
        found: list[JobRow] = []
        for start in range(0, len(job_ids), _MOST_NAMED):
            part = job_ids[start : start + _MOST_NAMED]
            query = select(*_FIELDS).where(_job.c.account_id == account_id, _job.c.job_id.in_(part))
            found += [self._row(row) for row in connection.execute(query).all()]
        return found

    def load_job(self, connection: Connection, job_id: JobId) -> JobRow:
        """Raises NotFound("job"), Corrupt("row-mac")."""
        found = connection.execute(select(*_FIELDS).where(_job.c.job_id == job_id)).first()
        if found is None:
            raise NotFound("job")
        return self._row(found)

    def load_idle(self, connection: Connection, job_id: JobId, now: int) -> JobRow:
        """A job to act on, locked until the Unit ends. Raises NotFound("job"), Conflict("job-over"), and
        Unavailable("job-busy") while a worker tries it.
        """
        lock = select(_job.c.lease_until).where(_job.c.job_id == job_id).with_for_update()
        lease_until = connection.execute(lock).scalar()
        row = self.load_job(connection, job_id)
        if row.state not in {JobState.WAITING, JobState.HELD}:
            raise Conflict("job-over")
        if row.state is JobState.WAITING and (lease_until or 0) > now:
            raise Unavailable("job-busy")
        return row


def name_job(job_id: JobId) -> str:
    """Its id as people read it; an altered row may hold something else there (SQLite takes any type)."""
    return bytes(job_id).hex() if isinstance(job_id, bytes) else "unreadable"


def list_attempts(connection: Connection, job_ids: Sequence[JobId]) -> list[AttemptRow]:
    """The timelines of some jobs, each in its order."""
    table = schema.attempt
    query = select(table.c.job_id, table.c.number, table.c.at, table.c.result, table.c.reply_code)
    found: list[AttemptRow] = []
    for start in range(0, len(job_ids), _MOST_NAMED):
        part = job_ids[start : start + _MOST_NAMED]
        rows = connection.execute(query.where(table.c.job_id.in_(part)).order_by(table.c.number)).all()
        found += [AttemptRow(*row) for row in rows]
    return found


def list_leased(connection: Connection, now: int) -> set[JobId]:
    """The jobs that a worker tries now."""
    query = select(_job.c.job_id).where(_IS_WAITING, _job.c.lease_until > now)
    return {JobId(bytes(job_id)) for job_id in connection.execute(query).scalars()}


def mark_state(connection: Connection, row: JobRow, state: JobState, next_try_at: int) -> None:
    """Hold a job that nobody tries, or let it wait for its next try."""
    add_news(connection, News.QUEUE)
    connection.execute(
        update(_job)
        .where(_job.c.job_id == row.job_id, IS_OPEN)
        .values(state=state.value, next_try_at=next_try_at, lease_until=0, lease_holder=None)
    )


def mark_retry(connection: Connection, row: JobRow, next_try_at: int, *, delay_noticed: bool) -> None:
    """Give the job back for later. A worker whose lease ended, and whose job was tried since, changes nothing."""
    add_news(connection, News.QUEUE)
    connection.execute(
        update(_job)
        .where(_job.c.job_id == row.job_id, _IS_WAITING, _job.c.attempts == row.attempts)
        .values(
            next_try_at=next_try_at,
            attempts=row.attempts + 1,
            lease_until=0,
            lease_holder=None,
            delay_noticed=delay_noticed,
        )
    )


def mark_final(connection: Connection, row: JobRow, state: JobState) -> None:
    """The job's final state: its order is shredded with it (K20); the row stays as its timeline.

    The first final state stays: what was sent is not reported as failed by a worker that came late.
    """
    connection.execute(
        update(_job)
        .where(_job.c.job_id == row.job_id, IS_OPEN)
        .values(state=state.value, attempts=row.attempts + 1, lease_until=0, lease_holder=None, order=b"")
    )


def mark_returned(connection: Connection, row: JobRow) -> bool:
    """A notice that was sent has failed after all; False when that is known already."""
    sent = (_job.c.job_id == row.job_id, _job.c.state == JobState.DONE.value)
    found = connection.execute(
        update(_job).where(*sent).values(state=JobState.FAILED.value, attempts=row.attempts + 1)
    )
    return found.rowcount == 1


def _note_interrupted(connection: Connection, row: JobRow, now: int) -> JobRow:
    """The row with the attempt of a holder that died: after every other, whatever count a hand wrote into the row."""
    numbers = select(func.max(schema.attempt.c.number)).where(schema.attempt.c.job_id == row.job_id)
    number = max(row.attempts, connection.execute(numbers).scalar() or 0) + 1
    add_attempt(connection, row.job_id, number, now, (INTERRUPTED, 0))
    connection.execute(update(_job).where(_job.c.job_id == row.job_id).values(attempts=number))
    return replace(row, attempts=number)


def add_attempt(
    connection: Connection, job_id: JobId, number: int, at: int, outcome: tuple[str, int]
) -> None:
    values = {"job_id": job_id, "number": number, "at": at, "result": outcome[0], "reply_code": outcome[1]}
    connection.execute(insert(schema.attempt), [values])


def next_due(connection: Connection) -> int | None:
    """When the earliest waiting job is due, or its lease ends if that is later."""
    later = case((_job.c.lease_until > _job.c.next_try_at, _job.c.lease_until), else_=_job.c.next_try_at)
    return connection.execute(select(func.min(later)).where(_IS_WAITING)).scalar()


def has_jobs_of_epoch(connection: Connection, epoch: int) -> bool:
    """True while a job that is not over needs the day key of ``epoch``."""
    query = select(_job.c.job_id).where(IS_OPEN, _job.c.key_epoch == epoch)
    return connection.execute(query.limit(1)).first() is not None


def delete_finished(connection: Connection, before: int) -> None:
    """Drop the timelines of jobs finished before ``before``."""
    done = (not_(IS_OPEN), _job.c.created_at < before)
    ids = select(_job.c.job_id).where(*done)
    connection.execute(delete(schema.attempt).where(schema.attempt.c.job_id.in_(ids)))
    connection.execute(delete(_job).where(*done))


def is_held(connection: Connection, row: JobRow, holder: bytes) -> bool:
    """True while the job waits and its lease is still ``holder``'s."""
    query = select(_job.c.job_id).where(
        _job.c.job_id == row.job_id, _IS_WAITING, _job.c.lease_holder == holder
    )
    return connection.execute(query).first() is not None


def move_lease(connection: Connection, row: JobRow, holder: bytes, until: int) -> None:
    """Set the end of a lease that is still ``holder``'s."""
    held = (_job.c.job_id == row.job_id, _job.c.lease_holder == holder)
    connection.execute(update(_job).where(*held, _IS_WAITING).values(lease_until=until))


def end_lease(connection: Connection, row: JobRow, holder: bytes, *, was_tried: bool) -> None:
    """Give a job back before its outcome is known. ``was_tried``: its holder stays in the row, so that who leases it next
    writes that the attempt was interrupted.
    """
    add_news(connection, News.QUEUE)
    held = (_job.c.job_id == row.job_id, _job.c.lease_holder == holder)
    left = holder if was_tried else None
    connection.execute(update(_job).where(*held, _IS_WAITING).values(lease_until=0, lease_holder=left))


def release_blob(connection: Connection, row: JobRow) -> list[BlobId]:
    """Drop the sender's hold on the message unless an item or another job names it; files without holder."""
    if row.blob_id is None:
        return []
    waiting = select(_job.c.job_id).where(
        _job.c.account_id == row.account_id,
        _job.c.blob_id == row.blob_id,
        IS_OPEN,
    )
    item, blob = schema.item, schema.blob
    placed = select(item.c.uid).where(item.c.account_id == row.account_id, item.c.blob_id == row.blob_id)
    if any(connection.execute(query.limit(1)).first() is not None for query in (waiting, placed)):
        return []
    held = find_blob(connection, row.account_id, row.blob_id)
    here = (blob.c.account_id == row.account_id, blob.c.blob_id == row.blob_id)
    connection.execute(delete(blob).where(*here))
    is_orphan = held is not None and held.octets is None and not has_holder(connection, row.blob_id)
    return [row.blob_id] if is_orphan else []
