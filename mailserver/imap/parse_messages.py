"""FETCH, STORE, COPY, MOVE (RFC 9051 §6.4.5 to §6.4.8). Each function stands after the verb and its space."""

import re

from mailserver.imap.commands import (
    BinarySection,
    BinarySize,
    BodySection,
    Copy,
    Fetch,
    FetchItem,
    Move,
    Partial,
    ResultRange,
    Section,
    SectionItem,
    SectionText,
    Store,
    StoreMode,
)
from mailserver.imap.cursor import Cursor
from mailserver.imap.grammar import (
    FETCH_NAME,
    FIELD_NAME,
    MAX_NUMBER64,
    PARTIAL,
    SECTION_PART,
    SECTION_TEXT,
    parse_number,
)
from mailserver.imap.parse_mailboxes import MOST_FLAGS
from mailserver.imap.parse_results import parse_range
from mailserver.model.errors import Malformed

MOST_ITEMS = 256
"""Items of one FETCH, and fields of one section: bounds what one short line can ask for."""

MOST_MODIFIERS = 3

MACROS: dict[str, tuple[FetchItem, ...]] = {
    "FAST": (FetchItem.FLAGS, FetchItem.INTERNALDATE, FetchItem.RFC822_SIZE),
    "ALL": (FetchItem.FLAGS, FetchItem.INTERNALDATE, FetchItem.RFC822_SIZE, FetchItem.ENVELOPE),
    "FULL": (
        FetchItem.FLAGS,
        FetchItem.INTERNALDATE,
        FetchItem.RFC822_SIZE,
        FetchItem.ENVELOPE,
        FetchItem.BODY,
    ),
}
"""RFC 9051 §6.4.5."""

_LEGACY = {
    "RFC822": BodySection(Section(), label="RFC822"),
    "RFC822.HEADER": BodySection(Section(text=SectionText.HEADER), is_peek=True, label="RFC822.HEADER"),
    "RFC822.TEXT": BodySection(Section(text=SectionText.TEXT), label="RFC822.TEXT"),
}
"""RFC 3501 §6.4.5: only RFC822.HEADER leaves \\Seen alone."""

# preview-mod = "LAZY" (RFC 8970 §6)
_LAZY = re.compile(rb" \(LAZY\)", re.IGNORECASE)

_BINARY = frozenset({"BINARY", "BINARY.PEEK", "BINARY.SIZE"})

# store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))
_STORE_ITEM = re.compile(rb"([+-]?FLAGS)(\.SILENT)? ", re.IGNORECASE)


def parse_fetch(cursor: Cursor, uid: bool) -> Fetch:
    """RFC 9051 §6.4.5; macros expanded, each item once."""
    messages = cursor.sequence_set()
    cursor.space()
    items = _parse_items(cursor)
    said = _Modifiers()
    if cursor.skip(b" "):
        cursor.listed(lambda: said.take(cursor), most=MOST_MODIFIERS)
    if said.wants_vanished and (said.changed_since is None or not uid):  # RFC 7162 §3.2.6
        raise Malformed("bad_modifier", "VANISHED is for UID FETCH with CHANGEDSINCE")
    return Fetch(
        messages,
        tuple(dict.fromkeys(items)),
        uid,
        said.changed_since,
        said.wants_vanished,
        said.partial,
    )


def parse_store(cursor: Cursor, uid: bool) -> Store:
    """RFC 9051 §6.4.6; each flag once."""
    messages = cursor.sequence_set()
    cursor.space()
    unchanged_since = _parse_unchanged_since(cursor)
    found = cursor.take(_STORE_ITEM)
    if found is None:
        raise Malformed("bad_store_item")
    if cursor.is_before(b"("):
        flags = cursor.listed(cursor.flag, most=MOST_FLAGS, may_be_empty=True)
    else:
        flags = _parse_bare_flags(cursor)
    mode = StoreMode(found[1].decode("ascii").upper())
    return Store(messages, mode, tuple(dict.fromkeys(flags)), found[2] is not None, uid, unchanged_since)


def parse_copy(cursor: Cursor, uid: bool) -> Copy:
    messages = cursor.sequence_set()
    cursor.space()
    return Copy(messages, cursor.mailbox(), uid)


def parse_move(cursor: Cursor, uid: bool) -> Move:
    """RFC 6851 §3."""
    messages = cursor.sequence_set()
    cursor.space()
    return Move(messages, cursor.mailbox(), uid)


def parse_fetch_list(cursor: Cursor) -> tuple[FetchItem | SectionItem, ...]:
    """A list of items in parentheses, each once (RFC 5465 §8)."""
    items = cursor.listed(lambda: _parse_item(cursor, _parse_name(cursor)), most=MOST_ITEMS)
    return tuple(dict.fromkeys(items))


