"""Rights are judged where keys are used, in the service (RFC 4314 §4, K23): no edge can forget to ask."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from harness.imap_harness import LIMIT_BYTES, ImapNode, make_node
from harness.imap_transcript import message
from service.shared_desk import EVERY, ORIGIN, Desk, make_desk

from mailserver.audit.wording import Language, describe
from mailserver.mime.summary_wire import format_summary
from mailserver.model.account import Flag, Role
from mailserver.model.address import parse_address
from mailserver.model.errors import Conflict, Denied, NotFound
from mailserver.model.rights import EVERY_RIGHT, Right, format_rights, parse_rights
from mailserver.service.intake import Intake
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.summaries import parse_intake
from mailserver.store.item_changes import FlagChange
from mailserver.store.writer import Writer

NOW = datetime(2026, 10, 5, tzinfo=UTC)
STAMP = 1_790_000_000


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("node"))
    yield node
    node.close()


@pytest.fixture
def desk(node: ImapNode) -> Desk:
    return make_desk(node)


def append(desk: Desk, account: OpenAccount) -> object:
    intake = Intake(desk.node.store.blobs, LIMIT_BYTES)
    try:
        intake.write(message(1))
        intake.finish()
        summary = format_summary(parse_intake(intake).summary)
        stamp = (0, STAMP, STAMP)
        return desk.node.services.messages.append(account, desk.mailbox_id(account), intake, summary, stamp)
    finally:
        intake.close()


def ends(desk: Desk, account: OpenAccount):
    return desk.mailbox_id(account), desk.mailbox_id(account, Role.ARCHIVE)


USES: dict[str, tuple[str, Callable[[Desk, OpenAccount], object]]] = {
    "select": ("r", lambda d, a: d.node.services.messages.select(a, d.mailbox_id(a), claims_recent=True)),
    "changes": ("r", lambda d, a: d.node.services.messages.changes(a, d.mailbox_id(a), 0)),
    "page": ("r", lambda d, a: d.node.services.messages.page(a, d.mailbox_id(a), EVERY)),
    "octets": ("r", lambda d, a: d.node.services.messages.page_with_octets(a, d.mailbox_id(a), [1])),
    "append": ("i", append),
    "seen": ("rs", lambda d, a: flags(d, a, Flag.SEEN)),
    "deleted": ("rt", lambda d, a: flags(d, a, Flag.DELETED)),
    "flagged": ("rw", lambda d, a: flags(d, a, Flag.FLAGGED)),
    "expunge": ("re", lambda d, a: d.node.services.messages.expunge(a, d.mailbox_id(a), EVERY)),
    "expunge deleted": (
        "re",
        lambda d, a: d.node.services.messages.expunge_deleted(a, d.mailbox_id(a), ([1], 0)),
    ),
    "move": ("rte", lambda d, a: d.node.services.messages.move(a, ends(d, a), EVERY, STAMP)),
    "copy": ("r", lambda d, a: d.node.services.messages.copy(a, ends(d, a), EVERY, STAMP)),
    "rights": ("a", lambda d, a: d.node.services.rights.list_rights(a, d.mailbox_id(a))),
    "inferior": ("k", lambda d, a: d.node.services.mailboxes.add_mailbox(a, "INBOX/x", STAMP)),
}


def flags(desk: Desk, account: OpenAccount, flag: Flag) -> object:
    messages = desk.node.services.messages
    return messages.mark_flags(account, desk.mailbox_id(account), EVERY, (FlagChange.ADD, int(flag)))


@pytest.mark.parametrize("use", USES)
def test_each_use_needs_its_rights_and_no_others(desk: Desk, use: str) -> None:
    needed, run = USES[use]
    desk.node.deliver(desk.box, message(1))
    for missing in needed:
        every_other = format_rights(EVERY_RIGHT - {Right(missing)}).rstrip("cd")
        desk.limit(every_other)
        with pytest.raises(Denied) as refused:
            run(desk, desk.open())
        assert refused.value.code == "right", missing
    desk.limit("")
    with pytest.raises((NotFound, Denied)):
        run(desk, desk.open())
    desk.limit("l" + needed)
    run(desk, desk.open())


def test_a_hidden_mailbox_is_not_there(desk: Desk) -> None:
    desk.limit("")
    account, mailboxes = desk.open(), desk.node.services.mailboxes
    assert "INBOX" not in {info.name for info in mailboxes.list_mailboxes(account)}
    assert mailboxes.find_mailbox(account, "INBOX") is None
    with pytest.raises(NotFound) as refused:
        desk.node.services.messages.select(account, desk.mailbox_id(account), claims_recent=False)
    assert refused.value.code == "mailbox"


def test_own_keywords_need_w(desk: Desk) -> None:
    desk.limit("lrs")
    account, mailboxes = desk.open(), desk.node.services.mailboxes
    info = mailboxes.load_mailbox(account, "INBOX")
    assert mailboxes.add_keywords(account, info, ["Urgent"]) == info


def test_replacing_flags_keeps_those_of_others(desk: Desk) -> None:
    desk.node.deliver(desk.box, message(1))
    first = desk.open(desk.first)
    flags(desk, first, Flag.DELETED | Flag.ANSWERED | Flag.SEEN)
    desk.limit("lrw")
    account, messages = desk.open(), desk.node.services.messages
    change = (FlagChange.REPLACE, int(Flag.FLAGGED | Flag.DELETED))
    marked = messages.mark_flags(account, desk.mailbox_id(account), EVERY, change)
    assert marked.changed == [(1, Flag.FLAGGED | Flag.DELETED | Flag.SEEN)]
    again = messages.mark_flags(account, desk.mailbox_id(account), EVERY, change)
    assert again.changed == []


def test_rights_follow_the_mailbox(desk: Desk) -> None:
    """A new mailbox has its parent's (RFC 4314 §4), a renamed one keeps its own, and they go with it."""
    first, mailboxes, rights = desk.open(desk.first), desk.node.services.mailboxes, desk.node.services.rights
    address = parse_address(desk.node.accounts[desk.second].address)
    made = mailboxes.add_mailbox(first, "Projet", STAMP)
    rights.change_rights(first, (made.mailbox_id, "Projet"), address, lambda _now: parse_rights("lr"), NOW)
    below = mailboxes.add_mailbox(first, "Projet/a/b", STAMP)
    beside = mailboxes.add_mailbox(first, "Autre", STAMP)
    held = desk.open()
    assert held.rights_in(below.mailbox_id) == parse_rights("lr")
    assert held.rights_in(mailboxes.load_mailbox(first, "Projet/a").mailbox_id) == parse_rights("lr")
    assert Right.WRITE in held.rights_in(beside.mailbox_id)
    mailboxes.rename_mailbox(first, "Projet/a/b", "Autre/b", STAMP)
    assert desk.open().rights_in(below.mailbox_id) == parse_rights("lr")
    mailboxes.delete_mailbox(first, "Autre/b")
    member = desk.open().member
    assert member is not None
    assert below.mailbox_id not in member.rights.special


