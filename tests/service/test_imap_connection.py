"""A connection's life: news while idling, revocation, time limits, back-pressure, faults, the end of the server."""

import asyncio
import contextlib
import socket
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from harness.imap_harness import HOST, ImapNode, RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client, message

from mailserver.audit.events import EventKind
from mailserver.imap import connection as connection_module
from mailserver.imap import dispatch
from mailserver.imap import server as server_module
from mailserver.tls.crowd import Caps
from mailserver.tls.door import Handshakes


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImapNode]:
    node = make_node(tmp_path_factory.mktemp("node"))
    yield node
    node.close()


@pytest.fixture
def running(node: ImapNode, tls: TlsFiles) -> Iterator[RunningImap]:
    with running_imap(node, tls) as server:
        yield server


@pytest.fixture
def name(node: ImapNode, request: pytest.FixtureRequest) -> str:
    found = f"u{len(node.accounts)}"
    node.add(found)
    return found


class Clients:
    """Makes clients of one server, and closes them."""

    def __init__(self, running: RunningImap, tls: TlsFiles) -> None:
        self._running = running
        self._tls = tls
        self.open: list[Client] = []

    def connect(self) -> Client:
        client = Client(self._running.tls_port, self._tls.client)
        self.open.append(client)
        assert client.line().startswith("* OK")
        return client

    def log_in(self, name: str) -> Client:
        client = self.connect()
        account = self._running.node.accounts[name]
        assert " OK " in ask(client, f"l LOGIN {account.address} {account.app_password}")[-1]
        return client


@pytest.fixture
def clients(running: RunningImap, tls: TlsFiles) -> Iterator[Clients]:
    clients = Clients(running, tls)
    yield clients
    for client in clients.open:
        client.close()


def ask(client: Client, line: str) -> list[str]:
    client.send(line.encode() + b"\r\n")
    return client.until_tagged(line.split(maxsplit=1)[0])


def expire_all(running: RunningImap, seconds: float) -> None:
    async def expire() -> None:
        now = running.loop.time() + seconds
        for connection in tuple(running.server._hub.connections):
            connection.expire(now)

    running.on_loop(expire())


def settle(running: RunningImap, *, connections: int, expired_after: float | None = None) -> None:
    """Let the loop turn until so many connections are left; each turn as if it came ``expired_after`` seconds later."""

    async def turn() -> None:
        async with asyncio.timeout(30):
            while len(running.server._hub.connections) != connections:
                if expired_after is not None:
                    for connection in tuple(running.server._hub.connections):
                        connection.expire(running.loop.time() + expired_after)
                await asyncio.sleep(0)

    running.on_loop(turn())


def test_revocation_ends_the_connection(running: RunningImap, clients: Clients, name: str) -> None:
    client, other = clients.log_in(name), clients.connect()
    account_id = running.node.accounts[name].account_id

    async def revoke() -> None:
        running.node.services.wakeups.revoke_changed({account_id: 99})

    running.on_loop(revoke())
    assert client.line().startswith("* BYE")
    assert client.line() is None
    assert " OK " in ask(other, "a NOOP")[-1]


def test_a_waiter_leaves_with_its_connection(running: RunningImap, clients: Clients, name: str) -> None:
    client = clients.log_in(name)
    assert running.node.services.wakeups.list_accounts() == [running.node.accounts[name].account_id]
    client.send(b"a LOGOUT\r\n")
    client.until_tagged("a")
    assert client.line() is None
    client.close()
    settle(running, connections=0)
    assert running.node.services.wakeups.list_accounts() == []


def test_time_limits(running: RunningImap, clients: Clients, name: str) -> None:
    silent, client = clients.connect(), clients.log_in(name)
    expire_all(running, 29)
    assert " OK " in ask(silent, "a NOOP")[-1]
    expire_all(running, 31)
    assert silent.line() == "* BYE Too long without a login"
    assert silent.line() is None
    client.send(b"a IDLE\r\n")
    assert client.line() == "+ idling"
    expire_all(running, 29 * 60)
    client.send(b"DONE\r\n")
    assert client.line() == "a OK IDLE completed"
    expire_all(running, 31 * 60)
    assert client.line().startswith("* BYE Deconnexion : trop longtemps")


def test_an_append_that_sends_almost_nothing_is_ended(
    running: RunningImap, clients: Clients, name: str
) -> None:
    client = clients.log_in(name)
    client.send(b"a APPEND INBOX {100000+}\r\nabc")
    ask_other = clients.log_in(name)
    expire_all(running, 59)
    assert " OK " in ask(ask_other, "b NOOP")[-1]
    settle(running, connections=1, expired_after=61)
    assert client.line() == "* BYE Too slow"


def test_a_transport_that_is_gone_does_not_end_the_sweep(running: RunningImap, clients: Clients) -> None:
    """uvloop's raises RuntimeError between the end of its handle and ``connection_lost``."""
    clients.connect()

    class Gone:
        def write(self, _octets: bytes) -> None:
            raise RuntimeError("unable to perform operation; the handler is closed")

        def close(self) -> None: ...

    async def sweep() -> None:
        (connection,) = running.server._hub.connections
        real, connection._transport = connection._transport, Gone()
        connection.expire(running.loop.time() + 61)
        await asyncio.sleep(0)
        connection._transport = real

    running.on_loop(sweep())


