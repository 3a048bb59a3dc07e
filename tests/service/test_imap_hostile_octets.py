"""Any octets in any state: BAD, NO or the end of the connection. Never an incident, a stuck connection, another's mail."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Iterator

import pytest
from harness.hostile_octets import cut, hostile_octets, seeds
from harness.imap_harness import HOST, Account, RunningImap, TlsFiles, make_node, make_tls, running_imap
from harness.imap_transcript import Client

SEEDS = seeds(30)
SECRET = b"Ce que personne d'autre ne doit lire"
WORDS = (
    b"a NOOP\r\n", b"a ", b"* ", b"a LOGIN ", b"a AUTHENTICATE PLAIN\r\n", b"a AUTHENTICATE PLAIN =\r\n", b"AGEAYg==\r\n", b"a SELECT INBOX\r\n",
    b"a EXAMINE ", b'a LIST "" *\r\n', b"a STATUS INBOX (MESSAGES)\r\n", b"a FETCH 1:* (FLAGS BODY.PEEK[])\r\n", b"a UID FETCH ",
    b"1:*", b"$", b"BODY[", b"]<0.99>", b"a SEARCH TEXT ", b"a SORT (DATE) UTF-8 ALL\r\n", b"a APPEND INBOX {30+}\r\n",
    b"a APPEND INBOX {300}\r\n", b' CATENATE (URL "/autre"', b"{3+}\r\n", b"{12}\r\n", b"~{5}\r\n", b"{999999999999}\r\n", b"{4294967296+}\r\n",
    b"a IDLE\r\n", b"DONE\r\n", b"a CREATE ", b"a RENAME INBOX ", b"a DELETE ", b"a STORE 1 +FLAGS (\\Deleted)\r\n", b"a EXPUNGE\r\n",
    b"a COPY 1 ", b"a MOVE 1 Trash\r\n", b"a CLOSE\r\n", b"a ENABLE QRESYNC IMAP4rev2\r\n", b"a NOTIFY SET (personal (MessageNew MessageExpunge))\r\n",
    b'a GETMETADATA "" /private/a\r\n', b"a SETACL INBOX anyone lr\r\n", b"a UNAUTHENTICATE\r\n", b"Shared/autre@a.localhost/INBOX",
    b"../../autre", b"&AOk-", b"a STARTTLS\r\n",
)  # fmt: skip
END = b"x" * 600 + b"\r\nDONE\r\n*\r\nzz LOGOUT\r\n" * 3
"""Fills the literals that WORDS announce, ends what waits for a line, and says goodbye."""
FORM = re.compile(rb"(\* |\+ |[^ \r\n]+ (OK|NO|BAD) )[^\r\n]*\r\n")
LITERAL = re.compile(rb"\{([0-9]+)\}\r\n\Z")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, tls: TlsFiles) -> Iterator[RunningImap]:
    node = make_node(tmp_path_factory.mktemp("node"), limit_bytes=10_000)
    node.add("autre")
    node.deliver("autre", b"Subject: " + SECRET + b"\r\n\r\n" + SECRET + b"\r\n")
    with running_imap(node, tls) as server:
        yield server
    node.close()


class Stage:
    """One client after the other, each brought into a state; ``watcher`` stays and is served all the time."""

    def __init__(self, running: RunningImap, tls: TlsFiles, account: Account) -> None:
        self._running, self._tls, self._account = running, tls, account
        self.watcher = self.log_in()

    def connect(self) -> Client:
        client = Client(self._running.tls_port, self._tls.client)
        client.line()
        return client

    def connect_clear(self) -> Client:
        client = Client(self._running.clear_port, None)
        client.line()
        return client

    def start_tls(self) -> Client:
        client = self.connect_clear()
        ask(client, b"t STARTTLS")
        client.start_tls(self._tls.client)
        return client

    def log_in(self) -> Client:
        client = self.connect()
        ask(client, f"t LOGIN {self._account.address} {self._account.app_password}".encode())
        return client

    def select(self) -> Client:
        client = self.log_in()
        ask(client, b"t SELECT INBOX")
        return client

    def idle(self) -> Client:
        client = self.select()
        client.send(b"t IDLE\r\n")
        assert client.line() == "+ idling"
        return client

    def begin(self, line: bytes, *, logged_in: bool = True) -> Client:
        """In the middle of ``line``."""
        client = self.select() if logged_in else self.connect()
        client.send(line)
        return client

    def await_end(self, *, left: int = 1) -> None:
        """Of all connections only the watcher's is left."""

        async def turn() -> None:
            async with asyncio.timeout(10):
                while len(self._running.server._hub.connections) > left:
                    await asyncio.sleep(0)

        self._running.on_loop(turn())


