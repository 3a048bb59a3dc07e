"""COPY, MOVE, APPEND and expunge on sealed messages: the octets stay, the seal is made anew, the id is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from service.delivery_peers import Bench, make_bench, message, summary_of

from mailserver.mime.summary_wire import format_summary
from mailserver.model.account import Flag, Role
from mailserver.model.errors import Corrupt, Denied, NotFound
from mailserver.model.ids import MailboxId
from mailserver.service.intake import Intake
from mailserver.service.mail_permit import MailPermit
from mailserver.service.summaries import parse_intake
from mailserver.store import items

LARGE = b"une longue ligne\r\n" * 8000


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("copies"))
    yield bench
    bench.node.close()


@pytest.fixture
def person(bench: Bench, request: pytest.FixtureRequest):
    address = f"p{abs(hash(request.node.nodeid))}@a.localhost"
    made = bench.node.add(address)
    return address, bench.node.open(address, made.app_password)


@pytest.mark.parametrize("body", [b"petit", LARGE], ids=["row", "file"])
@pytest.mark.parametrize("adopted", [False, True])
def test_a_copy_keeps_its_octets_and_its_id(bench: Bench, person, body: bytes, adopted: bool) -> None:
    address, account = person
    sent = message("copied", body=body)
    bench.deliver([address], sent)
    if adopted:
        bench.page(account)
        bench.settle(account)
    (original,) = bench.rows(account)
    blobs = bench.count("blob")
    here, there = bench.box(account).mailbox_id, bench.box(account, Role.ARCHIVE)
    validity, pairs = bench.services.messages.copy(account, (here, there.mailbox_id), [(1, 9)], 1234)
    assert (validity, pairs) == (there.uidvalidity, [(1, 1)])
    (copy,) = bench.rows(account, Role.ARCHIVE)
    assert bench.count("blob") == blobs, "written once"
    assert (copy.email_id, copy.blob_id, copy.received_at) == (
        original.email_id,
        original.blob_id,
        original.received_at,
    )
    assert (copy.is_adopted, copy.saved_at) == (True, 1234)
    assert copy.item_id != original.item_id
    assert not {copy.wrap, copy.summary, copy.place_tag} & {
        original.wrap,
        original.summary,
        original.place_tag,
    }
    for role in (Role.INBOX, Role.ARCHIVE):
        (item,) = bench.page(account, role)
        assert bench.read(account, item).endswith(sent)


def test_a_copy_in_the_same_mailbox_is_another_message(bench: Bench, person) -> None:
    address, account = person
    bench.deliver([address], message("same box"))
    here = bench.box(account).mailbox_id
    assert bench.services.messages.copy(account, (here, here), [(1, 1)], 1)[1] == [(1, 2)]
    assert [summary_of(item).subject for item in bench.page(account)] == ["Lettre same box"] * 2


@pytest.mark.parametrize("body", [b"petit", LARGE], ids=["row", "file"])
def test_a_move_leaves_nothing_behind(bench: Bench, person, body: bytes) -> None:
    address, account = person
    sent = message("moved", body=body)
    bench.deliver([address], sent)
    (original,) = bench.rows(account)
    here, there = bench.box(account).mailbox_id, bench.box(account, Role.TRASH).mailbox_id
    assert bench.services.messages.move(account, (here, there), [(1, 1)], 1)[1] == [(1, 1)]
    assert (bench.rows(account), bench.box(account).exists_count) == ([], 0)
    (moved,) = bench.rows(account, Role.TRASH)
    assert moved.email_id == original.email_id
    (item,) = bench.page(account, Role.TRASH)
    assert bench.read(account, item).endswith(sent)
    assert bench.services.messages.changes(account, here, original.modseq).vanished == [1]


def test_flags_go_along(bench: Bench, person) -> None:
    address, account = person
    bench.deliver([address], message("flags"))
    here, there = bench.box(account).mailbox_id, bench.box(account, Role.ARCHIVE).mailbox_id
    messages = bench.services.messages
    messages.mark_flags(account, here, [(1, 1)], (items_flag("add"), int(Flag.SEEN | Flag.FLAGGED)))
    messages.copy(account, (here, there), [(1, 1)], 1)
    assert bench.rows(account, Role.ARCHIVE)[0].flags == Flag.SEEN | Flag.FLAGGED
    assert bench.box(account, Role.ARCHIVE).unseen_count == 0


def items_flag(value: str):
    from mailserver.store.item_changes import FlagChange

    return FlagChange(value)


def test_copies_are_all_or_nothing(bench: Bench, person) -> None:
    address, account = person
    bench.deliver([address], message("nowhere"))
    here = bench.box(account).mailbox_id
    before = bench.count("item")
    with pytest.raises(NotFound) as refused:
        bench.services.messages.move(account, (here, MailboxId(bytes(16))), [(1, 1)], 1)
    assert refused.value.code == "mailbox"
    assert bench.count("item") == before
    assert len(bench.page(account)) == 1


def test_another_accounts_mailbox_is_not_there(bench: Bench, person) -> None:
    address, account = person
    made = bench.node.add(f"x{address}")
    other = bench.node.open(f"x{address}", made.app_password)
    bench.deliver([address], message("mine"))
    foreign = bench.box(account).mailbox_id
    messages = bench.services.messages
    assert messages.page(other, foreign, [(1, 9)]) == []
    for call in (
        lambda: messages.select(other, foreign, claims_recent=False),
        lambda: messages.changes(other, foreign, 0),
        lambda: messages.copy(other, (bench.box(other).mailbox_id, foreign), [(1, 1)], 1),
    ):
        with pytest.raises(NotFound):
            call()


def _append(bench: Bench, account, octets: bytes, flags: int = 0):
    intake = Intake(bench.store.blobs, 10**8)
    intake.write(octets)
    intake.finish()
    summary = format_summary(parse_intake(intake).summary)
    now = int(datetime.now(UTC).timestamp())
    try:
        sent = bench.box(account, Role.SENT)
        return bench.services.messages.append(account, sent.mailbox_id, intake, summary, (flags, 777, now))
    finally:
        intake.close()


@pytest.mark.parametrize("body", [b"petit", LARGE], ids=["row", "file"])
def test_append_is_never_folded(bench: Bench, person, body: bytes) -> None:
    _address, account = person
    octets = message("appended", body=body)
    placed = [_append(bench, account, octets, int(Flag.SEEN)) for _time in range(2)]
    assert [each.uid for each in placed] == [1, 2]
    found = bench.page(account, Role.SENT)
    assert [bench.read(account, item) for item in found] == [octets, octets]
    assert {(item.row.is_adopted, item.row.received_at, item.row.flags) for item in found} == {(True, 777, 1)}
    assert found[0].row.email_id != found[1].row.email_id
    assert bench.box(account, Role.SENT).unseen_count == 0


def test_an_expunged_message_cannot_be_opened_again(bench: Bench, person) -> None:
    """K18: the wrap is gone with the commit; whoever held a page of the list reads nothing with it."""
    address, account = person
    bench.deliver([address], message("gone"))
    (item,) = bench.page(account)
    bench.settle(account)
    here = bench.box(account).mailbox_id
    assert bench.services.messages.expunge(account, here, [(1, 1)])[0] == [1]
    assert (bench.rows(account), bench.page(account)) == ([], [])
    with pytest.raises(Corrupt) as refused:
        bench.read(account, item)
    assert refused.value.code == "blob-missing"
    with bench.store.database.read() as connection:
        assert items.find_blob(connection, account.account_id, item.row.blob_id) is None


def test_a_file_leaves_when_nobody_holds_it(bench: Bench) -> None:
    people = []
    for name in ("left", "right"):
        made = bench.node.add(f"{name}@a.localhost")
        people.append(bench.node.open(f"{name}@a.localhost", made.app_password))
    bench.deliver(["left@a.localhost", "right@a.localhost"], message("shared", body=LARGE))
    blob_id = bench.rows(people[0])[0].blob_id
    import os

    from mailserver.store.blob_folder import blob_path

    path = blob_path(bench.node.folder / "data" / "blobs", blob_id)
    os.utime(path, (0, 0))
    for account, stays in zip(people, (True, False), strict=True):
        bench.services.messages.expunge(account, bench.box(account).mailbox_id, [(1, 1)])
        assert path.exists() is stays


def test_a_body_needs_its_accounts_permit(bench: Bench, person) -> None:
    address, account = person
    bench.deliver([address], message("permit"))
    (item,) = bench.page(account)
    foreign = MailPermit(bytes(16), datetime.now(UTC).date())
    with pytest.raises(Denied) as refused:
        bench.services.messages.reader(account, item, 10, foreign)
    assert refused.value.code == "permit"


def test_reading_ones_mail_is_logged_once_a_day_and_network(bench: Bench, person) -> None:
    address, account = person
    bench.deliver([address], message("logged"))
    before = bench.count("log_entry")
    for _reading in range(3):
        bench.read(account, bench.page(account)[0])
    assert bench.count("log_entry") == before + 1
