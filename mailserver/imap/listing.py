r"""LIST and LSUB without a store: which names match, and what is said of each (RFC 9051 §6.3.9, RFC 3501 §6.3.9).

A superior that is no mailbox (its own was deleted) is listed with \Noselect, so that trees stay whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass

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
_ROLES = {name.lower(): role for role, name in SPECIAL_USE.items()}


@dataclass(frozen=True, slots=True)
class Named:
    """A mailbox as far as LIST is concerned."""

    name: str
    role: Role = Role.NONE
    is_subscribed: bool = True


def find_role(attribute: str) -> Role | None:
    r"""The role that ``\Drafts`` and its like name, or None for one that no mailbox can be given."""
    return _ROLES.get(attribute.lower())


def list_names(
    mailboxes: Iterable[Named], reference: str, patterns: Iterable[str]
) -> list[tuple[list[str], str]]:
    """(attributes, name) of every match, in the order given; superiors that are no mailbox come with theirs."""
    named = list(mailboxes)
    has_children = {above for each in named for above in superiors(each.name)}
    wanted = [_Pattern(reference + pattern) for pattern in patterns]
    lines: dict[str, list[str]] = {}
    for each in named:
        for above in superiors(each.name):
            if _is_any(wanted, above):
                lines.setdefault(above, ["\\Noselect"])
        if _is_any(wanted, each.name):
            lines[each.name] = [SPECIAL_USE[each.role]] if each.role in SPECIAL_USE else []
    children = {True: "\\HasChildren", False: "\\HasNoChildren"}  # RFC 3348 §3
    return [([*attributes, children[name in has_children]], name) for name, attributes in lines.items()]


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


def _is_any(patterns: Iterable["_Pattern"], name: str) -> bool:
    return any(pattern.is_match(name) for pattern in patterns)


class _Pattern:
    """A reference with a pattern: every literal is a bit, wildcards are loops, so that time is linear.

    Bit n of the state: n literals of the pattern have matched.
    """

    def __init__(self, text: str) -> None:
        self._after: dict[str, int] = {}
        self._any = self._level = 0
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
