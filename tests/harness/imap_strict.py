"""A client that reads every response by its grammar (RFC 9051 §9); an octet out of place is an AssertionError."""

import re
import socket
import ssl
from dataclasses import dataclass, field

from harness.imap_harness import HOST, Account

TIMEOUT_SECONDS = 30.0
Value = bytes | int | None | list["Value"]

_MARK = re.compile(rb"~?\{([0-9]+)\}\r\n\Z")
_LITERAL = re.compile(rb"(~?)\{([0-9]+)\}\r\n")
_QUOTED = re.compile(rb'"((?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"')
_NUMBER = re.compile(rb"[0-9]+(?=[ )\r])")
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\]]+')
_NAME = re.compile(rb"[A-Z0-9.]+(?:\[[^\]]*\])?(?:<[0-9]+>)?")
_FETCH = re.compile(rb"\* ([1-9][0-9]*) FETCH \(")


@dataclass
class Answer:
    """What one command brought: its tagged line without the tag, and the responses before it."""

    tagged: bytes
    responses: list[bytes] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return self.tagged.startswith(b"OK ")

    def fetches(self) -> list[tuple[int, dict[bytes, Value]]]:
        """Every FETCH response, with its items by name."""
        return [read_fetch(each) for each in self.responses if _FETCH.match(each)]


class StrictClient:
    """Logged in, on a TLS port."""

    def __init__(self, port: int, tls: ssl.SSLContext, account: Account) -> None:
        plain = socket.create_connection((HOST, port), TIMEOUT_SECONDS)
        self._socket = tls.wrap_socket(plain, server_hostname="localhost")
        self._rest = b""
        self._count = 0
        assert self._response().startswith(b"* OK ")
        assert self.ask(f"LOGIN {account.address} {account.app_password}").is_ok

    def ask(self, command: str | bytes) -> Answer:
        """Send a command, read up to its tagged answer."""
        tag = self.send(command)
        responses = []
        while not (response := self._response()).startswith(tag + b" "):
            assert response.startswith(b"* "), response[:80]
            responses.append(response)
        assert re.fullmatch(rb"(OK|NO|BAD) [\x20-\x7e]+\r\n", response[len(tag) + 1 :]), response
        return Answer(response[len(tag) + 1 :], responses)

    def send(self, command: str | bytes) -> bytes:
        """Send a command; its tag."""
        self._count += 1
        tag = b"t%d" % self._count
        text = command.encode() if isinstance(command, str) else command
        self._socket.sendall(tag + b" " + text + b"\r\n")
        return tag

    def skip_until_tagged(self) -> int:
        """Read the answer to the last command without keeping it; its octets."""
        last = b"\r\nt%d " % self._count
        skipped = 0
        while last not in self._rest:
            skipped += max(0, len(self._rest) - len(last))
            self._rest = self._rest[-len(last) :]
            self._receive()
        while not self._rest.endswith(b"\r\n"):
            self._receive()
        skipped += len(self._rest)
        self._rest = b""
        return skipped

    def append(self, mailbox: str, octets: bytes) -> Answer:
        return self.ask(b"APPEND %b {%d+}\r\n%b" % (mailbox.encode(), len(octets), octets))

    def close(self) -> None:
        self._socket.close()

    def _response(self) -> bytes:
        """One response with its literals, CRLF included."""
        response = self.line()
        while mark := _MARK.search(response):
            response += self._take(int(mark[1])) + self.line()
        return response

    def line(self) -> bytes:
        """The next line, CRLF included."""
        while b"\r\n" not in self._rest:
            self._receive()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line + b"\r\n"

    def _take(self, count: int) -> bytes:
        pieces = [self._rest]
        while sum(map(len, pieces)) < count:
            self._rest = b""
            self._receive()
            pieces.append(self._rest)
        octets = b"".join(pieces)
        self._rest = octets[count:]
        return octets[:count]

    def _receive(self) -> None:
        octets = self._socket.recv(1 << 18)
        assert octets, "the server closed"
        self._rest += octets


def read_fetch(response: bytes) -> tuple[int, dict[bytes, Value]]:
    """The number and the items of a FETCH response."""
    found = _FETCH.match(response)
    assert found, response[:80]
    items: dict[bytes, Value] = {}
    at = found.end()
    while True:
        name = _NAME.match(response, at)
        assert name, response[at : at + 80]
        at = name.end()
        assert response[at : at + 1] == b" ", response[at : at + 80]
        assert name[0] not in items, name[0]
        items[name[0]], at = _read_value(response, at + 1)
        if response[at : at + 1] != b" ":
            break
        at += 1
    assert response[at:] == b")\r\n", response[at : at + 80]
    return int(found[1]), items


def read_value(octets: bytes) -> Value:
    """One value that takes all the octets."""
    value, end = _read_value(octets + b"\r", 0)
    assert end == len(octets), octets[end : end + 80]
    return value


def _read_value(octets: bytes, at: int) -> tuple[Value, int]:
    if octets[at : at + 1] == b"(":
        return _read_list(octets, at + 1)
    if octets.startswith(b"NIL", at) and octets[at + 3 : at + 4] in {b" ", b")", b"\r"}:
        return None, at + 3
    if found := _NUMBER.match(octets, at):
        return int(found[0]), found.end()
    if found := _QUOTED.match(octets, at):
        return re.sub(rb"\\(.)", rb"\1", found[1]), found.end()
    if found := _LITERAL.match(octets, at):
        end = found.end() + int(found[2])
        literal = octets[found.end() : end]
        assert len(literal) == int(found[2])
        assert (b"\0" in literal) <= (found[1] == b"~"), "NUL in a literal"
        return literal, end
    found = _ATOM.match(octets, at)
    assert found, octets[at : at + 80]
    return found[0], found.end()


def _read_list(octets: bytes, at: int) -> tuple[list[Value], int]:
    values: list[Value] = []
    while octets[at : at + 1] != b")":
        if values and not (octets[at : at + 1] == b"(" and octets[at - 1 : at] == b")"):
            assert octets[at : at + 1] == b" ", octets[at : at + 80]  # only lists may touch each other
            at += 1
        value, at = _read_value(octets, at)
        values.append(value)
    return values, at + 1
