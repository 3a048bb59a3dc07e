"""COPY and MOVE from one account to another: what is sealed anew, what is shared, and what a crash leaves."""

import os
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import UTC, datetime

import pytest
from harness.imap_harness import ImapNode, make_node
from harness.imap_transcript import message
from service.shared_desk import EVERY, ORIGIN, Desk, make_desk

from mailserver.model.account import Flag, Role
from mailserver.model.address import parse_address
from mailserver.model.errors import Denied, NotFound, OverLimit, Unavailable
from mailserver.service.keys import OpenAccount
from mailserver.service.messages import Messages
from mailserver.service.quotas import Amount
from mailserver.service.transfers import Transfer
from mailserver.store import items
from mailserver.store.blob_folder import blob_path
from mailserver.store.item_changes import FlagChange
from mailserver.store.items import BlobRow, ItemRow
from mailserver.store.writer import Unit, Writer

LARGE = b"Subject: grand\r\n\r\n" + b"x" * 200_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("node"))
    yield node
    node.close()


@pytest.fixture
def desk(node: ImapNode) -> Desk:
    return make_desk(node)


def carry(
    desk: Desk, source: OpenAccount, target: OpenAccount, *, is_move: bool, messages: Messages | None = None
):
    """Everything of an inbox to the other's archive."""
    ends = desk.mailbox_id(source), desk.mailbox_id(target, Role.ARCHIVE)
    transfer = Transfer(*ends, 1_790_000_001, None, is_move=is_move)
    return (messages or desk.node.services.messages).carry(source, target, transfer, EVERY)


def rows(desk: Desk, account: OpenAccount, role: Role = Role.INBOX) -> list[tuple[ItemRow, BlobRow]]:
    with desk.node.store.database.read() as connection:
        listed = items.list_items(connection, account.account_id, desk.mailbox_id(account, role), EVERY)
        found = [(row, items.find_blob(connection, account.account_id, row.blob_id)) for row in listed]
    return [(row, blob) for row, blob in found if blob is not None]


def test_a_small_message_gets_octets_and_ids_of_its_own(desk: Desk) -> None:
    desk.node.deliver(desk.box, message(1))
    box, own = desk.open(), desk.person()
    _validity, pairs = carry(desk, box, own, is_move=False)
    assert pairs == [(1, 1)]
    assert desk.read_all(own, Role.ARCHIVE) == desk.read_all(box) == [message(1)]
    ((here, here_blob),), ((there, there_blob),) = rows(desk, box), rows(desk, own, Role.ARCHIVE)
    assert here.blob_id != there.blob_id
    assert here.email_id != there.email_id
    assert here_blob.octets != there_blob.octets
    assert there.received_at == here.received_at
    desk.node.services.messages.expunge(box, desk.mailbox_id(box), EVERY)
    assert desk.read_all(own, Role.ARCHIVE) == [message(1)]


def test_a_large_message_is_one_file_of_two_accounts(desk: Desk) -> None:
    desk.node.deliver(desk.box, LARGE)
    box, own, blobs = desk.open(), desk.person(), desk.node.store.blobs
    for _again in range(2):  # the second copy finds the file named already
        carry(desk, box, own, is_move=False)
    ((here, blob),) = rows(desk, box)
    assert blob.octets is None
    os.utime(blob_path(blobs._folder, here.blob_id), (0, 0))  # a young file is left to the sweep
    assert {row.blob_id for row, _blob in rows(desk, own, Role.ARCHIVE)} == {here.blob_id}
    assert desk.read_all(own, Role.ARCHIVE) == [LARGE, LARGE]
    messages = desk.node.services.messages
    messages.expunge(box, desk.mailbox_id(box), EVERY)
    assert here.blob_id in blobs.list_blobs()
    messages.expunge(own, desk.mailbox_id(own, Role.ARCHIVE), EVERY)
    assert here.blob_id not in blobs.list_blobs()


