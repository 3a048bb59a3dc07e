r"""Golden dialogues with an IMAP server, several clients at once, as text: the next case needs no Python.

# a comment
! login 1                  client 1: TLS, greeting and LOGIN, unseen
! open 2 clear             client 2: port 143, its greeting comes as the next S2 line (``tls`` for port 993)
! starttls 2               the handshake
! deliver 3                three messages arrive while the owner is away (``deliver 1 desk``: in the box ``desk``)
! person alix              another account; {alix} is its address, ``login 2 alix`` logs it in
! box desk                 a shared box of the account (responsible) and every person so far; {desk} is its address
! remove desk alix         alix is no member any more, and a worker polls the revocations
! quota 5 4096             until the end, an account may keep 5 messages of 4096 octets together
C1: a1 SELECT INBOX        sent with CRLF; \r \n \0 \x.. are octets; {address}, {password}, {plain} (SASL)
                           are the account's
C1= abc                    sent as it stands, without CRLF
C1+ a1 LOGOUT              sent with CRLF, in one piece with what client 1 sends next
S1: a1 OK ...              the next line: ``...`` is anything, <name> is one word, the same each time
S1! closed                 the connection has ended
"""

import re
import socket
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path

from harness.imap_harness import HOST, Account, RunningImap, TlsFiles
from mailserver.service.quotas import DEFAULT_QUOTA, Amount

TIMEOUT_SECONDS = 10.0
STEP = re.compile(r"(?P<who>[CS])(?P<number>\d)(?P<mark>[:=+!]) ?(?P<text>.*)")
_ESCAPE = re.compile(rb"\\(r|n|0|\\|x[0-9a-f]{2})")
_HOLE = re.compile(r"(\.\.\.|<[a-z]\w*>)")
_OCTETS = {b"r": b"\r", b"n": b"\n", b"0": b"\0", b"\\": b"\\"}


def message(number: int) -> bytes:
    """The messages that ``deliver`` brings: small, numbered, all the same size."""
    return (
        f"From: Claude FICTIF <claude{number}@b.localhost>\r\nTo: doc@a.localhost\r\nSubject: Pli {number}\r\n"
        f"Date: Mon, 05 Oct 2026 10:0{number}:00 +0200\r\nMessage-ID: <{number}@b.localhost>\r\n\r\nLigne {number}\r\n"
    ).encode()


def unescape(octets: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: _OCTETS.get(found[1]) or bytes([int(found[1][1:], 16)]), octets)


