"""UNAUTHENTICATE: a connection that changes hands keeps nothing of the account it had (RFC 8437 §8)."""

from collections.abc import Iterator
from dataclasses import fields

import pytest
from harness.imap_harness import RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client, message

from mailserver.imap.connection import LOGIN_SECONDS
from mailserver.imap.session import Session
from mailserver.imap.states import State

KEPT = {"services", "wire", "peer", "client"}


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"))
    for name in ("ann", "ben"):
        node.add(name)
    with running_imap(node, tls) as server:
        yield server
    node.close()


@pytest.fixture
def client(running: RunningImap, tls: TlsFiles) -> Iterator[Client]:
    client = Client(running.tls_port, tls.client)
    assert client.line().startswith("* OK")
    yield client
    client.close()


def ask(client: Client, line: str) -> list[str]:
    client.send(line.encode() + b"\r\n")
    return client.until_tagged(line.split(maxsplit=1)[0])


def log_in(running: RunningImap, client: Client, name: str) -> None:
    account = running.node.accounts[name]
    assert " OK " in ask(client, f"l LOGIN {account.address} {account.app_password}")[-1]


def session_of(running: RunningImap) -> Session:
    (connection,) = running.server._hub.connections
    return connection._session


def test_nothing_of_the_first_account_is_left(running: RunningImap, client: Client) -> None:
    running.node.deliver("ann", message(1), message(2))
    log_in(running, client, "ann")
    ask(client, 'i ID ("name" "demo")')
    ask(client, "e ENABLE QRESYNC")
    ask(client, "s SELECT INBOX")
    ask(client, "f FETCH 1 BODY.PEEK[]")
    session = session_of(running)
    account = session.account
    (waiter,) = session.waiters.values()
    assert account is not None
    assert " OK " in ask(client, "u UNAUTHENTICATE")[-1]
    fresh = Session(session.services, session.wire, session.peer, State.NOT_AUTHENTICATED)
    left = {each.name for each in fields(fresh) if getattr(session, each.name) != getattr(fresh, each.name)}
    assert left == {"client"}, "what ID said stays (RFC 8437 §3)"
    assert waiter not in {
        each for waiters in running.node.services.wakeups._waiters.values() for each in waiters
    }
    log_in(running, client, "ben")
    assert "* 0 EXISTS" in ask(client, "s SELECT INBOX")
    running.node.deliver("ann", message(3))
    assert ask(client, "n NOOP") == ["n OK NOOP completed"]
    ask(client, "c CREATE Ben")
    log = {name: running.node.open(name) for name in ("ann", "ben")}
    names = {
        name: {info.name for info in running.node.services.mailboxes.list_mailboxes(opened)}
        for name, opened in log.items()
    }
    assert "Ben" in names["ben"] - names["ann"]


def test_the_limits_before_login_hold_again(running: RunningImap, client: Client) -> None:
    log_in(running, client, "ann")
    ask(client, "u UNAUTHENTICATE")
    assert ask(client, "a APPEND INBOX {5000}")[-1].startswith("a NO [TOOBIG] ")
    client.send(b"b " + b"x" * 9000 + b"\r\n")
    lines = [client.line(), client.line(), client.line()]
    assert any(line is not None and line.startswith("* BYE") for line in lines)


def test_the_time_for_a_login_begins_again(running: RunningImap, client: Client) -> None:
    log_in(running, client, "ann")
    ask(client, "u UNAUTHENTICATE")

    async def expire(seconds: float) -> None:
        for connection in tuple(running.server._hub.connections):
            connection.expire(running.loop.time() + seconds)

    running.on_loop(expire(LOGIN_SECONDS / 2))
    assert ask(client, "n NOOP") == ["n OK NOOP completed"]
    running.on_loop(expire(LOGIN_SECONDS + 1))
    assert client.line() == "* BYE Too long without a login"
    assert client.line() is None
