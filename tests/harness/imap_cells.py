"""Which command met which answer in which state, read out of the transcripts: nothing is played.

The state of each client is followed by what the dialogue says: how it was opened, and what was answered OK.
"""

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from harness.imap_transcript import STEP, unescape
from mailserver.imap.commands import Command
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.states import STATES_OF, State, state_after

CLOSED = "closed"
"""In place of an answer: the connection ended, and none came."""
_WORDS = {"{address}": "a@a.localhost", "{password}": "x", "{plain}": "AAAA"}
_PERSON = re.compile(r"\{[a-z]+\}")
"""Somebody else, or a shared box, of the transcript."""
_TAGGED = re.compile(r"(?P<tag>[^ *+]+) (?P<answer>(?P<status>OK|NO|BAD).*)")
_LITERAL = re.compile(rb"\{(\d+)\+?\}\Z")

Cell = tuple[type[Command], State]


@dataclass
class _Client:
    state: State
    waiting: deque[tuple[str, Command]] = field(default_factory=deque)


def find_answers(paths: Iterable[Path]) -> dict[Cell, set[str]]:
    """Every answer, without its tag, that a command got in a state: ``OK …``, ``NO …``, ``BAD …`` or CLOSED."""
    found: dict[Cell, set[str]] = {}
    for path in paths:
        for command, state, answer in read_answers(path.read_text(encoding="utf-8")):
            found.setdefault((type(command), state), set()).add(answer)
    return found


def read_answers(text: str) -> Iterable[tuple[Command, State, str]]:
    """One transcript's, in its order."""
    clients: dict[str, _Client] = {}
    for line in text.splitlines():
        match line.split():
            case ["!", "open", number, "clear"]:
                clients[number] = _Client(State.CLEAR)
            case ["!", "open", number, "tls"]:
                clients[number] = _Client(State.NOT_AUTHENTICATED)
            case ["!", "login", number, *_who]:
                clients[number] = _Client(State.AUTHENTICATED)
        step = STEP.fullmatch(line)
        if step is None:
            continue
        client = clients[step["number"]]
        if step["who"] == "C":
            client.waiting += parse_sent(step["text"])
        elif step["mark"] == "!":
            yield from ((command, client.state, CLOSED) for _tag, command in client.waiting)
            client.waiting.clear()
        else:
            yield from _take_answer(client, step["text"])


def _take_answer(client: _Client, line: str) -> Iterable[tuple[Command, State, str]]:
    """The command that this line answers; those sent before it were none (the words of a literal, an answer)."""
    found = _TAGGED.fullmatch(line)
    while found and client.waiting:
        tag, command = client.waiting.popleft()
        if tag == found["tag"]:
            yield command, client.state, found["answer"]
            if client.state in STATES_OF[type(command)]:
                client.state = state_after(client.state, command, is_done=found["status"] == "OK")
            return


def parse_sent(text: str) -> list[tuple[str, Command]]:
    """The commands that a client's line of a transcript begins, with their tags."""
    for hole, word in _WORDS.items():
        text = text.replace(hole, word)
    text = _PERSON.sub("b@a.localhost", text)
    commands = []
    for line in unescape(text.encode()).split(b"\r\n"):
        literal = _LITERAL.search(line)
        raw = (
            RawCommand((line,))
            if literal is None
            else RawCommand((line[: literal.start()],), (), int(literal[1]))
        )
        try:
            commands.append(parse_command(raw))
        except BadCommand:
            continue  # words of a literal, an answer to the server, or what is wrong on purpose
    return commands
