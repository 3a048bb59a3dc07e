"""Mailbox records: those of an earlier release open, and what they do not say is empty."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
    assert (info.entries, info.server_entries, info.lost_names, info.lost_validity) == ((), (), (), 0)


def test_a_record_comes_back_whole(bench: Bench, account) -> None:
    info = replace(
        bench.services.mailboxes.load_by_role(account, Role.INBOX),
        name="R\u00e9sultats",
        keywords=("a", "b"),
        lost_names=("x/y",),
        entries=(("/private/a", b"\0\xff"), ("/shared/b", b"")),
        server_entries=(("/private/c", b"d" * 5000),),
        lost_validity=2**31,
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


def test_a_uidvalidity_is_never_used_again(bench: Bench, account) -> None:
    """RFC 9051 §6.3.5: not even within the second, nor with a clock that stands still."""
    mailboxes = bench.services.mailboxes
    seen = []
    for _ in range(3):
        seen.append(mailboxes.add_mailbox(account, "a", 1).row.uidvalidity)
        mailboxes.delete_mailbox(account, "a")
    assert seen == sorted(set(seen))
    mailboxes.add_mailbox(account, "b", 1)
    mailboxes.rename_mailbox(account, "b", "c", 1)
    assert mailboxes.load_mailbox(account, "c").row.uidvalidity > seen[-1], "its own goes with it"


def test_a_name_of_birth_does_not_come_back_with_its_uidvalidity(bench: Bench, account) -> None:
    mailboxes = bench.services.mailboxes
    was = bench.box(account, Role.JUNK).uidvalidity
    assert bench.box(account, Role.ARCHIVE).uidvalidity == was
    mailboxes.delete_mailbox(account, "Junk")
    mailboxes.rename_mailbox(account, "Archive", "Junk", 1)
    info = mailboxes.load_mailbox(account, "Junk")
    assert info.row.uidvalidity > was
    assert info.role is Role.ARCHIVE


def test_a_name_is_given_once(bench: Bench, account) -> None:
    """Whoever asks at the same moment: the name is looked for where it is taken."""
    mailboxes = bench.services.mailboxes
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(mailboxes.add_mailbox, account, "x/y", 1) for _ in range(8)]
        outcomes = [each.exception() for each in asked]
    assert [getattr(error, "code", "made") for error in outcomes].count("made") == 1
    assert [info.name for info in mailboxes.list_mailboxes(account)].count("x/y") == 1
