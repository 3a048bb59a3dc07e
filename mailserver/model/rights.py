"""Rights of a person in a mailbox of a shared box (RFC 4314 §2.1): letters to sets and back.

A right is never more than a permission of the server: what can be read at all follows from keys (security.md K8).
"""

from collections.abc import Iterable
from enum import StrEnum

from mailserver.model.account import Flag
from mailserver.model.errors import Malformed


class Right(StrEnum):
    """RFC 4314 §2.1, in the order in which they are told."""

    LOOKUP = "l"
    READ = "r"
    SEEN = "s"
    WRITE = "w"
    INSERT = "i"
    POST = "p"
    CREATE = "k"
    DELETE_MAILBOX = "x"
    DELETE_MESSAGES = "t"
    EXPUNGE = "e"
    ADMINISTER = "a"


Rights = frozenset[Right]

EVERY_RIGHT: Rights = frozenset(Right)
MEMBER_RIGHTS: Rights = EVERY_RIGHT - {Right.ADMINISTER}
"""What a member has from the start; the responsible one has ``a`` too."""
CHANGING_RIGHTS: Rights = frozenset(
    {Right.INSERT, Right.EXPUNGE, Right.SEEN, Right.WRITE, Right.DELETE_MESSAGES}
)
"""With none of these a mailbox is READ-ONLY (RFC 4314 §5.2); all flags of a shared box are shared."""
TELLING_RIGHTS: Rights = frozenset(
    {Right.LOOKUP, Right.READ, Right.INSERT, Right.CREATE, Right.DELETE_MAILBOX, Right.ADMINISTER}
)
"""With one of these a person may ask for their own rights (RFC 4314 §4, MYRIGHTS)."""

_OBSOLETE: dict[str, Rights] = {
    "c": frozenset({Right.CREATE, Right.DELETE_MAILBOX}),
    "d": frozenset({Right.EXPUNGE, Right.DELETE_MESSAGES}),
}
"""The two virtual rights of RFC 2086, as RFC 4314 §2.1.1 defines them for servers whose ``c`` covers DELETE."""
_FLAG_BITS = {Right.SEEN: int(Flag.SEEN), Right.DELETE_MESSAGES: int(Flag.DELETED)}
_EVERY_BIT = (1 << 63) - 1


def parse_rights(letters: str) -> Rights:
    """Lower-case letters to rights. Malformed("bad_right") for any other: none is passed over (RFC 4314 §3.1)."""
    found: set[Right] = set()
    for letter in letters:
        if letter in _OBSOLETE:
            found |= _OBSOLETE[letter]
            continue
        try:
            found.add(Right(letter))
        except ValueError:
            raise Malformed("bad_right") from None
    return frozenset(found)


def format_rights(rights: Iterable[Right]) -> str:
    """The letters in one order, and ``c`` and ``d`` when one of their members is there (RFC 4314 §2.1.1)."""
    held = frozenset(rights)
    letters = "".join(right.value for right in Right if right in held)
    return letters + "".join(letter for letter, members in _OBSOLETE.items() if members & held)


def format_optional_rights(required: Rights) -> list[str]:
    """What may be granted beyond ``required``, each by itself: no right is tied (RFC 4314 §2.1.1, §3.7)."""
    free = [right.value for right in Right if right not in required]
    return [*free, *(letter for letter, members in _OBSOLETE.items() if not members & required)]


def flag_mask(rights: Rights) -> int:
    r"""The flag bits that these rights may change: ``s`` \Seen, ``t`` \Deleted, ``w`` all others (RFC 4314 §4)."""
    reserved = sum(_FLAG_BITS.values())
    mask = sum(bit for right, bit in _FLAG_BITS.items() if right in rights)
    return mask | (_EVERY_BIT & ~reserved if Right.WRITE in rights else 0)