def _parse_items(cursor: Cursor) -> tuple[FetchItem | SectionItem, ...]:
    if cursor.is_before(b"("):
        return cursor.listed(lambda: _parse_item(cursor, _parse_name(cursor)), most=MOST_ITEMS)
    name = _parse_name(cursor)
    return MACROS.get(name) or (_parse_item(cursor, name),)


def _parse_name(cursor: Cursor) -> str:
    return cursor.expect(FETCH_NAME, "bad_fetch_item").decode("ascii").upper()


def _parse_item(cursor: Cursor, name: str) -> FetchItem | SectionItem:
    if name in {"BODY", "BODY.PEEK"} and cursor.skip(b"["):
        section = parse_section(cursor)
        return BodySection(section, _parse_partial(cursor), is_peek=name == "BODY.PEEK")
    if name in _BINARY:
        return _parse_binary(cursor, name)
    if name == FetchItem.PREVIEW:
        return FetchItem.PREVIEW_LAZY if cursor.take(_LAZY) else FetchItem.PREVIEW
    legacy = _LEGACY.get(name)
    if legacy is not None:
        return legacy
    try:
        return FetchItem(name)
    except ValueError:
        raise Malformed("bad_fetch_item") from None


def _parse_binary(cursor: Cursor, name: str) -> BinarySection | BinarySize:
    """RFC 9051 §9 section-binary: a part's numbers alone; BINARY.SIZE has no partial."""
    cursor.need(b"[", "bad_section")
    part = _parse_part(cursor)
    cursor.need(b"]", "bad_section")
    if name == "BINARY.SIZE":
        return BinarySize(part)
    return BinarySection(part, _parse_partial(cursor), is_peek=name == "BINARY.PEEK")


def _parse_part(cursor: Cursor) -> tuple[int, ...]:
    digits = cursor.take(SECTION_PART)
    return tuple(map(int, digits[0].split(b"."))) if digits else ()


def parse_section(cursor: Cursor) -> Section:
    """RFC 9051 §9 section-spec, after its bracket."""
    part = _parse_part(cursor)
    if cursor.skip(b"]"):
        return Section(part)
    if part:
        cursor.need(b".", "bad_section")
    text = SectionText(cursor.expect(SECTION_TEXT, "bad_section").decode("ascii").upper())
    if text is SectionText.MIME and not part:
        raise Malformed("bad_section")
    fields: tuple[str, ...] = ()
    if text in {SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT}:
        cursor.space()
        fields = cursor.listed(lambda: parse_field_name(cursor.astring()), most=MOST_ITEMS)
    cursor.need(b"]", "bad_section")
    return Section(part, text, fields)


def parse_field_name(octets: bytes) -> str:
    """A header field's name (RFC 5322 §3.6.8); Malformed ``bad_field_name``."""
    if not FIELD_NAME.fullmatch(octets):
        raise Malformed("bad_field_name")
    return octets.decode("ascii")


def _parse_partial(cursor: Cursor) -> Partial | None:
    if not cursor.is_before(b"<"):
        return None
    found = cursor.take(PARTIAL)
    if found is None:
        raise Malformed("bad_partial")
    offset = parse_number(found[1], highest=MAX_NUMBER64)
    count = parse_number(found[2], highest=MAX_NUMBER64)
    if not count:
        raise Malformed("bad_partial")
    return Partial(offset, count)


class _Modifiers:
    """``(CHANGEDSINCE n VANISHED PARTIAL a:b)``, each once, in any order (RFC 7162 §3.1.4.1, RFC 9394 §3.3)."""

    changed_since: int | None = None
    wants_vanished = False
    partial: ResultRange | None = None

    def take(self, cursor: Cursor) -> None:
        """One modifier with its argument. Some clients send CHANGEDSINCE 0."""
        match cursor.keyword("bad_modifier"):
            case "CHANGEDSINCE" if self.changed_since is None:
                cursor.space()
                self.changed_since = cursor.number(MAX_NUMBER64)
            case "PARTIAL" if self.partial is None:
                cursor.space()
                self.partial = parse_range(cursor)
            case "VANISHED" if not self.wants_vanished:
                self.wants_vanished = True
            case _:
                raise Malformed("bad_modifier")


def _parse_unchanged_since(cursor: Cursor) -> int | None:
    """``(UNCHANGEDSINCE n) ``, RFC 7162 §3.1.3."""
    if not cursor.skip(b"("):
        return None
    if cursor.keyword() != "UNCHANGEDSINCE":
        raise Malformed("bad_modifier")
    cursor.space()
    modseq = cursor.number(MAX_NUMBER64)
    cursor.need(b") ")
    return modseq


def _parse_bare_flags(cursor: Cursor) -> tuple[str, ...]:
    flags = [cursor.flag()]
    while cursor.skip(b" "):
        if len(flags) == MOST_FLAGS:
            raise Malformed("too_many_items")
        flags.append(cursor.flag())
    return tuple(flags)
