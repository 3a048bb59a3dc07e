"""Connections that hold a shared box open while its members and their rights change (K4, K11)."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from harness.imap_harness import RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client, message
from service.shared_desk import Desk, make_desk

from mailserver.model.address import parse_address
from mailserver.model.errors import Unavailable
from mailserver.service.boxes import Boxes


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    with running_imap(node, tls) as server:
        yield server
    node.close()


@pytest.fixture
def desk(running: RunningImap) -> Desk:
    return make_desk(running.node)


class Member:
    def __init__(self, running: RunningImap, tls: TlsFiles, desk: Desk, name: str) -> None:
        self.client = Client(running.tls_port, tls.client)
        self.client.line()
        account = running.node.accounts[name]
        self.box = f"Shared/{running.node.accounts[desk.box].address}"
        self.ask(f"LOGIN {account.address} {account.app_password}")

    def ask(self, line: str) -> list[str]:
        self.client.send(f"a {line}\r\n".encode())
        return self.client.until_tagged("a")

    def select(self, mailbox: str = "INBOX") -> None:
        assert " OK " in self.ask(f"SELECT {self.box}/{mailbox}")[-1]


def settle(running: RunningImap) -> None:
    """Let the loop turn until nothing is asked again of any box."""

    async def turn() -> None:
        async with asyncio.timeout(10):
            while any(connection._rechecks for connection in running.server._hub.connections):
                await asyncio.sleep(0)

    running.on_loop(turn())


def test_a_member_removed_in_the_middle_of_a_fetch(running: RunningImap, tls: TlsFiles, desk: Desk) -> None:
    """Octets not yet given stay: what was asked for is 24 MB, and the client gets a few blocks of them."""
    running.node.deliver(desk.box, *(b"Subject: x\r\n\r\n" + b"a" * 2_000_000 for _number in range(12)))
    member = Member(running, tls, desk, desk.second)
    member.select()
    member.client.send(b"f FETCH 1:12 BODY.PEEK[]\r\n")
    line = member.client.line()
    assert line is not None
    assert line.startswith("* 1 FETCH")
    running.node.remove_member(desk.box, desk.second)
    running.poll_revocations()
    settle(running)
    received = 0
    while (line := member.client.line()) is not None:
        received += len(line)
        assert not line.startswith("f ")
    assert received < 16_000_000
    member.client.close()


def test_the_others_go_on(running: RunningImap, tls: TlsFiles, desk: Desk) -> None:
    running.node.deliver(desk.box, message(1))
    first, second = (Member(running, tls, desk, name) for name in (desk.first, desk.second))
    for each in (first, second):
        each.select()
    running.node.remove_member(desk.box, desk.second)
    running.poll_revocations()
    assert second.client.line().startswith("* BYE Vous n'avez plus acces")
    assert second.client.line() is None
    settle(running)
    assert first.ask("FETCH 1 BODY.PEEK[]")[-1] == "a OK FETCH completed"
    running.poll_revocations()  # the new counter is known: nothing is asked again

    async def rechecks() -> int:
        return sum(len(connection._rechecks) for connection in running.server._hub.connections)

    assert running.on_loop(rechecks()) == 0
    for each in (first, second):
        each.client.close()


def test_keys_are_let_go_where_the_box_is_not_selected(
    running: RunningImap, tls: TlsFiles, desk: Desk
) -> None:
    member = Member(running, tls, desk, desk.second)
    member.ask(f"STATUS {member.box}/INBOX (MESSAGES)")
    running.node.remove_member(desk.box, desk.second)
    running.poll_revocations()
    settle(running)

    async def held() -> list[object]:
        return [connection._session.names._held for connection in running.server._hub.connections]

    assert running.on_loop(held()) == [{}]
    assert member.ask("NOOP")[-1] == "a OK NOOP completed"
    member.client.close()


def test_before_the_poll_the_next_command_finds_out(running: RunningImap, tls: TlsFiles, desk: Desk) -> None:
    running.node.deliver(desk.box, message(1))
    for command in ("FETCH 1 BODY.PEEK[]", "NOOP", "STORE 1 +FLAGS (\\Seen)", "SEARCH ALL", "COPY 1 INBOX"):
        member = Member(running, tls, desk, desk.second)
        member.select()
        running.node.remove_member(desk.box, desk.second)
        member.client.send(f"a {command}\r\n".encode())
        assert member.client.line().startswith("* BYE Vous n'avez plus acces"), command
        assert member.client.line() is None
        member.client.close()
        running.node.add_member(desk.box, desk.second)


def test_waiters_leave_with_their_connection(running: RunningImap, tls: TlsFiles, desk: Desk) -> None:
    member = Member(running, tls, desk, desk.second)
    member.select()
    ids = {running.node.accounts[name].account_id for name in (desk.box, desk.second)}
    assert set(running.node.services.wakeups.list_accounts()) == ids
    member.client.send(b"a LOGOUT\r\n")
    member.client.until_tagged("a")
    assert member.client.line() is None
    member.client.close()

    async def turn() -> None:
        async with asyncio.timeout(10):
            while running.server._hub.connections:
                await asyncio.sleep(0)

    running.on_loop(turn())
    assert running.node.services.wakeups.list_accounts() == []


def test_a_store_that_is_away_refuses_and_does_not_end(
    running: RunningImap, tls: TlsFiles, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.node.deliver(desk.box, message(1))
    member = Member(running, tls, desk, desk.second)
    member.select()
    open_box = Boxes.open_box

    def away(*_args: object) -> None:
        raise Unavailable("database")

    monkeypatch.setattr(Boxes, "open_box", away)
    (line,) = member.ask("FETCH 1 BODY.PEEK[]")
    assert line.startswith("a NO [UNAVAILABLE]")
    running.node.remove_member(desk.box, desk.first)
    running.poll_revocations()
    settle(running)
    monkeypatch.setattr(Boxes, "open_box", open_box)
    running.poll_revocations()
    settle(running)
    assert member.ask("FETCH 1 BODY.PEEK[]")[-1] == "a OK FETCH completed"
    member.client.close()


def test_a_disabled_box_ends_for_all(running: RunningImap, tls: TlsFiles, desk: Desk) -> None:
    member = Member(running, tls, desk, desk.first)
    member.select()
    address = parse_address(running.node.accounts[desk.box].address)
    running.node.administration.disable_account(address, datetime.now(UTC))
    running.poll_revocations()
    assert member.client.line().startswith("* BYE Vous n'avez plus acces")
    member.client.close()
