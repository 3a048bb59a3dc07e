"""The writer thread: group commit, isolation of a failing Unit, a failing disk, closing."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pytest
from sqlalchemy import event
from store.store_rows import NOW, add_account, read, row_count, write

from mailserver.model.errors import Conflict, Malformed, Unavailable
from mailserver.model.ids import AccountId, EntryId
from mailserver.store import log_rows, mailboxes, space_rows
from mailserver.store.database import Connection
from mailserver.store.log_rows import LogHead, NewEntry
from mailserver.store.store import Store
from mailserver.store.writer import BATCH_UNITS, Unit

SECONDS = 30


class Gate:
    """Holds the writer in a Unit, so that what is submitted meanwhile waits together."""

    def __init__(self, store: Store) -> None:
        self._entered, self._opened = threading.Event(), threading.Event()
        self._future = store.writer.submit(Unit(AccountId(bytes(16)), self._wait))
        assert self._entered.wait(SECONDS)

    def _wait(self, _connection: Connection) -> None:
        self._entered.set()
        assert self._opened.wait(SECONDS)

    def open(self) -> None:
        self._opened.set()
        self._future.result(SECONDS)


def _account(number: int) -> AccountId:
    return AccountId(number.to_bytes(16, "big"))


def _marking(number: int) -> Unit[int]:
    """Writes one row of one account and returns the account's number."""

    def run(connection: Connection) -> int:
        space_rows.add_delivery(connection, _account(number), bytes(32), NOW)
        return number

    return Unit(_account(number), run)


def _marks(store: Store) -> int:
    return read(store, lambda c: row_count(c, "delivery"))


def _count_commits(store: Store) -> list[object]:
    commits: list[object] = []
    event.listen(store.database.writer, "commit", commits.append)
    return commits


def test_what_waits_is_committed_once_and_told_once(store: Store) -> None:
    told: list[list[AccountId]] = []
    store.writer.on_commit(lambda accounts: told.append(list(accounts)))
    gate, commits = Gate(store), _count_commits(store)
    futures = [store.writer.submit(_marking(number)) for number in range(50, 0, -1)]
    gate.open()
    assert [future.result(SECONDS) for future in futures] == list(range(50, 0, -1))
    assert len(commits) == 2, "the gate's, and one for the fifty"
    assert told == [[AccountId(bytes(16))], [_account(number) for number in range(1, 51)]], (
        "in ascending order"
    )
    assert _marks(store) == 50


def test_a_batch_is_bounded(store: Store) -> None:
    gate, commits = Gate(store), _count_commits(store)
    futures = [store.writer.submit(_marking(number)) for number in range(BATCH_UNITS + 1)]
    gate.open()
    for future in futures:
        future.result(SECONDS)
    assert len(commits) == 3


def test_units_of_one_account_keep_their_order(store: Store) -> None:
    account_id, seen = add_account(store).account_id, []
    gate = Gate(store)

    def unit(number: int) -> Unit[None]:
        return Unit(account_id, lambda _connection: seen.append(number))

    futures = [store.writer.submit(unit(number)) for number in range(20)]
    gate.open()
    for future in futures:
        future.result(SECONDS)
    assert seen == list(range(20))


@pytest.mark.parametrize("refusal", [Malformed("told"), Conflict("told"), ZeroDivisionError("told")])
def test_a_failing_unit_spoils_nobody_elses(store: Store, refusal: Exception) -> None:
    def fail(connection: Connection) -> None:
        space_rows.add_delivery(connection, _account(99), bytes(32), NOW)
        raise refusal

    gate = Gate(store)
    before = [store.writer.submit(_marking(number)) for number in (1, 2)]
    bad = store.writer.submit(Unit(_account(3), fail))
    after = [store.writer.submit(_marking(number)) for number in (4, 5)]
    gate.open()
    assert [future.result(SECONDS) for future in before + after] == [1, 2, 4, 5]
    with pytest.raises(type(refusal), match="told"):
        bad.result(SECONDS)
    assert _marks(store) == 4, "nothing of the failed one, each of the others once"


def test_a_constraint_fails_its_own_unit_alone(store: Store) -> None:
    gate = Gate(store)
    futures = [store.writer.submit(_marking(number)) for number in (1, 2, 2, 3)]
    gate.open()
    assert [future.result(SECONDS) for future in (futures[0], futures[1], futures[3])] == [1, 2, 3]
    with pytest.raises(Conflict) as refused:
        futures[2].result(SECONDS)
    assert refused.value.code == "constraint"
    assert _marks(store) == 3