class Client:
    """A blocking socket that reads lines; literals come as lines too."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self._socket = socket.create_connection((HOST, port), TIMEOUT_SECONDS)
        self._rest = b""
        self._held = b""
        if tls is not None:
            self.start_tls(tls)

    def start_tls(self, tls: ssl.SSLContext) -> None:
        self._socket = tls.wrap_socket(self._socket, server_hostname="localhost")

    def hold(self, octets: bytes) -> None:
        """Send these with the next ones."""
        self._held += octets

    def send(self, octets: bytes) -> None:
        octets, self._held = self._held + octets, b""
        self._socket.sendall(octets)

    def line(self) -> str | None:
        """The next line without CRLF; None when the server closed."""
        while b"\r\n" not in self._rest:
            try:
                octets = self._socket.recv(65536)
            except ConnectionError:
                octets = b""
            if not octets:
                return None
            self._rest += octets
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line.decode("latin-1")

    def until_tagged(self, tag: str) -> list[str]:
        lines = []
        while not lines or not lines[-1].startswith(f"{tag} "):
            line = self.line()
            assert line is not None, lines
            lines.append(line)
        return lines

    def is_quiet(self) -> bool:
        """Nothing waits to be read."""
        self._socket.setblocking(False)
        try:
            return not self._rest and not self._socket.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except ConnectionError:
            return not self._rest

    def close(self) -> None:
        self._socket.close()


@dataclass
class Transcript:
    running: RunningImap
    tls: TlsFiles
    name: str
    account: Account
    clients: dict[int, Client] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    delivered: int = 0
    others: dict[str, Account] = field(default_factory=dict)
    boxes: dict[str, Account] = field(default_factory=dict)
    holes: dict[str, str] = field(default_factory=dict)
    """More of what may stand in braces."""

    def full_name(self, word: str) -> str:
        """Names are the transcript's own: all share one server."""
        return f"{word}.{self.name}"

    def play(self, path: Path) -> None:
        try:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if line.strip() and not line.startswith("#"):
                    self.step(line, f"{path.name}:{number}")
            for client in self.clients.values():
                assert client.is_quiet(), f"{path.name}: the server said more"
        finally:
            self.running.node.services.messages.quotas.limit = DEFAULT_QUOTA
            for client in self.clients.values():
                client.close()

    def step(self, line: str, where: str) -> None:
        if line.startswith("! "):
            self.act(line[2:].split())
            return
        found = STEP.fullmatch(line)
        assert found is not None, f"{where}: {line}"
        client = self.clients[int(found["number"])]
        if found["who"] == "C":
            send = client.hold if found["mark"] == "+" else client.send
            send(self.octets(found["text"]) + (b"" if found["mark"] == "=" else b"\r\n"))
            return
        got = client.line()
        if found["mark"] == "!":
            assert got is None, f"{where}: still open, said {got}"
            return
        assert got is not None, f"{where}: closed, expected {found['text']}"
        self.compare(self.filled(found["text"]), got, where)

    def act(self, words: list[str]) -> None:
        match words:
            case ["deliver", count, *to]:
                numbers = range(self.delivered + 1, self.delivered + int(count) + 1)
                self.delivered += int(count)
                name = self.full_name(to[0]) if to else self.name
                self.running.node.deliver(name, *map(message, numbers))
            case ["person", word]:
                self.others[word] = self.running.node.add(self.full_name(word))
            case ["box", word]:
                members = [self.name, *map(self.full_name, self.others)]
                self.boxes[word] = self.running.node.add_box(self.full_name(word), *members)
            case ["remove", box, person]:
                self.running.node.remove_member(self.full_name(box), self.full_name(person))
                self.running.poll_revocations()
            case ["quota", messages, octets]:
                self.running.node.services.messages.quotas.limit = Amount(int(messages), int(octets))
            case ["open", number, "clear"]:
                self.connect(int(number), self.running.clear_port, None)
            case ["open", number, "tls"]:
                self.connect(int(number), self.running.tls_port, self.tls.client)
            case ["starttls", number]:
                self.clients[int(number)].start_tls(self.tls.client)
            case ["login", number, *who]:
                client = self.connect(int(number), self.running.tls_port, self.tls.client)
                client.line()
                account = self.others[who[0]] if who else self.account
                client.send(f"x LOGIN {account.address} {account.app_password}\r\n".encode())
                client.until_tagged("x")
            case _:
                raise AssertionError(words)

    def connect(self, number: int, port: int, tls: ssl.SSLContext | None) -> Client:
        """A new connection for client ``number``; the one it had ends."""
        if number in self.clients:
            self.clients[number].close()
        self.clients[number] = Client(port, tls)
        return self.clients[number]

    def filled(self, text: str) -> str:
        """A line to expect: octets are written and addresses named as in what is sent; <words> are compared later."""
        for word, each in {"address": self.account, **self.others, **self.boxes}.items():
            text = text.replace("{" + word + "}", each.address)
        for word, value in self.holes.items():
            text = text.replace("{" + word + "}", value)
        return unescape(text.encode()).decode("latin-1")

    def octets(self, text: str) -> bytes:
        account = self.account
        plain = b64encode(f"\0{account.address}\0{account.app_password}".encode()).decode()
        for hole, value in (
            ("address", account.address),
            ("password", account.app_password),
            ("plain", plain),
            *self.holes.items(),
            *((word, each.address) for word, each in {**self.others, **self.boxes}.items()),
        ):
            text = text.replace("{" + hole + "}", value)
        for name, value in self.words.items():
            text = text.replace(f"<{name}>", value)
        return unescape(text.encode())

    def compare(self, pattern: str, got: str, where: str) -> None:
        expression, seen = "", set()
        for piece in _HOLE.split(pattern):
            name = piece[1:-1]
            if piece == "...":
                expression += ".*"
            elif not _HOLE.fullmatch(piece):
                expression += re.escape(piece)
            elif name in self.words:
                expression += re.escape(self.words[name])
            else:
                expression += f"(?P={name})" if name in seen else f"(?P<{name}>[^ \\])]+)"
                seen.add(name)
        found = re.fullmatch(expression, got)
        assert found is not None, f"{where}\nexpected {pattern}\ngot      {got}"
        self.words |= found.groupdict()