def test_without_the_keeper_of_rights_no_mailbox_is_made(desk: Desk) -> None:
    """A part of the program that was not given it cannot make one that forgets its parent's rights."""
    with pytest.raises(Denied):
        Mailboxes(desk.node.store).add_mailbox(desk.open(desk.first), "INBOX/x", STAMP)


def test_at_the_root_a_members_usual_rights_say(desk: Desk) -> None:
    assert desk.node.services.mailboxes.add_mailbox(desk.open(), "Racine", STAMP).name == "Racine"


def test_changes_are_in_the_boxs_log(desk: Desk) -> None:
    desk.limit("lr")
    (event,) = desk.acts()
    address = desk.node.accounts[desk.second].address
    assert describe(event, Language.ENGLISH) == (
        f"Camille FICTIF modified the access of “{address}” (act: inbox lr)."
    )
    assert event.who.handle == desk.node.accounts[desk.first].address
    assert event.origin == ORIGIN


def test_two_changes_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, count = Writer.submit, itertools.count()

    def overtaken(writer: Writer, unit) -> object:
        if next(count) == 0:
            desk.limit("lrs")
        return submit(writer, unit)

    monkeypatch.setattr(Writer, "submit", overtaken)
    with pytest.raises(Conflict) as refused:
        desk.limit("lr")
    assert refused.value.code == "rights-changed"
    account = desk.open()
    assert account.rights_in(desk.mailbox_id(account)) == parse_rights("lrs")


def test_a_right_withdrawn_meanwhile_changes_nothing(desk: Desk) -> None:
    """The connection believes that it may; the transaction asks again."""
    rights, address = desk.node.services.rights, parse_address(desk.node.accounts[desk.second].address)
    desk.limit("lra")
    held = desk.open()
    desk.limit("lr")
    with pytest.raises(Denied) as refused:
        mailbox = desk.mailbox_id(held), "INBOX"
        rights.change_rights(held, mailbox, address, lambda _now: EVERY_RIGHT, NOW)
    assert refused.value.code == "right"


def test_who_administers_may_give(desk: Desk) -> None:
    desk.limit("lra")
    held, first = desk.open(), parse_address(desk.node.accounts[desk.first].address)
    rights, mailbox = desk.node.services.rights, (desk.mailbox_id(held), "INBOX")
    assert rights.change_rights(held, mailbox, first, lambda _now: frozenset(), NOW) == parse_rights("la")
    with pytest.raises(Denied) as refused:
        rights.change_rights(held, mailbox, parse_address("n@a.localhost"), lambda now: now, NOW)
    assert refused.value.code == "not-a-member"


def test_one_owns_ones_own(desk: Desk) -> None:
    own, rights = desk.person(), desk.node.services.rights
    assert own.rights_in(desk.mailbox_id(own)) == EVERY_RIGHT
    address = parse_address(desk.node.accounts[desk.first].address)
    with pytest.raises(Denied) as refused:
        rights.change_rights(own, (desk.mailbox_id(own), "INBOX"), address, lambda now: now, NOW)
    assert refused.value.code == "not-shared"