def ask(client: Client, line: bytes) -> None:
    client.send(line + b"\r\n")
    client.until_tagged("t")


STATES: dict[str, Callable[[Stage], Client]] = {
    "in the clear": Stage.connect_clear,
    "after STARTTLS": Stage.start_tls,
    "before login": Stage.connect,
    "in a SASL exchange": lambda stage: stage.begin(b"t AUTHENTICATE PLAIN\r\n", logged_in=False),
    "in a literal before login": lambda stage: stage.begin(b"t LOGIN {40}\r\nabc", logged_in=False),
    "after login": Stage.log_in,
    "selected": Stage.select,
    "in IDLE": Stage.idle,
    "in a literal": lambda stage: stage.begin(b"t SEARCH TEXT {40+}\r\nabc"),
    "in a message": lambda stage: stage.begin(b"t APPEND INBOX {400+}\r\nabc"),
    "in a catenation": lambda stage: stage.begin(b't APPEND INBOX CATENATE (URL ";UID=1" TEXT {90+}\r\nabc'),
}


@pytest.fixture
def stage(running: RunningImap, tls: TlsFiles) -> Iterator[Stage]:
    name = f"u{len(running.node.accounts)}"
    account = running.node.add(name)
    running.node.deliver(name, *(b"Subject: %d\r\n\r\nLigne\r\n" % number for number in range(3)))
    stage = Stage(running, tls, account)
    yield stage
    stage.watcher.close()
    stage.await_end(left=0)


@pytest.mark.parametrize("state", STATES)
def test_any_octets(state: str, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    for seed in SEEDS:
        octets = hostile_octets(seed, WORDS)
        client = STATES[state](stage)
        with contextlib.suppress(ConnectionError):  # it closed while we still spoke
            for piece in cut(octets + END, seed):
                client.send(piece)
        said = read_to_end(client)
        client.close()
        stage.await_end()
        assert SECRET not in said, octets
        assert b"incident" not in said, octets
        check_form(said)
        ask(stage.watcher, b"t NOOP")
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]


def read_to_end(client: Client) -> bytes:
    """Everything until the server closes; a server that does not is caught by the socket's time limit."""
    lines = []
    while (line := client.line()) is not None:
        lines.append(line.encode("latin-1") + b"\r\n")
    return b"".join(lines)


def check_form(said: bytes) -> None:
    """Whole responses and nothing else: each line is one, but for what literals hold; the last may be cut."""
    at = 0
    while at < len(said):
        end = said.find(b"\r\n", at) + 2
        line = said[at:end]
        if literal := LITERAL.search(line):
            said = said[: end - len(literal[0])] + said[end + int(literal[1]) :]
            continue
        assert FORM.fullmatch(line), line
        at = end


@pytest.mark.parametrize("is_upgraded", [False, True], ids=["port 993", "after STARTTLS"])
def test_any_octets_in_place_of_a_handshake(
    is_upgraded: bool, running: RunningImap, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    hello = b"\x16\x03\x01\x00\x20\x01"  # a record that begins well
    for seed in SEEDS:
        octets = hello[: seed % 7] + hostile_octets(seed, WORDS)
        with socket.create_connection(
            (HOST, running.clear_port if is_upgraded else running.tls_port), 10
        ) as raw:
            if is_upgraded:
                raw.recv(1000)
                raw.sendall(b"t STARTTLS\r\n")
                assert raw.recv(1000) == b"t OK Begin TLS now\r\n"
            said = b""
            with contextlib.suppress(ConnectionError):
                raw.sendall(octets)
                raw.shutdown(socket.SHUT_WR)
                while got := raw.recv(4096):
                    said += got
        assert len(said) < 100, "an alert at most"
        assert SECRET not in said
        stage.await_end()
        ask(stage.watcher, b"t NOOP")
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]
