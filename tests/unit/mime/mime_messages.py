"""Messages and small readers that the tests of mailserver.mime share."""

import re
from pathlib import Path

from mailserver.mime.limits import DEFAULT_LIMITS, MimeLimits
from mailserver.mime.part import Part
from mailserver.mime.scanner import MessageScanner
from mailserver.mime.summary import HeaderSummary, summarise

DATA = Path(__file__).parents[2] / "data"


def scan(octets: bytes, limits: MimeLimits = DEFAULT_LIMITS) -> Part:
    scanner = MessageScanner(limits)
    scanner.feed(octets)
    return scanner.close()


def summary_of(octets: bytes) -> HeaderSummary:
    scanner = MessageScanner()
    scanner.feed(octets)
    root = scanner.close()
    return summarise(root, scanner.head, len(octets))


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def body_of(octets: bytes, part: Part) -> bytes:
    return octets[part.body_start : part.body_end]


def paths(root: Part) -> list[tuple[str, str]]:
    return [(part.path, part.content.content_type) for part in root.walk()]


# a list of strings, NIL, numbers and lists: all that ENVELOPE and BODYSTRUCTURE are made of
Tree = bytes | int | None | list["Tree"]
_ATOM = re.compile(rb"NIL|[0-9]+")
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*)"')
_LITERAL = re.compile(rb"\{([0-9]+)\}\r\n")


def read_list(octets: bytes) -> list[Tree]:
    """One parenthesised list that takes all the octets; AssertionError otherwise."""
    tree, end = _read(octets, 0)
    assert end == len(octets), "octets after the list"
    assert isinstance(tree, list)
    return tree


def _read(octets: bytes, position: int) -> tuple[Tree, int]:
    if octets[position : position + 1] == b"(":
        return _read_items(octets, position + 1)
    if match := _ATOM.match(octets, position):
        return (None if match.group() == b"NIL" else int(match.group())), match.end()
    if match := _QUOTED.match(octets, position):
        return re.sub(rb"\\(.)", rb"\1", match.group(1)), match.end()
    match = _LITERAL.match(octets, position)
    assert match, f"no IMAP value at {position}"
    end = match.end() + int(match.group(1))
    assert end <= len(octets)
    assert b"\0" not in octets[match.end() : end]
    return octets[match.end() : end], end


def _read_items(octets: bytes, position: int) -> tuple[list[Tree], int]:
    items: list[Tree] = []
    while octets[position : position + 1] != b")":
        # lists may touch each other: body-type-mpart and env-from put no space between theirs
        if items and octets[position : position + 1] == b" ":
            position += 1
        item, position = _read(octets, position)
        items.append(item)
    return items, position + 1
