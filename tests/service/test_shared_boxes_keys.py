"""Who opens a shared box (K11, K23): a member with their own key, and nobody who writes into the database."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from harness.imap_harness import ImapNode, make_node
from harness.imap_transcript import message
from service.shared_desk import ORIGIN, Desk, make_desk
from sqlalchemy import Connection, delete, insert, select, update

from mailserver.crypto.roots import Root
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import open_slot_with
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound
from mailserver.model.ids import ID_BYTES
from mailserver.model.rights import EVERY_RIGHT, MEMBER_RIGHTS
from mailserver.service.administration import NewAccount
from mailserver.service.boxes import format_box_name
from mailserver.service.directory import Profile
from mailserver.service.named_mailboxes import NamedMailboxes
from mailserver.store import schema

NOW = datetime(2026, 10, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("node"))
    yield node
    node.close()


@pytest.fixture
def desk(node: ImapNode) -> Desk:
    return make_desk(node)


def names_of(desk: Desk, name: str) -> NamedMailboxes:
    services = desk.node.services
    return NamedMailboxes(
        services.mailboxes, services.boxes, desk.person(name), lambda: ORIGIN, lambda _box: None
    )


def test_each_member_opens_the_box_with_their_own_key(desk: Desk) -> None:
    desk.node.deliver(desk.box, message(1))
    for name, rights in ((desk.first, EVERY_RIGHT), (desk.second, MEMBER_RIGHTS)):
        account = desk.open(name)
        assert desk.read_all(account) == [message(1)]
        assert account.rights_in(desk.mailbox_id(account)) == rights
        assert account.member is not None
        assert account.member.who.handle == desk.node.accounts[name].address
        assert account.space is None
        with pytest.raises(Denied):
            account.space_root()


def test_a_stranger_opens_nothing(desk: Desk) -> None:
    stranger = make_desk(desk.node)
    with pytest.raises(NotFound) as refused:
        desk.open(stranger.first)
    assert refused.value.code == "mailbox"


def test_the_responsible_member_alone_holds_the_space_root(desk: Desk) -> None:
    store = desk.node.store
    with store.database.read() as connection:
        rows = store.members.list_members(connection, desk.node.accounts[desk.box].account_id)
        by_person = {row.person_id: row for row in rows}
        first = by_person[desk.node.accounts[desk.first].account_id]
        assert by_person[desk.node.accounts[desk.second].account_id].log_slot_id is None
        assert first.log_slot_id is not None
        slot = store.accounts.load_slot(connection, first.account_id, first.log_slot_id)
    with pytest.raises(Corrupt):  # sealed to the space key: a mail client's password does not open it
        desk.person(desk.first).mail_keys().open_slot(slot.header, slot.body)


def alter_members(desk: Desk, change: Callable[[Connection, dict], None]) -> None:
    """What somebody who writes into the database does to the second member's row."""
    table = schema.member
    ids = {name: desk.node.accounts[name].account_id for name in (desk.box, desk.second)}
    with desk.node.store.database.write() as connection:
        here = (table.c.account_id == ids[desk.box]) & (table.c.person_id == ids[desk.second])
        change(connection, dict(connection.execute(select(table).where(here)).mappings().one()))


def test_a_row_copied_to_a_stranger_gives_nothing(desk: Desk) -> None:
    stranger = make_desk(desk.node)
    person_id = desk.node.accounts[stranger.first].account_id
    alter_members(desk, lambda c, row: c.execute(insert(schema.member), [row | {"person_id": person_id}]))
    with pytest.raises(Corrupt) as refused:
        desk.open(stranger.first)
    assert (refused.value.code, refused.value.detail) == ("row-mac", "member")
    listed = names_of(stranger, stranger.first).list_mailboxes()
    assert [
        each.name for each in listed if each.account.member
    ] == []  # one's own mailboxes are listed all the same
    assert len(listed) == 6


def test_rights_of_another_member_do_not_fit(desk: Desk) -> None:
    """The responsible member's sealed rights, put into one's own row: refused, MAC or no MAC."""
    table, store = schema.member, desk.node.store
    first = desk.node.accounts[desk.first].account_id
    box = desk.node.accounts[desk.box].account_id

    def swap(connection: Connection, row: dict) -> None:
        better = connection.execute(
            select(table.c.rights).where(table.c.account_id == box, table.c.person_id == first)
        ).scalar_one()
        here = (table.c.account_id == box) & (table.c.person_id == row["person_id"])
        connection.execute(update(table).where(here).values(rights=better))

    alter_members(desk, swap)
    with pytest.raises(Corrupt):
        desk.open()
    with store.database.read() as connection:
        rows = connection.execute(select(table).where(table.c.account_id == box)).mappings().all()
    row = next(dict(each) for each in rows if each["person_id"] != first)
    honest = replace(_member_row(desk), rights=row["rights"])
    with pytest.raises(Corrupt):  # the seal is bound to both ids
        desk.node.services.boxes._directory.open_rights(honest)