@pytest.mark.parametrize("octets", [message(1), LARGE], ids=["row", "file"])
def test_a_move_takes_it_away(desk: Desk, octets: bytes) -> None:
    desk.node.deliver(desk.second, octets)
    box, own = desk.open(), desk.person()
    carry(desk, own, box, is_move=True)
    assert rows(desk, own) == []
    assert desk.read_all(box, Role.ARCHIVE) == [octets]
    assert [each.kind.value for each in desk.acts()] == ["message-opened"]  # what is brought in is no reading


def test_a_file_that_its_source_let_go_is_passed_over(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and placing, another member expunges it: its file may be gone with the commit."""
    desk.node.deliver(desk.box, LARGE)
    box, own, messages = desk.open(), desk.person(), desk.node.services.messages
    submit = Writer.submit

    def first_expunged(writer: Writer, unit: Unit) -> Future:
        if unit.account_id == own.account_id:
            monkeypatch.setattr(Writer, "submit", submit)
            messages.expunge(box, desk.mailbox_id(box), EVERY)
        return submit(writer, unit)

    monkeypatch.setattr(Writer, "submit", first_expunged)
    _validity, pairs = carry(desk, box, own, is_move=False)
    assert pairs == []
    assert rows(desk, own, Role.ARCHIVE) == []


def test_the_quota_of_the_target_counts(desk: Desk) -> None:
    desk.node.deliver(desk.box, message(1), message(2))
    desk.node.deliver(desk.second, message(3))
    messages = Messages(desk.node.store, Amount(2, 2**30))
    box, own = desk.open(), desk.person()
    for is_move in (False, True):
        with pytest.raises(OverLimit) as refused:
            carry(desk, box, own, is_move=is_move, messages=messages)
        assert refused.value.code == "quota"
    assert len(rows(desk, box)) == 2
    assert rows(desk, own, Role.ARCHIVE) == []


class Disk:
    """Units of one account from the n-th on find a full disk; those before are counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, account: OpenAccount, fail_from: int) -> None:
        seen = 0
        submit = Writer.submit

        def spied(writer: Writer, unit: Unit) -> Future:
            nonlocal seen
            seen += unit.account_id == account.account_id
            if unit.account_id == account.account_id and seen >= fail_from and not self.is_mended:
                failed: Future = Future()
                failed.set_exception(Unavailable("disk-full"))
                return failed
            return submit(writer, unit)

        self.is_mended = False
        monkeypatch.setattr(Writer, "submit", spied)


def test_a_copy_that_fails_leaves_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.node.deliver(desk.box, *(message(number % 9) for number in range(6)))
    box, own = desk.open(), desk.person()
    monkeypatch.setattr("mailserver.service.crossings.PART_ITEMS", 2)
    seal, calls = desk.node.services.messages._crossings._seal_for_target, []

    def fails_at_five(account_id, each):
        calls.append(each)
        if len(calls) == 5:
            raise Unavailable("disk-full")
        return seal(account_id, each)

    monkeypatch.setattr(desk.node.services.messages._crossings, "_seal_for_target", fails_at_five)
    with pytest.raises(Unavailable):
        carry(desk, box, own, is_move=False)
    assert rows(desk, own, Role.ARCHIVE) == []
    assert len(rows(desk, box)) == 6


