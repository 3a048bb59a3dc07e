"""Reception: exactly once, one Unit per account, rows or a shared file, summaries of one size class."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from service.delivery_peers import SENDER, Bench, make_bench, message, summary_of

from mailserver.mime.summary_wire import parse_summary
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.model.errors import Corrupt, OverLimit, Unavailable
from mailserver.policy.decision import Reason
from mailserver.service.delivery import Outcome
from mailserver.service.sealing import SUMMARY_PAD_BYTES, Place
from mailserver.store import space_rows
from mailserver.store.blob_folder import ROW_BYTES_LIMIT
from mailserver.store.database import Connection
from mailserver.store.writer import Unit

PLACED, FOLDED = Outcome.PLACED, Outcome.FOLDED


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("reception"))
    yield bench
    bench.node.close()


@pytest.fixture
def person(bench: Bench, request: pytest.FixtureRequest):
    """A fresh account, open: (address, OpenAccount)."""
    return _person(bench, f"p{abs(hash(request.node.nodeid))}")


def _person(bench: Bench, local: str):
    address = f"{local}@a.localhost"
    made = bench.node.add(address)
    return address, bench.node.open(address, made.app_password)


def _sized(number: object, stored_bytes: int, trace_bytes: int) -> bytes:
    """A message that is ``stored_bytes`` long once the trace lines stand before it."""
    head = message(number, body=b"")
    return head + b"x" * (stored_bytes - trace_bytes - len(head))


def _trace_bytes(bench: Bench, address: str, account) -> int:
    probe = message("probe")
    bench.deliver([address], probe)
    return summary_of(bench.page(account)[0]).size_bytes - len(probe)


def test_a_message_is_stored_with_its_trace_and_read_as_received(bench: Bench, person) -> None:
    address, account = person
    sent = message("lu", body=b"\xff\x00caf\xe9 \r\n..\r\n")
    assert bench.deliver([address], sent) == [PLACED]
    (item,) = bench.page(account)
    assert (summary_of(item).subject, item.row.is_adopted) == ("Lettre lu", False)
    stored = bench.read(account, item)
    assert stored.endswith(sent)
    trace = stored[: -len(sent)]
    assert trace.startswith(f"Return-Path: <{SENDER}>\r\nReceived: from b.localhost ".encode())
    assert trace.count(b"\r\nReceived:") == 1
    assert b" for " not in trace


def test_a_retry_is_folded_for_each_recipient(bench: Bench) -> None:
    """R2: the peer missed our 250, or added a recipient to its retry: each account has it once."""
    people = [_person(bench, f"fold{rank}") for rank in range(3)]
    addresses = [address for address, _account in people]
    sent = message("retry")
    assert bench.deliver(addresses[:2], sent) == [PLACED, PLACED]
    assert bench.deliver(addresses[:2], sent) == [FOLDED, FOLDED]
    assert bench.deliver(addresses, sent) == [FOLDED, FOLDED, PLACED]
    assert [len(bench.rows(account)) for _address, account in people] == [1, 1, 1]


def test_two_retries_at_once_are_folded(bench: Bench, person) -> None:
    address, account = person
    sent = message("at once")
    verdicts = [bench.accept([address], sent) for _retry in range(8)]
    outcomes = [future.result(60) for verdict in verdicts for future in verdict.commits]
    assert sorted(outcomes) == [FOLDED] * 7 + [PLACED]
    assert len(bench.rows(account)) == 1


@pytest.mark.parametrize(
    "other",
    [
        message("same", body=b"Bonjour !\r\n"),
        message("another"),
        message("same", Subject="Autre objet"),
    ],
)
def test_another_message_is_not_folded(bench: Bench, person, other: bytes) -> None:
    address, account = person
    assert bench.deliver([address], message("same")) == [PLACED]
    assert bench.deliver([address], other) == [PLACED]
    assert len(bench.rows(account)) == 2


def test_another_sender_is_not_folded(bench: Bench, person) -> None:
    address, account = person
    sent = message("same")
    assert bench.deliver([address], sent) == [PLACED]
    assert bench.deliver([address], sent, sender="noa@b.localhost") == [PLACED]
    assert len(bench.rows(account)) == 2


def test_an_account_named_twice_has_it_once(bench: Bench, person) -> None:
    address, account = person
    assert bench.deliver([address, address], message("twice")) == [PLACED]
    assert len(bench.rows(account)) == 1


def test_one_message_to_many_accounts_is_a_unit_each(bench: Bench) -> None:
    people = [_person(bench, f"many{rank}") for rank in range(5)]
    sent = message("many")
    verdict = bench.accept([address for address, _account in people], sent)
    assert [future.result(60) for future in verdict.commits] == [PLACED] * 5
    blobs = set()
    for _address, account in people:
        (item,) = bench.page(account)
        assert bench.read(account, item).endswith(sent)
        blobs.add(item.row.blob_id)
    assert len(blobs) == 5, "a small message is a sealed copy for each"


@pytest.mark.parametrize(("beyond", "is_file"), [(0, False), (1, True)])
def test_the_boundary_between_row_and_file(bench: Bench, person, beyond: int, is_file: bool) -> None:
    address, account = person
    trace = _trace_bytes(bench, address, account)
    files = len(list(bench.store.blobs.list_blobs()))
    sent = _sized(f"boundary {beyond}", ROW_BYTES_LIMIT + beyond, trace)
    assert bench.deliver([address], sent) == [PLACED]
    assert len(list(bench.store.blobs.list_blobs())) - files == is_file
    item = bench.page(account)[-1]
    assert summary_of(item).size_bytes == ROW_BYTES_LIMIT + beyond
    assert bench.read(account, item).endswith(sent)


def test_a_large_message_is_one_file_for_all(bench: Bench) -> None:
    people = [_person(bench, f"large{rank}") for rank in range(3)]
    files = set(bench.store.blobs.list_blobs())
    sent = message("large", body=b"une longue ligne\r\n" * 20_000)
    assert bench.deliver([address for address, _account in people], sent) == [PLACED] * 3
    (blob_id,) = set(bench.store.blobs.list_blobs()) - files
    raw = bench.store.blobs.reader(blob_id)(0, 10**9)
    assert b"longue" not in raw
    for _address, account in people:
        (item,) = bench.page(account)
        assert item.row.blob_id == blob_id
        assert bench.read(account, item).endswith(sent)


def test_a_refused_large_message_leaves_no_file(bench: Bench, person) -> None:
    address, _account = person
    files = set(bench.store.blobs.list_blobs())
    verdict = bench.accept([address], message("refused", sender="x@elsewhere.localhost", body=b"x" * 100_000))
    assert (verdict.decision.reason, list(verdict.commits)) == (Reason.FROM_FOREIGN, [])
    assert set(bench.store.blobs.list_blobs()) == files


def test_summaries_come_in_classes_of_256_bytes(bench: Bench, person) -> None:
    address, account = person
    for subject in ("a", "bb", "c" * 900):
        bench.deliver([address], message(f"summary {len(subject)}", Subject=subject))
    sizes = {len(row.summary) for row in bench.rows(account)}
    overhead = {size % SUMMARY_PAD_BYTES for size in sizes}
    assert len(overhead) == 1, "padded before it is sealed"
    assert len(sizes) >= 2
    short = [row for row in bench.rows(account)][:2]
    assert len({len(row.summary) for row in short}) == 1, "a few letters more or less do not show"
    bench.page(account)
    assert {row.is_adopted for row in _adopted(bench, account)} == {True}
    assert {parse_summary(item.summary).subject[0] for item in bench.page(account)} == {"a", "b", "c"}


def _adopted(bench: Bench, account):
    bench.settle(account)
    return bench.rows(account)


def test_adoption_changes_the_seal_and_nothing_else(bench: Bench, person) -> None:
    address, account = person
    bench.deliver([address], message("adopted"))
    (before,) = bench.rows(account)
    first = bench.page(account)[0]
    (after,) = _adopted(bench, account)
    assert (before.is_adopted, after.is_adopted, after.row_mac) == (False, True, None)
    assert after.wrap != before.wrap
    assert len(after.wrap) < len(before.wrap), "a key under a key, no public-key seal any more"
    for name in (
        "uid",
        "item_id",
        "email_id",
        "blob_id",
        "flags",
        "modseq",
        "received_at",
        "saved_at",
        "place_tag",
    ):
        assert getattr(after, name) == getattr(before, name), name
    second = bench.page(account)[0]
    assert second.summary == first.summary
    assert bench.read(account, second) == bench.read(account, first)
    assert bench.box(account).unadopted_count == 0


def test_a_wrap_opens_at_its_place_only(bench: Bench, person) -> None:
    """K14, K13: another mailbox, UID, item or account is another context."""
    address, account = person
    bench.deliver([address], message("place"))
    box, keys, macs = bench.box(account), account.mail_keys(), bench.store.macs
    for _adoption in range(2):
        (row,) = bench.rows(account)
        right = Place(account.account_id, box.mailbox_id, row.uid, row.item_id)
        keys.open_key(macs, right, row)
        other = bench.box(account, Role.TRASH).mailbox_id
        for wrong in (
            Place(account.account_id, other, row.uid, row.item_id),
            Place(account.account_id, box.mailbox_id, row.uid + 1, row.item_id),
            Place(account.account_id, box.mailbox_id, row.uid, bytes(16)),
            Place(bytes(16), box.mailbox_id, row.uid, row.item_id),
        ):
            with pytest.raises(Corrupt):
                keys.open_key(macs, wrong, row)
            with pytest.raises(Corrupt):
                keys.open_summary(macs, wrong, row)
        bench.page(account)
        _adopted(bench, account)


def test_nothing_is_acknowledged_when_the_store_refuses(bench: Bench, person, monkeypatch) -> None:
    address, account = person

    def fail(_connection: Connection, *_rest: object) -> None:
        raise Unavailable("disk-full")

    with monkeypatch.context() as patch:
        patch.setattr(space_rows, "add_delivery", fail)
        verdict = bench.accept([address], message("full"))
        with pytest.raises(Unavailable) as refused:
            verdict.commits[0].result(60)
    assert refused.value.code == "disk-full"
    assert (bench.rows(account), bench.box(account).exists_count, bench.box(account).uidnext) == ([], 0, 1)
    assert bench.deliver([address], message("full")) == [PLACED]


def test_the_size_limit_counts_the_message_not_the_trace(bench: Bench, person) -> None:
    address, _account = person
    limit = bench.services.reception.limit_bytes
    exact = message("limit", body=b"")
    exact += b"x" * (limit - len(exact))
    assert bench.deliver([address], exact) == [PLACED]
    with pytest.raises(OverLimit) as refused:
        bench.accept([address], exact + b"x")
    assert refused.value.code == "message-too-large"


def test_the_fold_window_is_48_hours(bench: Bench, person) -> None:
    address, account = person
    now = datetime.now(UTC)
    sent = message("window")
    assert bench.deliver([address], sent, now=now) == [PLACED]
    assert bench.deliver([address], sent, now=now + timedelta(hours=47)) == [FOLDED]
    before = int((now + timedelta(hours=49) - timedelta(hours=48)).timestamp())
    bench.store.writer.commit(Unit(account.account_id, lambda c: space_rows.delete_deliveries(c, before)))
    assert bench.deliver([address], sent, now=now + timedelta(hours=49)) == [PLACED]


def test_unknown_and_disabled_are_refused_before_data(bench: Bench, person) -> None:
    address, _account = person
    reception, now = bench.services.reception, datetime.now(UTC)
    verdict = lambda text: reception.decide_recipient(parse_address(text), 0, now)[0].reason
    assert verdict("nobody@a.localhost") is Reason.UNKNOWN_RECIPIENT
    assert verdict("someone@b.localhost") is Reason.RECIPIENT_NOT_HERE
    assert verdict(address) is Reason.ACCEPTED
    bench.services.administration.disable_account(parse_address(address), now)
    assert verdict(address) is Reason.DISABLED_ACCOUNT
