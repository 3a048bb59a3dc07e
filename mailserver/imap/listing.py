r"""LIST, LSUB and XLIST without a store: which names match, and what is said of each (RFC 9051 §6.3.9, RFC 5258).

A superior that is no mailbox (its own was deleted) is listed with \Noselect, or \NonExistent where the client asked
in the extended way, so that trees stay whole.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from unicodedata import normalize

from mailserver.imap.commands import List, ListReturn, ListSelection
from mailserver.imap.encode import DELIMITER
from mailserver.model.account import Role

SPECIAL_USE: dict[Role, str] = {
    Role.SENT: "\\Sent",
    Role.DRAFTS: "\\Drafts",
    Role.TRASH: "\\Trash",
    Role.JUNK: "\\Junk",
    Role.ARCHIVE: "\\Archive",
}
"""RFC 6154 §2; told in a plain LIST too, because clients look for it there."""
SPECIAL_USE_ENTRY = "/private/specialuse"
"""The annotation that is a mailbox's special use (RFC 6154 §4)."""
_ROLES = {name.lower(): role for role, name in SPECIAL_USE.items()}


@dataclass(frozen=True, slots=True)
class Named:
    """A name as far as LIST is concerned: a mailbox, or what was one and is still subscribed."""

    name: str
    role: Role = Role.NONE
    is_subscribed: bool = True
    exists: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """One LIST response. ``child_info``: the selection that inferiors of the name meet (RFC 5258 §3.5)."""

    name: str
    attributes: tuple[str, ...]
    child_info: tuple[str, ...] = ()
    is_selectable: bool = True
    """Whether a STATUS belongs to it: it exists and meets the selection itself (RFC 5819 §2)."""


def find_role(attribute: str) -> Role | None:
    r"""The role that ``\Drafts`` and its like name, or None for one that no mailbox can be given."""
    return _ROLES.get(attribute.lower())


def list_names(names: Iterable[Named], command: List) -> list[Listed]:
    """Every response to a LIST, in the order given; superiors that are no mailbox come with their first inferior."""
    tree = _tree(names)
    patterns = [text for text in command.patterns if text or not command.is_extended]  # RFC 5258 §3
    wanted = [_Pattern(command.reference + text) for text in patterns]
    matching = {name for name in tree if any(pattern.is_match(name) for pattern in wanted)}
    parents = {above for each in tree.values() if each.exists for above in superiors(each.name)}
    chosen = {each.name for each in tree.values() if _is_chosen(each, command, parents)}
    above_chosen: set[str] = set()
    above_hidden: set[str] = set()
    if ListSelection.RECURSIVEMATCH in command.selection:
        above_chosen = {above for name in chosen for above in superiors(name)}
        above_hidden = {above for name in chosen - matching for above in superiors(name)}
    criteria = tuple(each.value for each in _CRITERIA if each in command.selection)
    return [
        Listed(
            name,
            _attributes(each, command, has_children=name in parents),
            criteria if name in above_chosen else (),
            is_selectable=each.exists and name in chosen,
        )
        for name, each in tree.items()
        # a name that only has CHILDINFO to tell is left out where its inferiors are told themselves (§3.5)
        if name in matching and (name in chosen or name in above_hidden)
    ]


def _tree(names: Iterable[Named]) -> dict[str, Named]:
    """Names and their superiors; a name that exists stands for one of the same spelling that does not."""
    tree: dict[str, Named] = {}
    for each in names:
        for above in superiors(each.name):
            tree.setdefault(above, Named(above, is_subscribed=False, exists=False))
        if each.exists or each.name not in tree or not tree[each.name].exists:
            tree[each.name] = each
    return tree


_CRITERIA = (ListSelection.SUBSCRIBED, ListSelection.SPECIAL_USE)


def _is_chosen(each: Named, command: List, parents: AbstractSet[str]) -> bool:
    """Whether a name meets all of the selection; without one, mailboxes do and what only holds some."""
    selection = command.selection
    if ListSelection.SPECIAL_USE in selection and each.role not in SPECIAL_USE:
        return False
    if ListSelection.SUBSCRIBED in selection:
        return each.is_subscribed
    return each.exists or each.name in parents


def _attributes(each: Named, command: List, *, has_children: bool) -> tuple[str, ...]:
    found = []
    if not each.exists:
        found.append("\\NonExistent" if command.is_extended else "\\Noselect")
    if each.role in SPECIAL_USE:
        found.append(SPECIAL_USE[each.role])
    tells_subscribed = (
        ListSelection.SUBSCRIBED in command.selection or ListReturn.SUBSCRIBED in command.returns
    )
    if tells_subscribed and each.is_subscribed:
        found.append("\\Subscribed")
    return (*found, "\\HasChildren" if has_children else "\\HasNoChildren")  # RFC 3348 §3


def list_subscribed(mailboxes: Iterable[Named], reference: str, pattern: str) -> list[tuple[list[str], str]]:
    r"""LSUB: subscribed names; with ``%``, a superior of one that does not match itself comes as \Noselect."""
    wanted = _Pattern(reference + pattern)
    lines: dict[str, list[str]] = {}
    for each in mailboxes:
        if not each.is_subscribed:
            continue
        if wanted.is_match(each.name):
            lines[each.name] = []
            continue
        for above in superiors(each.name):
            if wanted.is_match(above):
                lines.setdefault(above, ["\\Noselect"])
    return [(attributes, name) for name, attributes in lines.items()]


def superiors(name: str) -> list[str]:
    """``a/b/c`` → ``a``, ``a/b``."""
    parts = name.split(DELIMITER)
    return [DELIMITER.join(parts[:count]) for count in range(1, len(parts))]


def xlist_attributes(listed: Listed) -> tuple[str, ...]:
    r"""The attributes as XLIST spelt them: INBOX is told to be one, and junk is ``\Spam``."""
    attributes = tuple("\\Spam" if each == SPECIAL_USE[Role.JUNK] else each for each in listed.attributes)
    return (*attributes, "\\Inbox") if listed.name == "INBOX" else attributes


class _Pattern:
    """A reference with a pattern: every literal is a bit, wildcards are loops, so that time is linear.

    Bit n of the state: n literals of the pattern have matched.
    """

    def __init__(self, text: str) -> None:
        self._after: dict[str, int] = {}
        self._any = self._level = 0
        text = normalize("NFC", text)  # as names are (RFC 9051 §5.1)
        head, mark, rest = text.partition(DELIMITER)
        literals = 0
        for char in "INBOX" + mark + rest if head.upper() == "INBOX" else text:
            match char:
                case "*":
                    self._any |= 1 << literals
                case "%":
                    self._level |= 1 << literals
                case _:
                    self._after[char] = self._after.get(char, 0) | 1 << literals
                    literals += 1
        self._end = literals

    def is_match(self, name: str) -> bool:
        state = 1
        for char in name:
            loops = self._any if char == DELIMITER else self._any | self._level
            state = (state & self._after.get(char, 0)) << 1 | state & loops
        return bool(state >> self._end & 1)
