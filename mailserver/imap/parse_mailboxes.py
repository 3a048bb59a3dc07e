"""Verbs about mailboxes: SELECT to APPEND (RFC 9051 §6.3). Each function stands after the verb and its space."""

from functools import partial

from mailserver.imap.commands import (
    Create,
    Delete,
    Rename,
    Resync,
    Select,
    Subscribe,
    Unsubscribe,
)
from mailserver.imap.cursor import Cursor
from mailserver.imap.grammar import FLAG, MAX_NUMBER64
from mailserver.imap.sequence_set import SequenceSet
from mailserver.model.account import KEYWORDS_PER_MAILBOX
from mailserver.model.errors import Malformed

MOST_FLAGS = 2 * KEYWORDS_PER_MAILBOX
"""Flags in one list: more than a message can hold, and few enough to be cheap."""

_MOST_ITEMS = 32


def parse_select(cursor: Cursor) -> Select:
    """RFC 9051 §6.3.2 with the parameters of RFC 7162 §3.1.8, §3.2.5."""
    return _parse_select(cursor, is_read_only=False)


def parse_examine(cursor: Cursor) -> Select:
    """RFC 9051 §6.3.3."""
    return _parse_select(cursor, is_read_only=True)


def parse_create(cursor: Cursor) -> Create:
    """RFC 9051 §6.3.4; ``(USE (…))`` is RFC 6154 §3."""
    mailbox = cursor.mailbox()
    if not cursor.skip(b" "):
        return Create(mailbox)
    cursor.need(b"(")
    if cursor.keyword() != "USE":
        raise Malformed("bad_parameter")
    cursor.space()
    roles = cursor.listed(lambda: _parse_role(cursor), most=_MOST_ITEMS, may_be_empty=True)
    cursor.need(b")")
    return Create(mailbox, roles)


def parse_delete(cursor: Cursor) -> Delete:
    return Delete(cursor.mailbox())


def parse_rename(cursor: Cursor) -> Rename:
    mailbox = cursor.mailbox()
    cursor.space()
    return Rename(mailbox, cursor.mailbox())


def parse_subscribe(cursor: Cursor) -> Subscribe:
    return Subscribe(cursor.mailbox())


def parse_unsubscribe(cursor: Cursor) -> Unsubscribe:
    return Unsubscribe(cursor.mailbox())


def _parse_select(cursor: Cursor, *, is_read_only: bool) -> Select:
    mailbox = cursor.mailbox()
    if not cursor.skip(b" "):
        return Select(mailbox, is_read_only)
    parameters = cursor.listed(lambda: _parse_parameter(cursor), most=2)
    resync = next((found for found in parameters if found is not None), None)
    return Select(mailbox, is_read_only, wants_modseq=True, resync=resync)


def _parse_parameter(cursor: Cursor) -> Resync | None:
    match cursor.keyword():
        case "CONDSTORE":
            return None
        case "QRESYNC":
            cursor.space()
            return _parse_resync(cursor)
        case _:
            raise Malformed("bad_parameter")


def _parse_resync(cursor: Cursor) -> Resync:
    """``(uidvalidity modseq [known-uids] [(numbers uids)])``, RFC 7162 §3.2.5."""
    cursor.need(b"(")
    uidvalidity = cursor.number()
    cursor.space()
    modseq = cursor.number(MAX_NUMBER64)
    if not (uidvalidity and modseq):
        raise Malformed("bad_number")
    known_uids: SequenceSet | None = None
    numbers: SequenceSet | None = None
    uids: SequenceSet | None = None
    exact_set = partial(cursor.sequence_set, may_be_saved=False)
    if cursor.is_before(b" ") and not cursor.is_before(b" ("):
        cursor.space()
        known_uids = exact_set()
    if cursor.skip(b" "):
        sample = cursor.listed(exact_set, most=2)
        if len(sample) != 2:
            raise Malformed("bad_parameter")
        numbers, uids = sample
    cursor.need(b")")
    return Resync(uidvalidity, modseq, known_uids, numbers, uids)


def _parse_role(cursor: Cursor) -> str:
    """use-attr (RFC 6154 §6); which ones may be asked for is the store's matter."""
    name = cursor.expect(FLAG, "bad_parameter").decode("ascii")
    if not name.startswith("\\"):
        raise Malformed("bad_parameter")
    return name