def test_a_connection_that_closes_harms_neither_its_unit_nor_the_writer(store: Store) -> None:
    """Cancelling what an edge awaits must not end the writer thread for everyone."""

    async def edge(future: Future[int]) -> None:
        task = asyncio.ensure_future(asyncio.wrap_future(future))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    gate = Gate(store)
    future = store.writer.submit(_marking(1))
    asyncio.run(edge(future))
    assert not future.cancel()
    gate.open()
    assert future.result(SECONDS) == 1
    assert store.writer.commit(_marking(2)) == 2


def test_a_failing_feed_delays_news_and_nothing_else(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_accounts: object) -> None:
        raise OSError("feed folder gone")

    store.writer.on_commit(fail)
    assert [store.writer.commit(_marking(number)) for number in (1, 2)] == [1, 2]
    assert _marks(store) == 2
    assert {record.name for record in caplog.records} == {"pli.writer"}


def test_a_failed_sync_stops_everything(open_another: Callable[..., Store]) -> None:
    told: list[Unavailable] = []
    store = open_another(told.append)

    def fail(_connection: Connection) -> None:
        raise Unavailable("disk-io")

    gate = Gate(store)
    futures = [store.writer.submit(_marking(1)), store.writer.submit(Unit(_account(2), fail))]
    gate.open()
    futures.append(store.writer.submit(_marking(3)))
    for future in futures:
        with pytest.raises(Unavailable) as refused:
            future.result(SECONDS)
        assert refused.value.code == "disk-io"
    assert [error.code for error in told] == ["disk-io"], "the process is told once: it must end"
    assert _marks(store) == 0, "nothing is tried again, nothing more is written"


def test_closing_commits_what_waits(open_another: Callable[..., Store]) -> None:
    store, witness = open_another(), open_another()
    gate = Gate(store)
    futures = [store.writer.submit(_marking(number)) for number in range(5)]
    closer = threading.Thread(target=store.close)
    closer.start()
    gate.open()
    closer.join(SECONDS)
    assert [future.result(0) for future in futures] == list(range(5))
    assert _marks(witness) == 5
    with pytest.raises(Unavailable) as refused:
        store.writer.submit(_marking(9))
    assert refused.value.code == "stopping"
    store.close()  # twice does no harm


def test_nothing_submitted_is_forgotten_while_closing(open_another: Callable[..., Store]) -> None:
    """Every Unit is either refused at once or done: nobody waits for a writer that has gone."""
    store = open_another()
    futures: list[Future[None]] = []

    def submit() -> None:
        unit: Unit[None] = Unit(_account(1), lambda _connection: None)
        with pytest.raises(Unavailable):
            while True:
                futures.append(store.writer.submit(unit))

    threads = [threading.Thread(target=submit) for _thread in range(3)]
    for thread in threads:
        thread.start()
    store.writer.close()
    for thread in threads:
        thread.join(SECONDS)
    for future in futures:
        future.result(SECONDS)


def _meet(barrier: threading.Barrier) -> None:
    """Waits for the other node to be as far, if it may be: it may not while this one holds the account."""
    with contextlib.suppress(threading.BrokenBarrierError):
        barrier.wait(0.3)


def test_an_account_is_locked_before_its_unit_reads(open_another: Callable[..., Store]) -> None:
    """Two nodes deliver one message: the second sees the first's fold mark instead of a constraint."""
    first, second = open_another(), open_another()
    account_id = add_account(first).account_id
    barrier = threading.Barrier(2)

    def deliver(connection: Connection) -> str:
        if space_rows.has_delivery(connection, account_id, bytes(32)):
            return "folded"
        _meet(barrier)
        mailboxes.next_modseq(connection, account_id)
        space_rows.add_delivery(connection, account_id, bytes(32), NOW)
        return "placed"

    futures = [store.writer.submit(Unit(account_id, deliver)) for store in (first, second)]
    assert sorted(future.result(SECONDS) for future in futures) == ["folded", "placed"]


def test_units_that_lock_in_either_order_do_not_deadlock(open_another: Callable[..., Store]) -> None:
    """A sending touches the log's head first, a delivery the account's counter: on two nodes, at once."""
    first, second = open_another(), open_another()
    account_id = add_account(first).account_id
    entry = NewEntry(EntryId(bytes(16)), 0, NOW, b"leaf", b"sealed")
    write(first, lambda c: log_rows.add_entries(c, first.macs, account_id, [entry], LogHead(1, bytes(32))))
    barrier = threading.Barrier(2)

    def run(connection: Connection, steps: Sequence[Callable[[Connection, AccountId], object]]) -> None:
        steps[0](connection, account_id)
        _meet(barrier)
        steps[1](connection, account_id)

    steps = (lambda c, a: log_rows.load_head(c, first.macs, a), mailboxes.next_modseq)
    futures = [
        store.writer.submit(Unit(account_id, lambda c, o=order: run(c, o)))
        for store, order in ((first, steps), (second, steps[::-1]))
    ]
    assert [future.result(SECONDS) for future in futures] == [None, None]