def _member_row(desk: Desk):
    with desk.node.store.database.read() as connection:
        box = desk.node.accounts[desk.box].account_id
        first = desk.node.accounts[desk.first].account_id
        row = desk.node.store.members.load_member(connection, box, first)
    return replace(row, person_id=desk.node.accounts[desk.second].account_id)


def test_a_deleted_row_takes_everything_away(desk: Desk) -> None:
    table = schema.member
    alter_members(
        desk,
        lambda c, row: c.execute(
            delete(table).where(
                table.c.account_id == row["account_id"], table.c.person_id == row["person_id"]
            )
        ),
    )
    with pytest.raises(NotFound):
        desk.open()


def test_a_deleted_slot_takes_everything_away(desk: Desk) -> None:
    """Also from a connection that opened it before."""
    names = names_of(desk, desk.second)
    box_id = desk.node.accounts[desk.box].account_id
    held = names.open_box(box_id)
    alter_members(
        desk, lambda c, row: c.execute(delete(schema.slot).where(schema.slot.c.slot_id == row["slot_id"]))
    )
    with pytest.raises(NotFound):
        names.open_box(box_id)
    assert names._held == {}
    assert held.member is not None


def test_a_slot_opens_for_its_person_alone(desk: Desk) -> None:
    """The payload names the person: a slot sealed to one's key by mistake or malice for another is refused."""
    store, box_id = desk.node.store, desk.node.accounts[desk.box].account_id
    person = desk.person()
    with store.database.read() as connection:
        row = store.members.load_member(connection, box_id, person.account_id)
        slot = store.accounts.load_slot(connection, box_id, row.slot_id)
    payload = person.mail_keys().open_slot(slot.header, slot.body)
    assert payload[:ID_BYTES] == person.account_id
    root = Root(Secret(payload[ID_BYTES:]))
    with store.database.read() as connection:
        account = store.accounts.load_account(connection, box_id)
    assert root.pair(1).public == account.mail_public
    with pytest.raises(Corrupt):
        open_slot_with(slot.header, slot.body, root.pair(1))


def test_a_disabled_box_opens_for_nobody(desk: Desk) -> None:
    address = parse_address(desk.node.accounts[desk.box].address)
    desk.node.administration.disable_account(address, NOW)
    with pytest.raises(NotFound):
        desk.open()


def test_members_are_added_and_removed(desk: Desk) -> None:
    node = desk.node
    third = make_desk(node).first
    box, person = (parse_address(node.accounts[name].address) for name in (desk.box, third))
    node.members.add_member(box, person, NOW)
    assert desk.open(third).member is not None
    with pytest.raises(Conflict):
        node.members.add_member(box, person, NOW)
    assert {str(each.address) for each in node.members.list_members(box)} >= {str(person)}
    node.members.remove_member(box, person, NOW)
    with pytest.raises(NotFound):
        desk.open(third)
    with pytest.raises(NotFound):
        node.members.remove_member(box, person, NOW)
    node.members.add_member(box, person, NOW, is_responsible=True)
    assert desk.open(third).rights_in(bytes(16)) == EVERY_RIGHT
    said = [
        (each.kind.value, each.what.words, each.what.parameters[0][1])
        for each in node.read_log(desk.box)
        if each.what.kind == "person"
    ]
    assert said == [
        ("slot-added", str(person), "member-added"),
        ("slot-removed", str(person), "member-removed"),
        ("slot-added", str(person), "member-responsible"),
    ]


def test_who_can_be_a_member(desk: Desk) -> None:
    node = desk.node
    box, person = (parse_address(node.accounts[name].address) for name in (desk.box, desk.second))
    with pytest.raises(NotFound):
        node.members.add_member(box, box, NOW)
    with pytest.raises(NotFound):
        node.members.add_member(box, parse_address("nobody@a.localhost"), NOW)
    with pytest.raises(Malformed):
        node.members.add_member(person, person, NOW)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("secretariat@sante.example", "Shared/secretariat@sante.example"),
        ("a/b@sante.example", "Shared/a=2Fb@sante.example"),
        ("50%*=x@sante.example", "Shared/50=25=2A=3Dx@sante.example"),
    ],
)
def test_names(address: str, name: str) -> None:
    assert format_box_name(parse_address(address)) == name


def test_a_box_whose_address_has_a_slash_is_one_level(node: ImapNode) -> None:
    person = make_desk(node).first
    address = parse_address("service/garde@a.localhost")
    member = parse_address(node.accounts[person].address)
    new = NewAccount(AccountKind.CAB, address, Profile("Garde"), members=(member,))
    node.administration.add_account(new, NOW)
    services = node.services
    names = NamedMailboxes(
        services.mailboxes, services.boxes, node.open(person), lambda: ORIGIN, lambda _b: None
    )
    assert names.load_mailbox("Shared/service=2Fgarde@a.localhost/INBOX").info.name == "INBOX"
