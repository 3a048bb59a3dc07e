"""GETMETADATA and SETMETADATA (RFC 5464 §5). Each function stands after the verb and its space."""

import re

from mailserver.imap.commands import GetMetadata, SetMetadata
from mailserver.imap.cursor import Cursor
from mailserver.model.errors import Malformed

MOST_NAMES = 64
NAME_BYTES = 255

# entry = astring: slash-separated path, no "*" or "%", no "//", no "/" at its end (RFC 5464 §3.2)
_NAME = re.compile(rb"/(?:private|shared)(?:/[\x20-\x24\x26-\x29\x2b-\x2e\x30-\x7e]+)+", re.IGNORECASE)
# The grammar has the options before the mailbox, the examples after it: both are taken.
_OPTIONS = re.compile(rb"\((?=[A-Za-z])")
_DEPTHS = {"0": 0, "1": 1, "INFINITY": None}


def parse_get_metadata(cursor: Cursor) -> GetMetadata:
    """``[options SP] mailbox SP [options SP] entries``."""
    options = _parse_options(cursor)
    mailbox = cursor.reference()
    cursor.space()
    options |= _parse_options(cursor)
    return GetMetadata(mailbox, _parse_names(cursor), options.get("MAXSIZE"), options.get("DEPTH", 0))


def parse_set_metadata(cursor: Cursor) -> SetMetadata:
    """``mailbox SP "(" entry SP value *(SP entry SP value) ")"``; an entry named twice is set as the last one says."""
    mailbox = cursor.reference()
    cursor.space()
    entries = cursor.listed(lambda: _parse_entry(cursor), most=MOST_NAMES)
    return SetMetadata(mailbox, tuple(dict(entries).items()))


def _parse_options(cursor: Cursor) -> dict[str, int | None]:
    """``"(" option *(SP option) ")" SP``, or nothing."""
    options: dict[str, int | None] = {}
    is_more = cursor.take(_OPTIONS) is not None
    while is_more:
        name = cursor.keyword()
        cursor.space()
        match name:
            case "MAXSIZE":
                options[name] = cursor.number()
            case "DEPTH":
                options[name] = _parse_depth(cursor)
            case _:
                raise Malformed("bad_parameter")
        is_more = not cursor.skip(b")")
        cursor.space()
    return options


def _parse_depth(cursor: Cursor) -> int | None:
    word = cursor.keyword()
    if word not in _DEPTHS:
        raise Malformed("bad_parameter")
    return _DEPTHS[word]


def _parse_names(cursor: Cursor) -> tuple[str, ...]:
    """A list, or names one after the other as RFC 5464 §4.4.1 has them."""
    if cursor.is_before(b"("):
        names = cursor.listed(lambda: _parse_name(cursor), most=MOST_NAMES)
    else:
        names = (_parse_name(cursor),)
        while cursor.skip(b" ") and len(names) < MOST_NAMES:
            names = (*names, _parse_name(cursor))
    return tuple(dict.fromkeys(names))


def _parse_entry(cursor: Cursor) -> tuple[str, bytes | None]:
    name = _parse_name(cursor)
    cursor.space()
    return name, cursor.literal8() if cursor.skip(b"~") else cursor.nstring()


def _parse_name(cursor: Cursor) -> str:
    """An entry name in lower case, since its case means nothing (RFC 5464 §3.2). Malformed ``bad_entry``."""
    octets = cursor.astring()
    if len(octets) > NAME_BYTES or not _NAME.fullmatch(octets):
        raise Malformed("bad_entry")
    return octets.decode("ascii").lower()
