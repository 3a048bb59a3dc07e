"""The states of a connection and what each allows, as data (RFC 9051 §3, §6).

CLEAR is port 143 before TLS: nothing there but CAPABILITY, STARTTLS, NOOP and LOGOUT (S2). A command that no row
names is refused everywhere.
"""

from dataclasses import dataclass
from enum import StrEnum

from mailserver.imap import commands as c


class State(StrEnum):
    CLEAR = "clear"
    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


class Feature(StrEnum):
    """What changes how the server speaks once a client asked for it (RFC 5161 §3.1); by its name in ENABLE."""

    CONDSTORE = "CONDSTORE"
    QRESYNC = "QRESYNC"
    UTF8 = "UTF8=ACCEPT"
    REV2 = "IMAP4rev2"


class Verdict(StrEnum):
    """Whether a command may run now, and if not why."""

    ALLOWED = "allowed"
    NEEDS_TLS = "needs TLS"
    NEEDS_LOGIN = "needs login"
    NEEDS_MAILBOX = "needs a mailbox"
    IS_TLS_ALREADY = "TLS already"
    IS_LOGGED_IN_ALREADY = "logged in already"
    IS_OVER = "over"

    @property
    def is_allowed(self) -> bool:
        return self is Verdict.ALLOWED


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a verdict is told: NO or BAD, response code, words."""

    status: str
    code: bytes
    text: str


REFUSALS: dict[Verdict, Refusal] = {
    Verdict.NEEDS_TLS: Refusal("NO", b"PRIVACYREQUIRED", "STARTTLS first"),  # RFC 9051 §7.1
    Verdict.NEEDS_LOGIN: Refusal("BAD", b"CLIENTBUG", "Log in first"),
    Verdict.NEEDS_MAILBOX: Refusal("BAD", b"CLIENTBUG", "Select a mailbox first"),
    Verdict.IS_TLS_ALREADY: Refusal("BAD", b"CLIENTBUG", "TLS is active"),
    Verdict.IS_LOGGED_IN_ALREADY: Refusal("BAD", b"CLIENTBUG", "Already logged in"),
    Verdict.IS_OVER: Refusal("BAD", b"", "Logged out"),
}

_CLEAR, _BEFORE, _AFTER, _SELECTED = State.CLEAR, State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED
_EVERYWHERE = frozenset({_CLEAR, _BEFORE, _AFTER, _SELECTED})
_IN_TLS = frozenset({_BEFORE, _AFTER, _SELECTED})
_LOGGED_IN = frozenset({_AFTER, _SELECTED})
_WITH_MAILBOX = frozenset({_SELECTED})

STATES_OF: dict[type[c.Command], frozenset[State]] = {
    c.Capability: _EVERYWHERE,
    c.Noop: _EVERYWHERE,
    c.Logout: _EVERYWHERE,
    c.StartTls: frozenset({_CLEAR}),
    c.Id: _IN_TLS,
    c.Authenticate: frozenset({_BEFORE}),
    c.Login: frozenset({_BEFORE}),
    **dict.fromkeys(
        (
            c.Enable,
            c.Unauthenticate,
            c.Select,
            c.Create,
            c.Delete,
            c.Rename,
            c.Subscribe,
            c.Unsubscribe,
            c.List,
            c.Lsub,
            c.Xlist,
            c.Status,
            c.Append,
            c.GetQuota,
            c.GetQuotaRoot,
            c.SetQuota,
            c.GetMetadata,
            c.SetMetadata,
            c.Namespace,
            c.Idle,
            c.Notify,
            c.SetAcl,
            c.DeleteAcl,
            c.GetAcl,
            c.ListRights,
            c.MyRights,
        ),
        _LOGGED_IN,
    ),
    **dict.fromkeys(
        (
            c.Check,
            c.Close,
            c.Unselect,
            c.Expunge,
            c.Search,
            c.Sort,
            c.Thread,
            c.Fetch,
            c.Store,
            c.Copy,
            c.Move,
            c.Replace,
        ),
        _WITH_MAILBOX,
    ),
}
"""RFC 9051 §6: the states in which each command is valid."""

_SUCCESS: dict[type[c.Command], State] = {
    c.StartTls: State.NOT_AUTHENTICATED,
    c.Authenticate: State.AUTHENTICATED,
    c.Login: State.AUTHENTICATED,
    c.Select: State.SELECTED,
    c.Close: State.AUTHENTICATED,
    c.Unselect: State.AUTHENTICATED,
    c.Unauthenticate: State.NOT_AUTHENTICATED,
    c.Logout: State.LOGOUT,
}
_FAILURE: dict[type[c.Command], State] = {c.Select: State.AUTHENTICATED}

_ALWAYS = ("IMAP4rev1", "IMAP4rev2", "LITERAL+")
_BEFORE_LOGIN = ("SASL-IR", "ID", "ENABLE", "IDLE")
"""IDLE is announced before login too: Outlook looks for it only there."""
_AFTER_LOGIN = (
    "ID",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "MOVE",
    "UNSELECT",
    "CHILDREN",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "CONDSTORE",
    "QRESYNC",
    "NOTIFY",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "STATUS=SIZE",
    "XLIST",
    "QUOTA",
    "QUOTA=RES-STORAGE",
    "QUOTA=RES-MESSAGE",
    "APPENDLIMIT",
    "MULTIAPPEND",
    "CATENATE",
    "REPLACE",
    "METADATA",
    "UNAUTHENTICATE",
    "ESEARCH",
    "SEARCHRES",
    "WITHIN",
    "SORT",
    "SORT=DISPLAY",
    "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES",
    "ESORT",
    "PARTIAL",
    "INPROGRESS",
    "BINARY",
    "OBJECTID",
    "SAVEDATE",
    "PREVIEW",
    "UTF8=ACCEPT",
    "ACL",
    "RIGHTS=texk",  # RFC 4314 §5.1.1
)

OFFERED: frozenset[Feature] = frozenset(Feature)
"""What ENABLE switches on."""

CAPABILITIES: dict[State, tuple[str, ...]] = {
    State.CLEAR: (*_ALWAYS, "STARTTLS", "LOGINDISABLED"),
    State.NOT_AUTHENTICATED: (*_ALWAYS, *_BEFORE_LOGIN, "AUTH=PLAIN"),
    State.AUTHENTICATED: (*_ALWAYS, *_AFTER_LOGIN),
    State.SELECTED: (*_ALWAYS, *_AFTER_LOGIN),
    State.LOGOUT: _ALWAYS,
}
"""What each state announces (RFC 9051 §6.1.1, §6.2.1; RFC 4959 for SASL-IR)."""


HIDEABLE: frozenset[str] = frozenset(CAPABILITIES[State.AUTHENTICATED]) - {"IMAP4rev1"}
"""What may be kept from the mail clients of one account (a client that stumbles over it)."""


def decide_command(state: State, command: c.Command) -> Verdict:
    """Whether ``command`` is valid in ``state`` (RFC 9051 §3); REFUSALS words the rest."""
    states = STATES_OF.get(type(command), frozenset())
    if state in states:
        return Verdict.ALLOWED
    if state is State.LOGOUT:
        return Verdict.IS_OVER
    if isinstance(command, c.StartTls):
        return Verdict.IS_TLS_ALREADY
    if state is State.CLEAR:
        return Verdict.NEEDS_TLS
    if state is State.NOT_AUTHENTICATED:
        return Verdict.NEEDS_LOGIN
    return Verdict.NEEDS_MAILBOX if states == _WITH_MAILBOX else Verdict.IS_LOGGED_IN_ALREADY


def state_after(state: State, command: c.Command, *, is_done: bool) -> State:
    """The state once ``command`` was answered OK (``is_done``) or not; a failed SELECT closes (RFC 9051 §6.3.2)."""
    return (_SUCCESS if is_done else _FAILURE).get(type(command), state)


def holds_expunges(command: c.Command) -> bool:
    """Whether EXPUNGE must wait for the next command (RFC 9051 §7.5.1): not while message numbers are in use."""
    return isinstance(command, c.Fetch | c.Store | c.Search | c.Sort | c.Thread) and not command.uid
