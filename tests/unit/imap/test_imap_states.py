"""Each command in each state, and what is announced."""

from typing import get_args

import pytest

from mailserver.imap import commands as c
from mailserver.imap.search_keys import EveryKey
from mailserver.imap.sequence_set import SequenceSet
from mailserver.imap.states import (
    CAPABILITIES,
    REFUSALS,
    STATES_OF,
    State,
    Verdict,
    decide_command,
    holds_expunges,
    state_after,
)

ONE = SequenceSet(((1, 1),))
SELECT = c.Select("x")
FETCH = c.Fetch(ONE, (c.FetchItem.FLAGS,))
LOGIN = c.Login("a", b"b")


@pytest.mark.parametrize(
    ("command", "verdicts"),
    [
        (c.Noop(), "ALLOWED ALLOWED ALLOWED ALLOWED IS_OVER"),
        (c.StartTls(), "ALLOWED IS_TLS_ALREADY IS_TLS_ALREADY IS_TLS_ALREADY IS_OVER"),
        (c.Id(), "NEEDS_TLS ALLOWED ALLOWED ALLOWED IS_OVER"),
        (LOGIN, "NEEDS_TLS ALLOWED IS_LOGGED_IN_ALREADY IS_LOGGED_IN_ALREADY IS_OVER"),
        (SELECT, "NEEDS_TLS NEEDS_LOGIN ALLOWED ALLOWED IS_OVER"),
        (c.Unauthenticate(), "NEEDS_TLS NEEDS_LOGIN ALLOWED ALLOWED IS_OVER"),
        (c.Append("x", ()), "NEEDS_TLS NEEDS_LOGIN ALLOWED ALLOWED IS_OVER"),
        (c.Replace(ONE, "x", ()), "NEEDS_TLS NEEDS_LOGIN NEEDS_MAILBOX ALLOWED IS_OVER"),
        (FETCH, "NEEDS_TLS NEEDS_LOGIN NEEDS_MAILBOX ALLOWED IS_OVER"),
    ],
)
def test_may_run(command, verdicts):
    assert [decide_command(state, command).name for state in State] == verdicts.split()


def test_every_command_has_its_states():
    assert set(STATES_OF) == set(get_args(c.Command))


def test_every_refusal_has_words():
    assert set(REFUSALS) == {verdict for verdict in Verdict if not verdict.is_allowed}


@pytest.mark.parametrize(
    ("before", "command", "is_done", "after"),
    [
        (State.CLEAR, c.StartTls(), True, State.NOT_AUTHENTICATED),
        (State.NOT_AUTHENTICATED, LOGIN, True, State.AUTHENTICATED),
        (State.NOT_AUTHENTICATED, LOGIN, False, State.NOT_AUTHENTICATED),
        (State.AUTHENTICATED, SELECT, True, State.SELECTED),
        (State.SELECTED, SELECT, False, State.AUTHENTICATED),
        (State.SELECTED, c.Close(), True, State.AUTHENTICATED),
        (State.SELECTED, c.Unselect(), True, State.AUTHENTICATED),
        (State.SELECTED, c.Noop(), True, State.SELECTED),
        (State.SELECTED, c.Unauthenticate(), True, State.NOT_AUTHENTICATED),
        (State.AUTHENTICATED, c.Unauthenticate(), True, State.NOT_AUTHENTICATED),
        (State.SELECTED, c.Logout(), True, State.LOGOUT),
    ],
)
def test_state_after(before, command, is_done, after):
    assert state_after(before, command, is_done=is_done) is after


def test_capabilities():
    clear, before = CAPABILITIES[State.CLEAR], CAPABILITIES[State.NOT_AUTHENTICATED]
    assert {"STARTTLS", "LOGINDISABLED"} <= set(clear)
    assert not any(name.startswith("AUTH=") for name in clear)
    assert {"AUTH=PLAIN", "IDLE", "SASL-IR"} <= set(before)
    assert "LOGINDISABLED" not in before
    selected = set(CAPABILITIES[State.SELECTED])
    assert {"UIDPLUS", "MOVE", "SPECIAL-USE"} <= selected
    assert {"LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE", "XLIST"} <= selected
    assert {"QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE"} <= selected
    assert {"APPENDLIMIT", "MULTIAPPEND", "CATENATE", "REPLACE", "METADATA", "UNAUTHENTICATE"} <= selected
    assert "QUOTASET" not in selected
    assert "LITERAL-" not in selected, "RFC 7888 §5: never both"
    assert {
        "ESEARCH",
        "SEARCHRES",
        "WITHIN",
        "SORT",
        "SORT=DISPLAY",
        "ESORT",
        "PARTIAL",
        "INPROGRESS",
    } <= selected
    assert {"THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES"} <= selected
    assert {"BINARY", "OBJECTID", "SAVEDATE", "PREVIEW"} <= selected


@pytest.mark.parametrize(
    ("command", "holds"),
    [
        (FETCH, True),
        (c.Fetch(ONE, (), uid=True), False),
        (c.Store(ONE, c.StoreMode.ADD, ()), True),
        (c.Search(EveryKey()), True),
        (c.Sort((), EveryKey(), "UTF-8"), True),
        (c.Sort((), EveryKey(), "UTF-8", uid=True), False),
        (c.Thread(c.ThreadAlgorithm.REFERENCES, EveryKey(), "UTF-8"), True),
        (c.Copy(ONE, "x"), False),
        (c.Idle(), False),
    ],
)
def test_holds_expunges(command, holds):
    assert holds_expunges(command) is holds
