"""The outbound queue's leases, the log's rows, and the sequencer's lease."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import update
from store.store_rows import NOW, job_row, numbered_id, read, row_count, write

from mailserver.model.errors import Conflict, NotFound, Unavailable
from mailserver.model.ids import AccountId, EntryId, JobId
from mailserver.store import jobs, leases, log_rows
from mailserver.store.jobs import ASIDE_SECONDS, INTERRUPTED, AttemptRow, JobRow, JobState, Lane
from mailserver.store.log_rows import LogHead, NewEntry, PendingLeaf
from mailserver.store.schema import job
from mailserver.store.store import Store

ME, OTHER = AccountId(b"\x01" * 16), AccountId(b"\x02" * 16)
FIRST, SECOND = b"\x0a" * 16, b"\x0b" * 16


def _add(store: Store, *rows: JobRow) -> None:
    write(store, lambda c: store.jobs.add_jobs(c, rows))


def _lease(store: Store, holder: bytes, now: int, *, seconds: int = 60, limit: int = 10) -> list[JobRow]:
    found = write(store, lambda c: store.jobs.lease_jobs(c, holder, now, seconds=seconds, limit=limit))
    assert found.altered == []
    return found.rows


def test_jobs_come_back_as_written(store: Store) -> None:
    relay = job_row(ME, delay_noticed=True, order=b"\x00\xff")
    notice = job_row(OTHER, lane=Lane.NOTICE, next_hop="", created_at=NOW + 1)
    _add(store, notice, relay)
    assert read(store, store.jobs.list_jobs) == [relay, notice]
    assert read(store, lambda c: store.jobs.list_jobs(c, OTHER)) == [notice]
    assert read(store, lambda c: store.jobs.list_jobs(c, AccountId(bytes(16)))) == []


def test_due_jobs_are_leased_once_oldest_first(store: Store) -> None:
    late, early, future = (job_row(ME, next_try_at=NOW + at) for at in (5, 0, 100))
    _add(store, late, early, future)
    assert _lease(store, FIRST, NOW + 10, limit=1) == [early]
    assert _lease(store, SECOND, NOW + 10) == [late]
    assert _lease(store, FIRST, NOW + 10) == []


def test_a_dead_workers_jobs_return(store: Store) -> None:
    row = job_row(ME)
    _add(store, row)
    assert _lease(store, FIRST, NOW, seconds=60) == [row]
    assert _lease(store, SECOND, NOW + 59) == []
    assert _lease(store, SECOND, NOW + 60) == [replace(row, attempts=1)]
    assert read(store, lambda c: jobs.list_attempts(c, [row.job_id])) == [
        AttemptRow(row.job_id, 1, NOW + 60, INTERRUPTED, 0)
    ]


def test_what_is_given_back_untried_was_not_interrupted(store: Store) -> None:
    row = job_row(ME)
    _add(store, row)
    _lease(store, FIRST, NOW)
    write(store, lambda c: jobs.end_lease(c, row, SECOND, was_tried=False))
    assert _lease(store, SECOND, NOW) == [], "nobody gives back another's"
    write(store, lambda c: jobs.end_lease(c, row, FIRST, was_tried=False))
    assert _lease(store, SECOND, NOW) == [row]
    assert read(store, lambda c: jobs.list_attempts(c, [row.job_id])) == []
    write(store, lambda c: jobs.end_lease(c, row, SECOND, was_tried=True))
    assert _lease(store, FIRST, NOW) == [replace(row, attempts=1)]
    (line,) = read(store, lambda c: jobs.list_attempts(c, [row.job_id]))
    assert line.result == INTERRUPTED


@pytest.mark.parametrize(
    "altered",
    [{"next_hop": "evil.example"}, {"lane": "other"}, {"account_id": OTHER}, {"expires_at": NOW * 2}],
    ids=str,
)
def test_an_altered_job_holds_up_no_other_and_is_never_sent(store: Store, altered: dict[str, object]) -> None:
    rows = [job_row(ME, next_try_at=NOW + at) for at in range(3)]
    bad = rows[1]
    _add(store, *rows)
    assert len(_lease(store, FIRST, NOW + 5)) == 3  # its worker dies

    def alter(values: dict[str, object]) -> None:
        write(
            store, lambda c: c.execute(update(job).where(job.c.job_id == bad.job_id).values(values)).rowcount
        )

    honest = {name: getattr(bad, name) for name in altered}
    alter(altered)
    found = write(store, lambda c: store.jobs.lease_jobs(c, SECOND, NOW + 99, seconds=60, limit=10))
    assert [row.job_id for row in found.rows] == [rows[0].job_id, rows[2].job_id]
    assert found.altered == [bad.job_id]
    assert read(store, lambda c: store.jobs.list_sound(c, is_open=True)).altered == [bad.job_id]
    assert read(store, jobs.next_due) == NOW + 99 + 60
    for row in rows[::2]:
        write(store, lambda c, r=row: jobs.mark_final(c, r, JobState.DONE))
    assert read(store, jobs.next_due) == NOW + 99 + ASIDE_SECONDS
    assert _lease(store, SECOND, NOW + 98 + ASIDE_SECONDS) == []
    again = NOW + 99 + ASIDE_SECONDS
    found = write(store, lambda c: store.jobs.lease_jobs(c, SECOND, again, seconds=60, limit=10))
    assert (found.rows, found.altered) == ([], [bad.job_id])
    alter({"lane": bad.lane.value} if "lane" in altered else honest)
    assert [row.job_id for row in _lease(store, SECOND, again + ASIDE_SECONDS)] == [bad.job_id]


def test_a_count_that_was_set_back_holds_up_nobody(store: Store) -> None:
    """Counts move, so no MAC holds them; the attempt of a dead worker comes after all others."""
    row, other = job_row(ME), job_row(ME)
    _add(store, row, other)
    write(store, lambda c: jobs.add_attempt(c, row.job_id, 1, NOW, ("peer-reply", 451)))
    assert len(_lease(store, FIRST, NOW + 5)) == 2
    again = _lease(store, SECOND, NOW + 99)
    assert {each.job_id: each.attempts for each in again} == {row.job_id: 2, other.job_id: 1}


def test_a_held_job_is_not_leased_and_keeps_what_it_needs(store: Store) -> None:
    row = job_row(ME, key_epoch=7)
    _add(store, row)
    write(store, lambda c: jobs.mark_state(c, row, JobState.HELD, row.next_try_at))
    assert _lease(store, FIRST, NOW + 1000) == []
    assert read(store, jobs.next_due) is None
    assert read(store, lambda c: jobs.has_jobs_of_epoch(c, 7))
    write(store, lambda c: jobs.delete_finished(c, NOW + 10**6))
    (held,) = read(store, lambda c: store.jobs.list_sound(c, is_open=True).rows)
    assert held == replace(row, state=JobState.HELD)
    write(store, lambda c: jobs.mark_state(c, row, JobState.WAITING, NOW + 7))
    assert _lease(store, FIRST, NOW + 7) == [replace(row, next_try_at=NOW + 7)]


def test_only_an_idle_job_may_be_acted_on(store: Store) -> None:
    row = job_row(ME)
    _add(store, row)
    idle = lambda now: write(store, lambda c: store.jobs.load_idle(c, row.job_id, now))
    assert idle(NOW) == row
    _lease(store, FIRST, NOW, seconds=60)
    assert read(store, lambda c: jobs.list_leased(c, NOW + 59)) == {row.job_id}
    with pytest.raises(Unavailable, match="job-busy"):
        idle(NOW + 59)
    assert idle(NOW + 60) == row
    write(store, lambda c: jobs.mark_final(c, row, JobState.DONE))
    with pytest.raises(Conflict, match="job-over"):
        idle(NOW + 60)
    with pytest.raises(NotFound):
        write(store, lambda c: store.jobs.load_idle(c, JobId(bytes(16)), NOW))


def test_retry_gives_the_job_back_for_later(store: Store) -> None:
    row = job_row(ME)
    _add(store, row)
    _lease(store, FIRST, NOW)
    write(store, lambda c: jobs.mark_retry(c, row, NOW + 300, delay_noticed=True))
    assert _lease(store, SECOND, NOW + 299) == []
    (again,) = _lease(store, SECOND, NOW + 300)
    assert (again.attempts, again.delay_noticed, again.next_try_at) == (1, True, NOW + 300)


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED])
def test_a_finished_job_is_a_timeline_without_its_order(store: Store, state: JobState) -> None:
    row = job_row(ME)
    _add(store, row)
    write(store, lambda c: jobs.add_attempt(c, row.job_id, 1, NOW, ("accepted", 250)))
    write(store, lambda c: jobs.mark_final(c, row, state))
    (found,) = read(store, lambda c: store.jobs.list_jobs(c, ME))
    assert (found.state, found.order, found.attempts) == (state, b"", 1)
    assert _lease(store, FIRST, NOW + 10_000) == []
    write(store, lambda c: jobs.delete_finished(c, NOW))
    assert read(store, lambda c: row_count(c, "job")) == 1
    write(store, lambda c: jobs.delete_finished(c, NOW + 1))
    assert read(store, lambda c: (row_count(c, "job"), row_count(c, "attempt"))) == (0, 0)


def test_what_was_sent_comes_back_once(store: Store) -> None:
    row = job_row(ME)
    _add(store, row)
    assert not write(store, lambda c: jobs.mark_returned(c, row))
    write(store, lambda c: jobs.mark_final(c, row, JobState.DONE))
    (sent,) = read(store, store.jobs.list_jobs)
    assert write(store, lambda c: jobs.mark_returned(c, sent))
    assert not write(store, lambda c: jobs.mark_returned(c, sent))
    (now,) = read(store, store.jobs.list_jobs)
    assert (now.state, now.attempts) == (JobState.FAILED, 2)


def test_waiting_jobs_are_never_dropped(store: Store) -> None:
    row = job_row(ME)
    _add(store, row)
    write(store, lambda c: jobs.add_attempt(c, row.job_id, 1, NOW, ("deferred", 451)))
    write(store, lambda c: jobs.delete_finished(c, NOW + 10**6))
    assert read(store, lambda c: (row_count(c, "job"), row_count(c, "attempt"))) == (1, 1)
    with pytest.raises(Conflict):
        write(store, lambda c: jobs.add_attempt(c, row.job_id, 1, NOW, ("deferred", 451)))


def test_a_late_worker_changes_nothing(store: Store) -> None:
    """Its lease ended, another took the job over and tried: the queue follows the other."""
    row = job_row(ME)
    _add(store, row)
    (stale,) = _lease(store, FIRST, NOW, seconds=1)
    (taken,) = _lease(store, SECOND, NOW + 5, seconds=60)
    write(store, lambda c: jobs.mark_retry(c, taken, NOW + 100, delay_noticed=False))
    write(store, lambda c: jobs.mark_retry(c, stale, NOW + 6, delay_noticed=True))
    (now,) = read(store, store.jobs.list_jobs)
    assert (now.next_try_at, now.attempts, now.delay_noticed) == (NOW + 100, 2, False)
    write(store, lambda c: jobs.mark_final(c, taken, JobState.DONE))
    write(store, lambda c: jobs.mark_final(c, stale, JobState.FAILED))
    write(store, lambda c: jobs.mark_retry(c, stale, NOW, delay_noticed=False))
    (now,) = read(store, store.jobs.list_jobs)
    assert (now.state, now.order) == (JobState.DONE, b"")


def test_next_due_waits_for_leases(store: Store) -> None:
    due = lambda: read(store, jobs.next_due)
    assert due() is None
    row = job_row(ME, next_try_at=NOW + 5)
    _add(store, row, job_row(ME, next_try_at=NOW + 500))
    assert due() == NOW + 5
    _lease(store, FIRST, NOW + 5, seconds=60)
    assert due() == NOW + 65, "a leased job is not due before its lease ends"
    write(store, lambda c: jobs.mark_final(c, row, JobState.DONE))
    assert due() == NOW + 500


def test_a_day_key_is_needed_while_a_job_waits(store: Store) -> None:
    row = job_row(ME, key_epoch=7)
    _add(store, row)
    needed = lambda epoch: read(store, lambda c: jobs.has_jobs_of_epoch(c, epoch))
    assert (needed(7), needed(8)) == (True, False)
    write(store, lambda c: jobs.mark_final(c, row, JobState.FAILED))
    assert not needed(7)


def test_two_nodes_never_lease_the_same_job(open_another: Callable[[], Store]) -> None:
    first, second = open_another(), open_another()
    _add(first, *(job_row(ME, job_id=JobId(numbered_id())) for _job in range(20)))
    if first.database.is_sqlite:
        taken = [_lease(store, FIRST, NOW, limit=10) for store in (first, second)]
    else:  # the first node's transaction is still open: SKIP LOCKED
        with first.database.write() as connection:
            mine = first.jobs.lease_jobs(connection, FIRST, NOW, seconds=60, limit=10).rows
            taken = [mine, _lease(second, SECOND, NOW, limit=10)]
    ids = [row.job_id for rows in taken for row in rows]
    assert (len(ids), len(set(ids))) == (20, 20)


def _take(store: Store, holder: bytes, now: int) -> bool:
    return write(store, lambda c: leases.take_lease(c, store.macs, "log", holder, (now, 60)))


def test_a_lease_has_one_holder(store: Store) -> None:
    assert _take(store, FIRST, NOW)
    assert not _take(store, SECOND, NOW + 60)
    assert _take(store, FIRST, NOW + 60), "renewed by its holder"
    assert not _take(store, SECOND, NOW + 120)
    assert _take(store, SECOND, NOW + 121)
    assert not _take(store, FIRST, NOW + 122), "who lost it does not renew it"
    assert write(store, lambda c: leases.take_lease(c, store.macs, "other", FIRST, (NOW, 60))), (
        "leases are told apart by name"
    )


def test_two_nodes_may_ask_for_a_new_lease_at_once(open_another: Callable[[], Store]) -> None:
    """The first insert ever: one is given, the other is refused without an error."""
    first, second = open_another(), open_another()
    futures = []
    from mailserver.store.writer import Unit

    for store, holder in ((first, FIRST), (second, SECOND)):
        run = lambda c, h=holder, s=store: leases.take_lease(c, s.macs, "log", h, (NOW, 60))
        futures.append(store.writer.submit(Unit(AccountId(bytes(16)), run)))
    assert sorted(future.result() for future in futures) == [False, True]


def _entries(*sequences: int) -> list[NewEntry]:
    return [NewEntry(EntryId(numbered_id()), n, NOW + n, b"leaf %d" % n, b"sealed %d" % n) for n in sequences]


def _log(store: Store, account_id: AccountId, *sequences: int) -> list[NewEntry]:
    entries = _entries(*sequences)
    head = LogHead(sequences[-1] + 1, bytes([sequences[-1]]) * 32)
    write(store, lambda c: log_rows.add_entries(c, store.macs, account_id, entries, head))
    return entries


def test_entries_head_and_pending_go_together(store: Store) -> None:
    assert write(store, lambda c: log_rows.load_head(c, store.macs, ME)) == LogHead(0, bytes(32))
    entries = _log(store, ME, 0, 1) + _log(store, ME, 2)
    assert write(store, lambda c: log_rows.load_head(c, store.macs, ME)) == LogHead(3, b"\x02" * 32)
    assert read(store, lambda c: log_rows.head_of(c, store.macs, ME)) == LogHead(3, b"\x02" * 32)
    rows = read(store, lambda c: log_rows.list_entries(c, ME))
    assert [(row.entry_id, row.leaf, row.sealed) for row in rows] == [
        (e.entry_id, e.leaf, e.sealed) for e in entries
    ]
    assert {row.leaf_index for row in rows} == {None}
    assert [row.sequence for row in read(store, lambda c: log_rows.list_entries(c, ME, newest=2))] == [1, 2]
    with pytest.raises(Conflict):
        _log(store, ME, 2)


def test_pending_leaves_are_each_accounts_in_order(store: Store) -> None:
    _log(store, OTHER, 0, 1)
    _log(store, ME, 0)
    _log(store, OTHER, 2)
    pending = read(store, lambda c: log_rows.list_pending(c, store.macs, 10))
    assert [(leaf.account_id, leaf.sequence) for leaf in pending] == [
        (ME, 0),
        (OTHER, 0),
        (OTHER, 1),
        (OTHER, 2),
    ]
    assert len(read(store, lambda c: log_rows.list_pending(c, store.macs, 2))) == 2
    assert read(store, log_rows.find_oldest_pending) == NOW
    write(store, lambda c: log_rows.mark_sequenced(c, pending[:3], 40))
    assert read(store, lambda c: log_rows.list_pending(c, store.macs, 10)) == [
        PendingLeaf(OTHER, 2, b"leaf 2")
    ]
    rows = read(store, lambda c: log_rows.list_entries(c, OTHER))
    assert [row.leaf_index for row in rows] == [41, 42, None]
    assert read(store, log_rows.find_oldest_pending) == NOW + 2


def test_tiles_and_checkpoints(store: Store) -> None:
    assert read(store, lambda c: log_rows.find_tile(c, 0, 0)) is None
    assert read(store, log_rows.find_checkpoint) is None
    for hashes in (b"\x00partial", b"\xfffull"):
        write(store, lambda c, h=hashes: log_rows.mark_tile(c, 0, 3, h))
        assert read(store, lambda c: log_rows.find_tile(c, 0, 3)) == hashes
    for size in (2, 10, 9):
        write(store, lambda c, s=size: log_rows.add_checkpoint(c, s, NOW, b"note %d" % s))
    assert read(store, log_rows.find_checkpoint) == (10, b"note 10")
    with pytest.raises(Conflict):
        write(store, lambda c: log_rows.add_checkpoint(c, 10, NOW, b"a second head of one size"))
