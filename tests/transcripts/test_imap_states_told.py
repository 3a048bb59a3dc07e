"""Each command in each state is somewhere in the transcripts, answered as its state demands."""

from collections.abc import Iterator

import pytest
from harness.imap_cells import CLOSED, Cell, find_answers, read_answers
from transcripts.test_imap_transcripts import FILES

from mailserver.imap import commands as c
from mailserver.imap.commands import Command
from mailserver.imap.states import STATES_OF, State

# a command that the server understands and never does → what it says where it is allowed
NEVER_DONE: dict[type[Command], str] = {c.SetQuota: "NO [NOPERM]"}  # RFC 9208 §4.1.3


def expected_answer(command: type[Command], state: State) -> str:
    """How the answer begins; not asked of the server's own decide_command."""
    if state in STATES_OF[command]:
        return NEVER_DONE.get(command, "OK")
    match state:
        case State.LOGOUT:
            return CLOSED
        case State.CLEAR:
            return "NO [PRIVACYREQUIRED]"
        case _ if command is c.StartTls:
            return "BAD [CLIENTBUG] TLS is active"
        case State.NOT_AUTHENTICATED:
            return "BAD [CLIENTBUG] Log in first"
        case _ if command in {c.Login, c.Authenticate}:
            return "BAD [CLIENTBUG] Already logged in"
        case _:
            return "BAD [CLIENTBUG] Select a mailbox first"


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[Cell, set[str]]]:
    return find_answers(FILES)


@pytest.mark.parametrize("state", State)
def test_every_command_is_there(state: State, answers: dict[Cell, set[str]]) -> None:
    missing = []
    for command in STATES_OF:
        wanted, found = expected_answer(command, state), answers.get((command, state), set())
        if not any(answer.startswith(wanted) for answer in found):
            missing.append(f"{command.__name__}, answered {wanted}; found: {sorted(found)}")
    name = state.replace(" ", "_") if state is not State.LOGOUT else "logged_out"
    assert not missing, "\n".join([f"add to tests/transcripts/imap/state_{name}.txt:", *missing])


def test_no_command_is_done_where_it_is_not_allowed(answers: dict[Cell, set[str]]) -> None:
    done = {
        (command.__name__, state)
        for (command, state), found in answers.items()
        if state not in STATES_OF[command] and any(answer.startswith("OK") for answer in found)
    }
    assert not done


def test_how_a_transcript_is_read() -> None:
    text = """
! open 1 tls
S1: * OK [CAPABILITY ...] Pli ready
C1: a1 LOGIN {address} {password}
S1: a1 OK LOGIN completed
C1+ a2 SELECT INBOX
C1+ a3 APPEND INBOX {6+}
C1: a4 NOO
C1: a5 LOGOUT\\r\\na6 NOOP\\r\\n
S1: a2 NO [NONEXISTENT] There is no such mailbox.
S1: a3 OK APPEND completed
S1: * BYE Goodbye
S1: a5 OK LOGOUT completed
S1! closed
"""
    told = [(type(command), state.name, answer.split()[0]) for command, state, answer in read_answers(text)]
    assert told == [
        (c.Login, "NOT_AUTHENTICATED", "OK"),
        (c.Select, "AUTHENTICATED", "NO"),
        (c.Append, "AUTHENTICATED", "OK"),
        (c.Logout, "AUTHENTICATED", "OK"),
        (c.Noop, "LOGOUT", CLOSED),
    ]
