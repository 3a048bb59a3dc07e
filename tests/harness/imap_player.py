"""One mail client that plays by the rules: sends a command, believes what comes back, and writes the dialogue down."""

import re
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.imap_harness import Account
from harness.imap_picture import Flags, Known, Picture
from harness.imap_transcript import Client

_HIGHEST = re.compile(r"\[HIGHESTMODSEQ (\d+)\]")
HOLDS = {"FETCH", "STORE", "SEARCH"}
"""While these use message numbers, none may move (RFC 9051 §7.5.1)."""


class Difference(AssertionError):
    """The server and the model do not agree."""


@dataclass
class Memory:
    """What a client with QRESYNC keeps of a mailbox that it left."""

    uidvalidity: int
    modseq: int
    flags: dict[int, Flags]


@dataclass
class Answer:
    """A tagged answer, its text after the status, and the untagged lines before it."""

    status: str
    text: str
    lines: list[str]

    def code(self, name: str) -> str | None:
        """The argument of a response code, tagged or not; "" when it has none."""
        for text in (self.text, *self.lines):
            if found := re.search(rf"\[{name}(?: ([^\]]*))?\]", text):
                return found[1] or ""
        return None

    def find(self, pattern: str) -> re.Match[str] | None:
        return next((found for line in self.lines if (found := re.fullmatch(pattern, line))), None)


class Player:
    """``extension``: what it enables after login. ``write`` takes each line of the dialogue, as a transcript has it."""

    def __init__(self, number: int, extension: str, write: Callable[[str], None]) -> None:
        self.number = number
        self.extension = extension
        self.picture = Picture(has_qresync=extension == "QRESYNC")
        self.is_idling = False
        self.modseq = 0
        """All up to it is known (RFC 7162 §3.2): where a resynchronisation may begin."""
        self._write = write
        self._tags = 0
        self._tag = ""
        self._client: Client | None = None

    def log_in(self, account: Account, port: int, tls: ssl.SSLContext) -> None:
        self.close()
        self.picture, self.is_idling = Picture(has_qresync=self.extension == "QRESYNC"), False
        self._client = Client(port, tls)
        self._write(f"! login {self.number}")
        self._client.line()
        self._client.send(f"x LOGIN {account.address} {account.app_password}\r\n".encode())
        self._client.until_tagged("x")
        if self.extension:
            self.run(f"ENABLE {self.extension}")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    # --- commands ---------------------------------------------------------------------------------------------

    def run(self, command: str) -> Answer:
        self.send(command)
        return self.take_answer()

    def send(self, command: str) -> None:
        """Send without waiting. A literal stands in ``command`` after CRLF."""
        self._tags += 1
        self._tag = f"c{self.number}t{self._tags}"
        self._verb = command.split(" ", 1)[0]
        self._send(f"{self._tag} {command}")

    def take_answer(self) -> Answer:
        """Everything up to the tagged answer; the picture believes it."""
        lines: list[str] = []
        self.picture.has_shrunk = False
        while not (line := self._line()).startswith(f"{self._tag} "):
            self._believe(line)
            lines.append(line)
        if self.picture.has_shrunk and self._verb in HOLDS:
            raise Difference(f"a message left during {self._verb}")
        _tag, status, text = line.split(" ", 2)
        if status == "OK":
            self._note_modseq([text, *lines])
        return Answer(status, text, lines)

    def begin_idle(self) -> None:
        self.send("IDLE")
        if not (line := self._line()).startswith("+"):
            raise Difference(f"IDLE was answered {line}")
        self.is_idling = True

    def await_news(self, truth: dict[int, Flags]) -> None:
        """Read what comes while idling until the picture is the truth; the wait is bounded by the socket's time."""
        while (difference := self.picture.find_difference(truth)) is not None:
            try:
                self._believe(self._line())
            except TimeoutError:
                raise Difference(f"client {self.number} idles and believes {difference}") from None

    def end_idle(self) -> Answer:
        self._send("DONE")
        self.is_idling = False
        return self.take_answer()

    def await_end(self) -> None:
        """The server says BYE and closes: the selected mailbox was deleted."""
        if not self.is_idling:
            self.send("NOOP")
        lines: list[str] = []
        while (line := self._read()) is not None:
            lines.append(line)
        if not any(line.startswith("* BYE") for line in lines):
            raise Difference(f"no BYE, but {lines}")

    # --- what is sent and read ------------------------------------------------------------------------------------

    def _send(self, text: str) -> None:
        self._write(f"C{self.number}: {text}".replace("\r\n", "\\r\\n"))
        assert self._client is not None
        self._client.send(text.encode() + b"\r\n")

    def _read(self) -> str | None:
        assert self._client is not None
        line = self._client.line()
        self._write(f"S{self.number}! closed" if line is None else f"S{self.number}: {line}")
        return line

    def _line(self) -> str:
        line = self._read()
        if line is None or line.startswith("* BYE"):
            raise Difference(f"client {self.number} was sent away: {line}")
        return line

    def _believe(self, line: str) -> None:
        try:
            self.picture.take(line)
        except AssertionError as error:
            raise Difference(f"client {self.number}: {error}: {line}") from None

    def _note_modseq(self, texts: Iterable[str]) -> None:
        """A code says how much is known; without one it is the highest MODSEQ seen (RFC 7162 §3.2)."""
        told = [int(found[1]) for text in texts if (found := _HIGHEST.search(text))]
        self.modseq = max(self.modseq, told[0] if told else self.picture.highest_modseq)

    def begin_picture(self, flags: dict[int, Flags], modseq: int) -> None:
        """A mailbox was selected of which this is known already."""
        known = [Known(uid, flags[uid]) for uid in sorted(flags)]
        self.picture = Picture(has_qresync=self.extension == "QRESYNC", messages=known)
        self.modseq = modseq