def test_reading_is_logged_once_before_the_first_octet(
    running: RunningImap, clients: Clients, name: str
) -> None:
    running.node.add(name := f"{name}-log", has_password=True)
    running.node.deliver(name, message(1), message(2))
    for _ in range(2):
        client = clients.log_in(name)
        ask(client, 'i ID ("name" "Essai" "version" "2")')
        ask(client, "a SELECT INBOX")
        ask(client, "b FETCH 1:2 (ENVELOPE BODYSTRUCTURE RFC822.SIZE)")
        ask(client, "c SEARCH SUBJECT Pli")
        client.close()
    assert reads(running, name) == []
    client = clients.log_in(name)
    ask(client, 'i ID ("name" "Essai" "version" "2")')
    ask(client, "a SELECT INBOX")
    ask(client, "b FETCH 1:2 BODY.PEEK[]")
    ask(client, "c SEARCH BODY ligne")
    assert reads(running, name) == [("127.0.0.0/24", "Essai 2")]


def reads(running: RunningImap, name: str) -> list[tuple[str, str]]:
    """Network and client of every reading in the account's log."""
    events = running.node.read_log(name)
    return [
        (event.origin.network, event.origin.client)
        for event in events
        if event.kind is EventKind.MAILBOX_READ
    ]


def test_stop_says_bye(running: RunningImap, clients: Clients, name: str) -> None:
    client = clients.log_in(name)
    running.on_loop(running.server.stop(0.2))
    assert client.line().startswith("* BYE")
    assert client.line() is None


def test_a_fault_of_ours_is_a_fixed_text(
    running: RunningImap,
    clients: Clients,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = clients.log_in(name)

    def fail(*_args: object) -> None:
        raise RuntimeError("a secret of the patient")

    monkeypatch.setattr(dispatch.verbs_listing, "run_list", fail)
    client.send(b'a LIST "" *\r\n')
    said = client.line()
    assert said.startswith("* BYE Something went wrong here (incident ")
    assert "secret" not in said
    assert client.line() is None
    assert [record.incident for record in caplog.records if record.name == "pli.imap"] == [said[-9:-1]]


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set once a connection has as much to send as it may hold."""
    paused, pause = threading.Event(), connection_module.ImapConnection.pause_writing

    def pause_and_tell(connection: connection_module.ImapConnection) -> None:
        pause(connection)
        paused.set()

    monkeypatch.setattr(connection_module.ImapConnection, "pause_writing", pause_and_tell)
    return paused


def test_a_client_that_does_not_read_is_not_buffered_for(
    paused: threading.Event, running: RunningImap, clients: Clients, name: str
) -> None:
    """120 MB are asked for and not read: the server holds a few blocks of them, and ends the connection at last."""
    running.node.deliver(name, b"Subject: x\r\n\r\n" + b"a" * 4_000_000)
    client = clients.log_in(name)
    ask(client, "a SELECT INBOX")
    tracemalloc.start()
    try:
        client.send(b"".join(b"f%d FETCH 1 BODY.PEEK[]\r\n" % number for number in range(30)))
        assert paused.wait(60)
        other = clients.log_in(name)
        for number in range(50):
            ask(other, f"n{number} NOOP")
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16_000_000
    expire_all(running, connection_module.STALL_SECONDS + 1)
    settle(running, connections=1)
    assert " OK " in ask(other, "z NOOP")[-1]


def test_commands_without_end_pause_reading(running: RunningImap, tls: TlsFiles, name: str) -> None:
    """A client may send more than we hold: all of it is answered, in order."""
    account = running.node.accounts[name]
    asyncio.run(_send_without_end(running.tls_port, tls, f"{account.address} {account.app_password}"))


async def _send_without_end(port: int, tls: TlsFiles, login: str) -> None:
    """One thread: a TLS connection of Python's cannot be read and written by two."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=tls.client, server_hostname="localhost")
    writer.write(f"l LOGIN {login}\r\n".encode())
    assert (await reader.readline()).startswith(b"* OK")
    assert (await reader.readline()).startswith(b"l OK")
    writer.write(b"".join(b"t%d NOOP\r\n" % number for number in range(10_000)))
    for number in range(10_000):
        assert await reader.readline() == b"t%d OK NOOP completed\r\n" % number
    writer.close()
    await writer.wait_closed()


def test_clear_octets_after_starttls_close(running: RunningImap) -> None:
    with socket.create_connection((HOST, running.clear_port), 10) as raw:
        raw.recv(1000)
        raw.sendall(b"a STARTTLS\r\n")
        assert raw.recv(1000) == b"a OK Begin TLS now\r\n"
        raw.sendall(b"b LOGIN a b\r\n")
        assert b"OK" not in raw.recv(1000)


def test_silent_handshakes_are_counted(
    node: ImapNode, tls: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S4: who connects and says nothing is counted before TLS is up; a client that speaks still gets in."""
    monkeypatch.setattr(server_module, "HANDSHAKES", Handshakes(Caps(100, 2)))
    with running_imap(node, tls) as running, contextlib.ExitStack() as held:
        silent = [
            held.enter_context(socket.create_connection((HOST, running.tls_port), 20)) for _ in range(3)
        ]
        with contextlib.suppress(ConnectionResetError):
            assert silent[2].recv(1) == b""
        held.enter_context(tls.client.wrap_socket(silent[0], server_hostname="localhost"))
