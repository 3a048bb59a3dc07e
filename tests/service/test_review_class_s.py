"""Lengths of class S values say little, and rows of codes and mailboxes cannot be altered unnoticed."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from harness.node import Node, make_node
from sqlalchemy import select, update

from mailserver.crypto.wrap import OVERHEAD_BYTES
from mailserver.model.address import parse_address
from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, SessionId
from mailserver.service.outbound import NoticeOrder, Outbound
from mailserver.service.service_seals import PAD_BYTES, ServiceSeals
from mailserver.service.web_codes import WebCodes
from mailserver.store import schema
from mailserver.store.writer import Unit

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("class-s"))
    yield node
    node.close()


def test_two_people_of_different_names_look_alike(node: Node) -> None:
    short = node.add("a@a.localhost", name="Li FI", contact="a@x.example")
    long = node.add(f"marie-{'x' * 40}@a.localhost", name="Marie-Joséphine FICTIVE", contact="m.j@y.example")
    with node.services.store.database.read() as connection:
        for made in (short, long):
            profile = select(schema.account.c.profile).where(schema.account.c.account_id == made.account_id)
            address = select(schema.address.c.address).where(schema.address.c.account_id == made.account_id)
            sizes = {len(connection.execute(query).scalar_one()) for query in (profile, address)}
            assert sizes == {PAD_BYTES + OVERHEAD_BYTES}
    account = node.open("a@a.localhost", str(short.app_password))
    assert (account.profile.name, account.profile.contact_email) == ("Li FI", "a@x.example")
    assert account.addresses == (parse_address("a@a.localhost"),)


def test_orders_are_padded(node: Node) -> None:
    outbound = Outbound(ServiceSeals(node.custodian))
    for text in ("", "un mot", "x" * 200):
        order = NoticeOrder(parse_address("a@x.example"), "Objet", text)
        job = outbound.notice_job(AccountId(bytes(16)), order, 60, datetime.now(UTC))
        assert (len(job.order) - OVERHEAD_BYTES) % PAD_BYTES == 0
        assert outbound.open_notice(job) == order


def test_a_value_that_would_come_back_otherwise_is_refused(node: Node) -> None:
    with pytest.raises(ValueError, match="no space"):
        ServiceSeals(node.custodian).seal("profile", b"text ", b"context")


def test_a_code_with_more_tries_is_refused(node: Node) -> None:
    """A database writer gives nobody endless tries."""
    services = node.services
    address = f"p{next(_numbers)}@a.localhost"
    made = node.add(address, contact="p@x.example")
    row = node.open(address, str(made.app_password)).account
    codes, session, now = (
        WebCodes(services.store, services.directory, services.notices),
        SessionId(bytes(16)),
        datetime.now(UTC),
    )
    _sent, write = codes.prepare(row, session, now)
    services.store.writer.commit(Unit(made.account_id, write))
    take = codes.prepare_check(row, session, "no code", now)
    assert not services.store.writer.commit(Unit(made.account_id, take))
    with services.store.database.write() as connection:
        here = schema.code.c.account_id == made.account_id
        connection.execute(update(schema.code).where(here).values(tries_left=1000))
    with pytest.raises(Corrupt) as refused:
        services.store.writer.commit(Unit(made.account_id, take))
    assert (refused.value.code, refused.value.detail) == ("row-mac", "code")


@pytest.mark.parametrize(
    ("values", "detail"),
    [({"role": "inbox"}, "role"), ({"uidvalidity": 7}, "role"), ({"record": None}, "")],
    ids=["role", "uidvalidity", "record"],
)
def test_an_altered_mailbox_is_refused(node: Node, values: dict[str, object], detail: str) -> None:
    address = f"p{next(_numbers)}@a.localhost"
    account = node.open(address, str(node.add(address).app_password))
    mailboxes = node.services.mailboxes
    made = mailboxes.add_mailbox(account, "Dossier/Un", 1_790_000_000)
    assert mailboxes.load_mailbox(account, "Dossier/Un") == made
    with node.services.store.database.write() as connection:
        here = schema.mailbox.c.mailbox_id == made.mailbox_id
        connection.execute(update(schema.mailbox).where(here).values(values))
    with pytest.raises(Corrupt) as refused:
        mailboxes.list_mailboxes(account)
    assert (refused.value.code, refused.value.detail) == ("mailbox-record", detail)


def test_a_renamed_mailbox_keeps_its_role(node: Node) -> None:
    address = f"p{next(_numbers)}@a.localhost"
    account = node.open(address, str(node.add(address).app_password))
    mailboxes = node.services.mailboxes
    archive = next(each for each in mailboxes.list_mailboxes(account) if each.role.value == "archive")
    mailboxes.rename_mailbox(account, archive.name, "Vieux/Courriers", 1_790_000_000)
    found = mailboxes.load_mailbox(account, "Vieux/Courriers")
    assert (found.role, found.mailbox_id) == (archive.role, archive.mailbox_id)
    assert mailboxes.load_mailbox(account, "Vieux").is_subscribed
