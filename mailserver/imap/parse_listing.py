"""LIST with all its options, LSUB, XLIST and STATUS (RFC 9051 §6.3.9, §6.3.11). Each stands after the verb's space."""

from enum import StrEnum
from typing import TypeVar

from mailserver.imap.commands import List, ListReturn, ListSelection, Lsub, Status, StatusItem, Xlist
from mailserver.imap.cursor import Cursor
from mailserver.model.errors import Malformed

E = TypeVar("E", bound=StrEnum)

MOST_PATTERNS = 100
_MOST_OPTIONS = 32
_ALONE = frozenset({ListSelection.REMOTE, ListSelection.RECURSIVEMATCH})


def parse_list(cursor: Cursor) -> List:
    """RFC 9051 §9 list; an option that is not known is BAD (RFC 5258 §3)."""
    selection: frozenset[ListSelection] = frozenset()
    is_extended = cursor.is_before(b"(")
    if is_extended:
        selection = _parse_selection(cursor)
        cursor.space()
    reference = cursor.reference()
    cursor.space()
    if cursor.is_before(b"("):
        is_extended = True
        patterns = cursor.listed(cursor.pattern, most=MOST_PATTERNS)
    else:
        patterns = (cursor.pattern(),)
    if not cursor.skip(b" "):
        return List(reference, patterns, selection, is_extended=is_extended)
    returns, status = _parse_returns(cursor)
    return List(reference, patterns, selection, returns, status, is_extended=True)


def parse_lsub(cursor: Cursor) -> Lsub:
    reference = cursor.reference()
    cursor.space()
    return Lsub(reference, cursor.pattern())


def parse_xlist(cursor: Cursor) -> Xlist:
    reference = cursor.reference()
    cursor.space()
    return Xlist(reference, cursor.pattern())


def parse_status(cursor: Cursor) -> Status:
    mailbox = cursor.mailbox()
    cursor.space()
    return Status(mailbox, _parse_status_items(cursor))


def _parse_selection(cursor: Cursor) -> frozenset[ListSelection]:
    words = cursor.listed(cursor.keyword, most=_MOST_OPTIONS, may_be_empty=True)
    selection = frozenset(_option(ListSelection, word) for word in words)
    if ListSelection.RECURSIVEMATCH in selection and selection <= _ALONE:  # RFC 5258 §3.1
        raise Malformed("bad_list_option", "RECURSIVEMATCH needs another option")
    return selection


def _parse_returns(cursor: Cursor) -> tuple[frozenset[ListReturn], tuple[StatusItem, ...]]:
    """``RETURN (…)``, of which STATUS alone has an argument (RFC 5819 §4)."""
    if cursor.keyword() != "RETURN":
        raise Malformed("bad_list_option")
    cursor.space()
    found = cursor.listed(lambda: _parse_return(cursor), most=_MOST_OPTIONS, may_be_empty=True)
    options = frozenset(each for each in found if isinstance(each, ListReturn))
    items = tuple(item for each in found if isinstance(each, tuple) for item in each)
    return options, tuple(dict.fromkeys(items))


def _parse_return(cursor: Cursor) -> ListReturn | tuple[StatusItem, ...]:
    word = cursor.keyword()
    if word != "STATUS":
        return _option(ListReturn, word)
    cursor.space()
    return _parse_status_items(cursor)


def _parse_status_items(cursor: Cursor) -> tuple[StatusItem, ...]:
    items = cursor.listed(lambda: _parse_status_item(cursor), most=_MOST_OPTIONS)
    return tuple(dict.fromkeys(items))


def _parse_status_item(cursor: Cursor) -> StatusItem:
    try:
        return StatusItem(cursor.keyword())
    except ValueError:
        raise Malformed("bad_status_item") from None


def _option(kind: type[E], word: str) -> E:
    try:
        return kind(word)
    except ValueError:
        raise Malformed("bad_list_option") from None
