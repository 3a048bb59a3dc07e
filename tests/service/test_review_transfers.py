"""COPY and MOVE of many messages leave the writer free for others, are bounded, and a failed COPY leaves nothing."""

import itertools
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from service.delivery_peers import Bench, make_bench, message, summary_of

from mailserver.model.account import Flag, Role
from mailserver.model.errors import NotFound, OverLimit, Unavailable
from mailserver.model.ids import MailboxId
from mailserver.service import transfers
from mailserver.service.delivery import Outcome
from mailserver.service.messages import Messages
from mailserver.service.quotas import Amount
from mailserver.store.item_changes import FlagChange
from mailserver.store.writer import Unit, Writer

EVERY = [(1, 2**32 - 1)]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("transfers"))
    yield bench
    bench.node.close()


def new_person(bench: Bench, messages: int = 0):
    address = f"t{next(_numbers)}@a.localhost"
    account = bench.node.open(address, bench.node.add(address).app_password)
    for number in range(messages):
        bench.deliver([address], message(f"{address} {number}"))
    return address, account


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "UNIT_ITEMS", 2)


def places(bench: Bench, account) -> tuple[MailboxId, MailboxId]:
    return bench.box(account).mailbox_id, bench.box(account, Role.ARCHIVE).mailbox_id


class Spy:
    """Sees every Unit queued; ``fail_from``: Units of ``account`` from this one on find a full disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, account, fail_at: int | None = None) -> None:
        self.units: list[Unit] = []
        self.between = lambda: None
        submit = Writer.submit

        def spied(writer: Writer, unit: Unit) -> Future:
            if unit.account_id != account.account_id:
                return submit(writer, unit)
            self.units.append(unit)
            if len(self.units) == fail_at:
                failed: Future = Future()
                failed.set_exception(Unavailable("disk-full"))
                return failed
            self.between()
            return submit(writer, unit)

        monkeypatch.setattr(Writer, "submit", spied)


@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.usefixtures("small_units")
def test_many_messages_go_in_several_units(bench: Bench, monkeypatch, verb: str) -> None:
    """Another account's mail is acknowledged between two of them."""
    _address, account = new_person(bench, 5)
    other_address, _other = new_person(bench)
    bench.page(account)
    bench.settle(account)
    spy, outcomes = Spy(monkeypatch, account), []
    spy.between = lambda: outcomes.extend(bench.deliver([other_address], message(f"{verb} {len(outcomes)}")))
    _validity, pairs = getattr(bench.services.messages, verb)(account, places(bench, account), EVERY, 1)
    assert pairs == [(uid, uid) for uid in range(1, 6)]
    assert len(spy.units) == 3
    assert outcomes == [Outcome.PLACED] * 3
    assert [summary_of(item).subject[-1] for item in bench.page(account, Role.ARCHIVE)] == list("01234")
    assert len(bench.rows(account)) == (0 if verb == "move" else 5)


@pytest.mark.usefixtures("small_units")
def test_a_failed_copy_leaves_the_target_as_it_was(bench: Bench, monkeypatch) -> None:
    """RFC 9051 §6.4.7."""
    _address, account = new_person(bench, 5)
    bench.page(account)
    bench.settle(account)
    with monkeypatch.context() as patch:
        Spy(patch, account, fail_at=3)
        with pytest.raises(Unavailable) as refused:
            bench.services.messages.copy(account, places(bench, account), EVERY, 1)
    assert refused.value.code == "disk-full"
    box = bench.box(account, Role.ARCHIVE)
    assert (bench.rows(account, Role.ARCHIVE), box.exists_count, box.unseen_count, box.padded_bytes) == (
        [],
        0,
        0,
        0,
    )
    assert len(bench.rows(account)) == 5
    for item in bench.page(account):
        assert bench.read(account, item)


