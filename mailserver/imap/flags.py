r"""Flag names on the wire and flag bits in the store (RFC 9051 §2.3.2).

System flags and the registered keywords have fixed bits; a mailbox's own keywords are bits from KEYWORD_SHIFT on, in
the order of its name list. \Recent is never stored: it belongs to a session.
"""

from collections.abc import Iterable
from functools import lru_cache

from mailserver.imap.grammar import FLAG
from mailserver.model.account import FLAG_NAMES, KEYWORD_SHIFT

_FIXED_BITS = {name.lower(): int(bit) for name, bit in FLAG_NAMES.items()}


def find_flag_bit(name: str, keywords: tuple[str, ...]) -> int | None:
    """The bit of one flag in a mailbox with these own keywords, or None; names are case-insensitive."""
    wanted = name.lower()
    fixed = _FIXED_BITS.get(wanted)
    if fixed is not None:
        return fixed
    return next((1 << KEYWORD_SHIFT + at for at, own in enumerate(keywords) if own.lower() == wanted), None)


def split_flags(names: Iterable[str], keywords: tuple[str, ...]) -> tuple[int, tuple[str, ...]]:
    """The bits of these flags, and the names that the mailbox would have to add first."""
    bits = 0
    missing: dict[str, str] = {}
    for name in names:
        bit = find_flag_bit(name, keywords)
        if bit is None:
            missing.setdefault(name.lower(), name)
        else:
            bits |= bit
    return bits, tuple(missing.values())


@lru_cache(maxsize=4096)
def format_flags(bits: int, keywords: tuple[str, ...] = (), is_recent: bool = False) -> bytes:
    """A flag-list; bits without a name are left out."""
    names = [name.encode("ascii") for name, bit in FLAG_NAMES.items() if bits & bit]
    for at, keyword in enumerate(keywords):
        name = keyword.encode("utf-8")
        if bits >> KEYWORD_SHIFT + at & 1 and FLAG.fullmatch(name):
            names.append(name)
    if is_recent:
        names.append(b"\\Recent")
    return b"(" + b" ".join(names) + b")"