def test_a_crash_between_the_two_units_leaves_both(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """MOVE out of the box: its log and the copies are committed, then the store fails: in both places, never in none."""
    desk.node.deliver(desk.box, message(1))
    box, own = desk.open(), desk.person()
    desk.node.services.messages.page(
        box, desk.mailbox_id(box), EVERY
    )  # adopted: the box's next Unit is the log's
    desk.node.store.writer.commit(Unit(box.account_id, lambda _connection: None))
    disk = Disk(monkeypatch, box, fail_from=2)  # 1: the log; 2: the expunge
    with pytest.raises(Unavailable):
        carry(desk, box, own, is_move=True)
    disk.is_mended = True
    assert len(rows(desk, box)) == len(rows(desk, own, Role.ARCHIVE)) == 1
    assert [each.kind.value for each in desk.acts()] == ["exported"]


def test_without_the_log_nothing_is_copied(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.node.deliver(desk.box, message(1))
    box, own = desk.open(), desk.person()
    desk.node.services.messages.page(box, desk.mailbox_id(box), EVERY)
    disk = Disk(monkeypatch, box, fail_from=1)
    with pytest.raises(Unavailable):
        carry(desk, box, own, is_move=False)
    disk.is_mended = True
    assert rows(desk, own, Role.ARCHIVE) == []


def test_flags_go_along_as_they_are_when_placed(desk: Desk) -> None:
    desk.node.deliver(desk.box, message(1))
    box, own, messages = desk.open(), desk.person(), desk.node.services.messages
    messages.mark_flags(box, desk.mailbox_id(box), EVERY, (FlagChange.ADD, int(Flag.FLAGGED | Flag.SEEN)))
    carry(desk, box, own, is_move=False)
    ((row, _blob),) = rows(desk, own, Role.ARCHIVE)
    assert row.flags == Flag.FLAGGED | Flag.SEEN
    listed = messages.select(own, desk.mailbox_id(own, Role.ARCHIVE), claims_recent=False).rows
    assert [flags for _uid, flags, _modseq in listed] == [row.flags]


def test_between_two_boxes(desk: Desk) -> None:
    node, other = desk.node, make_desk(desk.node)
    node.deliver(desk.box, message(1))
    box, person = (parse_address(node.accounts[name].address) for name in (other.box, desk.second))
    node.members.add_member(box, person, datetime.now(UTC))
    target = node.services.boxes.open_box(desk.person(), node.accounts[other.box].account_id, ORIGIN, None)
    carry(desk, desk.open(), target, is_move=True)
    assert other.read_all(other.open(other.first), Role.ARCHIVE) == [message(1)]
    assert [each.kind.value for each in desk.acts()] == ["exported", "deleted"]


@pytest.mark.parametrize(
    ("letters", "may_copy", "may_move"),
    [
        ("lr", True, False),
        ("lrte", True, True),
        ("lrt", True, False),
        ("lre", True, False),
        ("l", False, False),
    ],
)
def test_rights_out_of_a_box(desk: Desk, letters: str, may_copy: bool, may_move: bool) -> None:
    desk.node.deliver(desk.box, message(1))
    desk.limit(letters, Role.INBOX)
    for is_move, may in ((False, may_copy), (True, may_move)):
        if may:
            carry(desk, desk.open(), desk.person(), is_move=is_move)
            continue
        with pytest.raises(Denied) as refused:
            carry(desk, desk.open(), desk.person(), is_move=is_move)
        assert refused.value.code == "right"


@pytest.mark.parametrize(
    ("letters", "flags"),
    [
        ("li", 0),
        ("lis", Flag.SEEN),
        ("lit", Flag.DELETED),
        ("liw", Flag.FLAGGED),
        ("liswt", Flag.SEEN | Flag.DELETED | Flag.FLAGGED),
    ],
)
def test_flags_that_may_not_be_set_are_left_out(desk: Desk, letters: str, flags: int) -> None:
    """RFC 4314 §4: the copy does not fail for them."""
    desk.node.deliver(desk.second, message(1))
    own, every = desk.person(), Flag.SEEN | Flag.DELETED | Flag.FLAGGED
    change = (FlagChange.ADD, int(every))
    desk.node.services.messages.mark_flags(own, desk.mailbox_id(own), EVERY, change)
    desk.limit(letters, Role.ARCHIVE)
    carry(desk, own, desk.open(), is_move=False)
    box = desk.open(desk.first)
    messages = desk.node.services.messages
    listed = messages.select(box, desk.mailbox_id(box, Role.ARCHIVE), claims_recent=False).rows
    assert [found for _uid, found, _modseq in listed] == [flags]


@pytest.mark.parametrize(("letters", "error"), [("lrswpkxte", Denied), ("", NotFound)])
def test_who_may_not_insert(desk: Desk, letters: str, error: type[Exception]) -> None:
    desk.node.deliver(desk.second, message(1))
    desk.limit(letters, Role.ARCHIVE)
    with pytest.raises(error):
        carry(desk, desk.person(), desk.open(), is_move=False)
