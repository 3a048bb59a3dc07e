"""K22: an unknown account, a wrong tag, a wrong secret and a disabled account cost the same queries, MACs and keys,
and no refusal leaves before its time.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.node import Node, make_node
from sqlalchemy import event

from mailserver.audit.events import Origin
from mailserver.crypto import slots
from mailserver.crypto.custodian import Custodian
from mailserver.crypto.slots import ARGON2_FLOOR, SlotScope, new_app_password
from mailserver.model.address import parse_address
from mailserver.model.errors import Denied
from mailserver.service import keys as keys_module
from mailserver.service.sasl import TokenLogin
from mailserver.store.hot_statements import HotRead
from mailserver.store.row_macs import RowMacs

PASSWORD = "un mot de passe long"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    node = make_node(tmp_path_factory.mktemp("work"))
    yield node
    node.close()


@dataclass
class Work:
    """What an attempt cost. ``macs``: (table, bytes under the MAC); ``slots``: bytes of headers and bodies opened."""

    queries: list[str] = field(default_factory=list)
    macs: list[tuple[str, int]] = field(default_factory=list)
    slots: list[tuple[int, int]] = field(default_factory=list)
    hardened: list[int] = field(default_factory=list)
    lookups: int = 0

    def facts(self) -> tuple[object, ...]:
        return self.queries, [table for table, _size in self.macs], self.slots, self.hardened, self.lookups


@pytest.fixture
def cost(node: Node, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], Work]:
    now = [Work()]
    check, lookup, harden, open_slot = RowMacs.check, RowMacs.lookup, Custodian.harden, slots.open_slot

    def checked(self, table, fields, mac):
        size = sum(len(each) if isinstance(each, bytes | str) else 8 for each in fields)
        now[0].macs.append((table, size))
        check(self, table, fields, mac)

    def looked_up(self, label, text):
        now[0].lookups += 1
        return lookup(self, label, text)

    def hardened(self, account, slot, value, *standing):
        now[0].hardened.append(len(account) + len(slot) + len(value))
        return harden(self, account, slot, value, *standing)

    def opened(header, body, secret):
        now[0].slots.append((len(header), len(body)))
        return open_slot(header, body, secret)

    monkeypatch.setattr(RowMacs, "check", checked)
    monkeypatch.setattr(RowMacs, "lookup", looked_up)
    monkeypatch.setattr(Custodian, "harden", hardened)
    monkeypatch.setattr(keys_module, "open_slot", opened)
    monkeypatch.setattr(keys_module, "ARGON2_DEFAULT", ARGON2_FLOOR)  # what the harness's accounts have

    def queried(_connection, _cursor, statement, *_more) -> None:
        now[0].queries.append(statement)

    read = HotRead.all

    def read_hot(
        statement: HotRead[object], connection: object, parameters: dict[str, object]
    ) -> list[object]:
        now[0].queries.append(str(statement._query))
        return read(statement, connection, parameters)

    monkeypatch.setattr(HotRead, "all", read_hot)  # they run on the driver, where no event tells
    engine = node.services.store.database.reader
    event.listen(engine, "before_cursor_execute", queried)

    def measure(attempt: Callable[[], object]) -> Work:
        now[0] = Work()
        with pytest.raises(Denied) as refused:
            attempt()
        assert (refused.value.code, refused.value.detail) == ("login", "")
        return now[0]

    yield measure
    event.remove(engine, "before_cursor_execute", queried)


def people(node: Node) -> tuple[str, str, str, str]:
    """A known login, its app password, a disabled login, its app password."""
    number = next(_numbers)
    known, off = f"known{number}@a.localhost", f"off{number}@a.localhost"
    made, disabled = node.add(known, password=PASSWORD), node.add(off, password=PASSWORD)
    node.services.administration.disable_account(parse_address(off), datetime.now(UTC))
    return known, str(made.app_password), off, str(disabled.app_password)


def test_app_passwords_cost_the_same(node: Node, cost) -> None:
    known, secret, off, off_secret = people(node)
    same_tag = secret.replace("-", "")[:8] + new_app_password().replace("-", "")[8:]
    cases = {
        "other tag": (known, new_app_password()),
        "same tag, other secret": (known, same_tag),
        "unknown": ("nobody@a.localhost", secret),
        "no address": ("no address", secret),
        "disabled": (off, off_secret),
        "disabled, other": (off, new_app_password()),
    }
    open_one = node.services.keys.open_with_app_password
    works = {
        name: cost(lambda c=case: open_one(*c, [SlotScope.IMAP_SMTP], 0)) for name, case in cases.items()
    }
    first = works["same tag, other secret"]
    assert len([each for each in first.queries if each.startswith("SELECT")]) == 3
    assert [table for table, _size in first.macs] == ["address", "account", "slot"]
    for name, work in works.items():
        assert work.facts() == first.facts(), name
        for (table, size), (_table, usual) in zip(work.macs, first.macs, strict=True):
            assert abs(size - usual) <= usual // 4, (name, table, size, usual)


def test_passwords_cost_the_same(node: Node, cost) -> None:
    known, _secret, off, _off_secret = people(node)
    without = f"app{next(_numbers)}@a.localhost"
    node.add(without)
    cases = {
        "wrong": (known, "another password"),
        "unknown": ("nobody@a.localhost", PASSWORD),
        "no address": ("no address", PASSWORD),
        "disabled": (off, PASSWORD),
        "no password": (without, PASSWORD),
    }
    works = {
        name: cost(lambda c=case: node.services.keys.open_with_password(*c)) for name, case in cases.items()
    }
    first = works["wrong"]
    assert (len(first.slots), len(first.hardened), len(first.macs)) == (1, 1, 3)
    for name, work in works.items():
        assert work.queries == first.queries, name
        assert [table for table, _size in work.macs] == [table for table, _size in first.macs], name
        assert (len(work.slots), work.hardened) == (1, first.hardened), name


def test_tokens_cost_the_same(node: Node, cost, monkeypatch: pytest.MonkeyPatch) -> None:
    known, _secret, off, _off_secret = people(node)
    asked: list[tuple[int, int]] = []
    release_mail = Custodian.release_mail

    def seen(self, account, header, body, public, proof):
        asked.append((len(header), len(body)))
        return release_mail(self, account, header, body, public, proof)

    monkeypatch.setattr(Custodian, "release_mail", seen)
    open_one, origin = node.services.logins.open_with_token, Origin("192.0.2.0/24", "test")
    logins = {"known": known, "unknown": "nobody@a.localhost", "no address": "no address", "disabled": off}
    works = {
        name: cost(lambda each=login: open_one(TokenLogin(each, b"token"), SlotScope.IMAP, origin))
        for name, login in logins.items()
    }
    first = works["known"]
    assert [table for table, _size in first.macs] == ["address", "account", "slot"]
    for name, work in works.items():
        assert work.facts() == first.facts(), name
    assert len(asked) == len(logins)
    assert len(set(asked)) == 1


def test_a_refusal_waits_without_a_connection(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    sleep, database = time.sleep, node.services.store.database

    def slept(seconds: float) -> None:
        held.append(database.readers)
        sleep(seconds)

    monkeypatch.setattr(keys_module.time, "sleep", slept)
    known, secret, _off, _secret = people(node)
    keys = node.services.keys
    for login, typed in (
        (known, new_app_password()),
        ("nobody@a.localhost", secret),
        (known, "no app password"),
    ):
        started = time.monotonic()
        with pytest.raises(Denied):
            keys.open_with_app_password(login, typed, [SlotScope.IMAP_SMTP], 0)
        assert time.monotonic() - started >= keys_module.REFUSAL_SECONDS
    with pytest.raises(Denied):
        keys.open_with_password("nobody@a.localhost", PASSWORD)
    assert held == [0, 0, 0, 0]
    assert keys.open_with_app_password(known, secret, [SlotScope.IMAP_SMTP], 0)
    assert len(held) == 4, "what succeeds does not wait"


def test_attempts_on_nobody_are_counted_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on hardenings per account must not tell who exists: the same stranger is always the same account."""
    node = make_node(tmp_path)
    asked: list[tuple[bytes, bytes]] = []
    harden = Custodian.harden

    def seen(self, account, slot, value, *standing):
        asked.append((account, slot))
        return harden(self, account, slot, value, *standing)

    monkeypatch.setattr(Custodian, "harden", seen)
    monkeypatch.setattr(keys_module, "ARGON2_DEFAULT", ARGON2_FLOOR)
    for login in ("nobody@a.localhost", "Nobody@A.localhost", "other@a.localhost"):
        with pytest.raises(Denied):
            node.services.keys.open_with_password(login, PASSWORD)
    node.close()
    assert asked[0] == asked[1]
    assert asked[0] != asked[2]
