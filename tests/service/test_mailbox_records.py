"""Mailbox records: those of an earlier release open, and what they do not say is empty."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from service.delivery_peers import Bench, make_bench

from mailserver.crypto.ctx import ctx
from mailserver.model.account import Role
from mailserver.model.errors import Corrupt
from mailserver.service.mailbox_records import open_record, seal_record


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("records"))
    yield bench
    bench.node.close()


@pytest.fixture
def account(bench: Bench, request: pytest.FixtureRequest):
    address = f"{request.node.name.replace('_', '-')}@a.localhost"
    return bench.node.open(address, bench.node.add(address).app_password)


def test_a_record_of_the_first_release(bench: Bench, account) -> None:
    row = bench.box(account, Role.DRAFTS)
    fields = {
        "name": "Brouillons",
        "subscribed": False,
        "keywords": ["mine"],
        "role": "drafts",
        "uidvalidity": row.uidvalidity,
    }
    context = ctx("mailbox", account.account_id, row.mailbox_id)
    record = account.mail_keys().wrap_record(json.dumps(fields).encode(), context)
    info = open_record(account, replace(row, record=record))
    assert (info.name, info.is_subscribed, info.keywords) == ("Brouillons", False, ("mine",))
    assert (info.entries, info.server_entries, info.lost_names) == ((), (), ())


def test_a_record_comes_back_whole(bench: Bench, account) -> None:
    info = replace(
        bench.services.mailboxes.load_by_role(account, Role.INBOX),
        name="R\u00e9sultats",
        keywords=("a", "b"),
        lost_names=("x/y",),
        entries=(("/private/a", b"\0\xff"), ("/shared/b", b"")),
        server_entries=(("/private/c", b"d" * 5000),),
    )
    record = seal_record(account, info)
    sealed = replace(info, row=replace(info.row, record=record))
    assert open_record(account, sealed.row) == sealed
    for altered in (
        replace(sealed.row, role=Role.JUNK),
        replace(sealed.row, uidvalidity=1),
        replace(sealed.row, record=record[:-1] + bytes([record[-1] ^ 1])),
        replace(sealed.row, mailbox_id=bench.box(account, Role.JUNK).mailbox_id),
    ):
        with pytest.raises(Corrupt):
            open_record(account, altered)


def test_a_deleted_mailbox_stays_subscribed_within_bounds(
    bench: Bench, account, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailboxes = bench.services.mailboxes
    monkeypatch.setattr("mailserver.service.mailboxes.LOST_NAMES", 2)
    for name in ("a", "b", "c", "b"):
        mailboxes.add_mailbox(account, name, 1)
        mailboxes.delete_mailbox(account, name)
    assert mailboxes.load_by_role(account, Role.INBOX).lost_names == ("c", "b")
    mailboxes.mark_subscribed(account, "c", is_subscribed=False)
    mailboxes.mark_subscribed(account, "nowhere", is_subscribed=False)
    assert mailboxes.load_by_role(account, Role.INBOX).lost_names == ("b",)