@pytest.mark.usefixtures("small_units")
def test_a_failed_move_loses_nothing_and_doubles_nothing(bench: Bench, monkeypatch) -> None:
    """RFC 6851 §3.3: every message is in one place or the other."""
    _address, account = new_person(bench, 5)
    bench.page(account)
    bench.settle(account)
    with monkeypatch.context() as patch:
        Spy(patch, account, fail_at=2)
        with pytest.raises(Unavailable):
            bench.services.messages.move(account, places(bench, account), EVERY, 1)
    assert len(bench.rows(account, Role.ARCHIVE)) == 2
    assert [row.uid for row in bench.rows(account)] == [3, 4, 5]


def test_what_took_the_uids_first_is_passed(bench: Bench, monkeypatch) -> None:
    """The seals made for foreseen UIDs are made again when a delivery came between."""
    address, account = new_person(bench, 2)
    bench.page(account)
    bench.settle(account)
    spy = Spy(monkeypatch, account)

    def deliver_once() -> None:
        spy.between = lambda: None
        bench.deliver([address], message(f"between {address}"))

    spy.between = deliver_once
    here = bench.box(account).mailbox_id
    assert bench.services.messages.copy(account, (here, here), EVERY, 1)[1] == [(1, 4), (2, 5)]
    assert all(bench.read(account, item) for item in bench.page(account))


def test_what_left_meanwhile_is_passed_over(bench: Bench, monkeypatch) -> None:
    _address, account = new_person(bench, 2)
    bench.page(account)
    bench.settle(account)
    here, there = places(bench, account)
    spy = Spy(monkeypatch, account)

    def leave_once() -> None:
        spy.between = lambda: None
        bench.services.messages.expunge(account, here, [(1, 1)])

    spy.between = leave_once
    assert bench.services.messages.copy(account, (here, there), EVERY, 1)[1] == [(2, 1)]
    (item,) = bench.page(account, Role.ARCHIVE)
    assert bench.read(account, item)


def test_the_quota_refuses_copies_and_appends_never_mail(bench: Bench) -> None:
    address, account = new_person(bench, 3)
    messages = Messages(bench.store, Amount(4, 10**9))
    with pytest.raises(OverLimit) as refused:
        messages.copy(account, places(bench, account), EVERY, 1)
    assert refused.value.code == "quota"
    assert bench.rows(account, Role.ARCHIVE) == []
    assert messages.copy(account, places(bench, account), [(1, 1)], 1)[1] == [(1, 1)]
    with pytest.raises(OverLimit) as refused:
        messages.quotas.demand_room(account.account_id, Amount(1, 0))
    assert refused.value.code == "quota"
    assert len(messages.move(account, places(bench, account), EVERY, 1)[1]) == 3, "a move adds nothing"
    assert bench.deliver([address], message(f"mail past the quota {address}")) == [Outcome.PLACED]


@pytest.mark.usefixtures("small_units")
def test_expunge_and_delete_go_in_several_units(bench: Bench, monkeypatch) -> None:
    _address, account = new_person(bench, 5)
    services, (here, there) = bench.services, places(bench, account)
    services.messages.mark_flags(account, here, [(1, 4)], (FlagChange.ADD, int(Flag.DELETED)))
    monkeypatch.setattr("mailserver.service.expunging.UNIT_ITEMS", 2)
    with monkeypatch.context() as patch:
        spy = Spy(patch, account)
        services.messages.expunge_deleted(account, here, ([], 0))
        assert [unit.shreds for unit in spy.units] == [True, True]
    assert [row.uid for row in bench.rows(account)] == [5]
    monkeypatch.setattr("mailserver.service.mailboxes.UNIT_ITEMS", 2)
    for _time in range(5):
        services.messages.copy(account, (here, there), EVERY, 1)
    name = next(each.name for each in services.mailboxes.list_mailboxes(account) if each.mailbox_id == there)
    with monkeypatch.context() as patch:
        spy = Spy(patch, account)
        services.mailboxes.delete_mailbox(account, name)
        assert len(spy.units) == 4
    with pytest.raises(NotFound):
        services.mailboxes.load_mailbox(account, name)
