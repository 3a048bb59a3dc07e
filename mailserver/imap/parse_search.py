"""SEARCH, SORT and THREAD: the whole key tree of RFC 9051 §6.4.4 and RFC 3501 §6.4.4, with MODSEQ (RFC 7162 §3.1.5).

Nesting is bounded (S3), counting parentheses, NOT and OR; texts are decoded from the command's charset.
"""

import re
from collections.abc import Callable

from mailserver.imap.commands import Search, Sort, SortCriterion, SortKey, Thread, ThreadAlgorithm
from mailserver.imap.cursor import Cursor, decode_text
from mailserver.imap.grammar import ATOM, DATE, MAX_NUMBER64, OBJECT_ID, parse_date, parse_flag
from mailserver.imap.parse_messages import parse_field_name
from mailserver.imap.parse_results import parse_returns
from mailserver.imap.search_keys import (
    NOTHING,
    AgeKey,
    AndKey,
    DateField,
    DateKey,
    DateOrder,
    EmailIdKey,
    EveryKey,
    FlagKey,
    HeaderKey,
    ModseqKey,
    NotKey,
    OrKey,
    RecentKey,
    SearchKey,
    SetKey,
    SizeKey,
    TextKey,
)
from mailserver.model.errors import Malformed
from mailserver.model.ids import EmailId

MOST_NESTING = 50
"""S3."""
MOST_KEYS = 1000
MOST_CRITERIA = 32
MOST_TEXT_KEYS = 8
"""Each looks through the whole of every message: a person asks for one or two (S4)."""

CHARSETS: dict[str, str] = {
    "US-ASCII": "ascii",
    "UTF-8": "utf-8",
    "ISO-8859-1": "iso-8859-1",
    "ISO-8859-15": "iso-8859-15",
    "WINDOWS-1252": "cp1252",
}
"""Charsets a SEARCH may name, as Python spells them. Without one, UTF-8 (RFC 9051 §6.4.4)."""
_ANY_OCTETS = "latin-1"


def parse_search(cursor: Cursor, uid: bool) -> Search:
    """Stands after the verb and its space. A charset that we lack is read over: its refusal is no matter of syntax."""
    returns = charset = None
    parser = _Keys(cursor, "utf-8")
    found = parser.name()
    if found == "RETURN":  # RFC 4731 §4
        cursor.space()
        returns = parse_returns(cursor)
        cursor.space()
        found = parser.name()
    if found == "CHARSET":
        cursor.space()
        charset = _parse_charset(cursor)
        parser = _Keys(cursor, CHARSETS.get(charset, _ANY_OCTETS))
        cursor.space()
        found = parser.name()
    return Search(parser.rest(found), charset, uid, returns)


def parse_sort(cursor: Cursor, uid: bool) -> Sort:
    """RFC 5256 §5 sort; RETURN as RFC 5267 §5 has it."""
    returns = None
    if not cursor.is_before(b"("):
        if cursor.keyword() != "RETURN":
            raise Malformed("bad_syntax")
        cursor.space()
        returns = parse_returns(cursor)
        cursor.space()
    criteria = cursor.listed(lambda: _parse_criterion(cursor), most=MOST_CRITERIA)
    charset, key = _parse_criteria(cursor)
    return Sort(criteria, key, charset, uid, returns)


def parse_thread(cursor: Cursor, uid: bool) -> Thread:
    """RFC 5256 §5 thread."""
    try:
        algorithm = ThreadAlgorithm(cursor.keyword())
    except ValueError:
        raise Malformed("bad_thread_algorithm") from None
    charset, key = _parse_criteria(cursor)
    return Thread(algorithm, key, charset, uid)


def _parse_criteria(cursor: Cursor) -> tuple[str, SearchKey]:
    """search-criteria = charset 1*(SP search-key), after a space (RFC 5256 §5)."""
    cursor.space()
    charset = _parse_charset(cursor)
    parser = _Keys(cursor, CHARSETS.get(charset, _ANY_OCTETS))
    cursor.space()
    return charset, parser.rest(parser.name())


def _parse_criterion(cursor: Cursor) -> SortCriterion:
    name = cursor.keyword("bad_sort_key")
    is_reverse = name == "REVERSE"
    if is_reverse:
        cursor.space()
        name = cursor.keyword("bad_sort_key")
    try:
        return SortCriterion(SortKey(name), is_reverse)
    except ValueError:
        raise Malformed("bad_sort_key") from None


def _parse_charset(cursor: Cursor) -> str:
    return decode_text(cursor.astring(), "ascii").upper()


class _Keys:
    """The keys of one SEARCH. ``name`` reads a key's name (empty before a set or a parenthesis), ``key`` the rest."""

    def __init__(self, cursor: Cursor, charset: str) -> None:
        self._cursor = cursor
        self._charset = charset
        self._keys = 0
        self._text_keys = 0

    def name(self) -> str:
        if self._cursor.is_before(b"(") or self._cursor.is_before_sequence_set():
            return ""
        return self._cursor.keyword("bad_search_key")

    def rest(self, name: str) -> SearchKey:
        """All keys up to the end of the command, the first one's name being read."""
        keys = [self.key(name, 0)]
        while self._cursor.skip(b" "):
            keys.append(self.key(self.name(), 0))
        return _joined(keys)

    def key(self, name: str, depth: int) -> SearchKey:
        if depth > MOST_NESTING:
            raise Malformed("too_deep")
        self._keys += 1
        self._text_keys += name in {"TEXT", "BODY"}
        if self._keys > MOST_KEYS or self._text_keys > MOST_TEXT_KEYS:
            raise Malformed("too_many_keys")
        simple = _SIMPLE.get(name)
        if simple is not None:
            return simple
        match name:
            case "":
                return self._group(depth) if self._cursor.skip(b"(") else self._set(uid=False)
            case "NOT":
                return NotKey(self._operand(depth))
            case "OR":
                left = self._operand(depth)
                return OrKey(left, self._operand(depth))
            case _:
                return self._with_argument(name)

    def _operand(self, depth: int) -> SearchKey:
        self._cursor.space()
        return self.key(self.name(), depth + 1)

    def _group(self, depth: int) -> SearchKey:
        keys = [self.key(self.name(), depth + 1)]
        while not self._cursor.skip(b")"):
            self._cursor.space()
            keys.append(self.key(self.name(), depth + 1))
        return _joined(keys)

    def _with_argument(self, name: str) -> SearchKey:
        parse = _ARGUMENT_KEYS.get(name)
        if parse is None:
            raise Malformed("bad_search_key")
        self._cursor.space()
        return parse(self)

    def _set(self, *, uid: bool) -> SetKey:
        return SetKey(self._cursor.sequence_set(), uid)

    def uid_set(self) -> SetKey:
        return self._set(uid=True)

    def keyword(self, is_set: bool) -> FlagKey:
        return FlagKey(parse_flag(self._cursor.expect(ATOM, "bad_flag")), is_set)

    def date(self, field: DateField, order: DateOrder) -> DateKey:
        return DateKey(field, order, parse_date(self._cursor.expect(DATE, "bad_date")))

    def size(self, is_larger: bool) -> SizeKey:
        return SizeKey(self._cursor.number(MAX_NUMBER64), is_larger)

    def age(self, is_younger: bool) -> AgeKey:
        """RFC 5032 §3: a non-zero number of seconds."""
        seconds = self._cursor.number()
        if not seconds:
            raise Malformed("bad_number")
        return AgeKey(seconds, is_younger)

    def object_id(self) -> bytes:
        """RFC 8474 §7 objectid."""
        octets = self._cursor.astring()
        if not OBJECT_ID.fullmatch(octets):
            raise Malformed("bad_object_id")
        return octets

    def email_id(self) -> EmailIdKey:
        found = _EMAIL_ID.fullmatch(self.object_id())
        return EmailIdKey(EmailId(bytes.fromhex(found[1].decode("ascii"))) if found else None)

    def thread_id(self) -> SearchKey:
        """RFC 8474 §5.4: threads have no ids here, so no message has this one."""
        self.object_id()
        return NOTHING

    def modseq(self) -> ModseqKey:
        """RFC 7162 §3.1.5: the entry name and type are read and, as there is one modseq per message, ignored."""
        if self._cursor.is_before(b'"'):
            self._cursor.string()
            self._cursor.space()
            self._cursor.keyword()
            self._cursor.space()
        return ModseqKey(self._cursor.number(MAX_NUMBER64))

    def text(self) -> str:
        return decode_text(self._cursor.astring(), self._charset)

    def header(self) -> HeaderKey:
        name = parse_field_name(self._cursor.astring()).lower()
        self._cursor.space()
        return HeaderKey(name, self.text())


def _joined(keys: list[SearchKey]) -> SearchKey:
    return keys[0] if len(keys) == 1 else AndKey(tuple(keys))


_FLAGS = {
    "ANSWERED": "\\Answered",
    "DELETED": "\\Deleted",
    "DRAFT": "\\Draft",
    "FLAGGED": "\\Flagged",
    "SEEN": "\\Seen",
}

_EMAIL_ID = re.compile(rb"M([0-9a-f]{32})")
"""As FETCH writes it."""

_SIMPLE: dict[str, SearchKey] = {
    "ALL": EveryKey(),
    "SAVEDATESUPPORTED": EveryKey(),  # RFC 8514 §4.2: by every mailbox
    "RECENT": RecentKey(),
    "OLD": NotKey(RecentKey()),
    "NEW": AndKey((RecentKey(), FlagKey("\\Seen", is_set=False))),
    **{name: FlagKey(flag) for name, flag in _FLAGS.items()},
    **{f"UN{name}": FlagKey(flag, is_set=False) for name, flag in _FLAGS.items()},
}

_ARGUMENT_KEYS: dict[str, Callable[[_Keys], SearchKey]] = {
    "BEFORE": lambda keys: keys.date(DateField.INTERNAL, DateOrder.BEFORE),
    "ON": lambda keys: keys.date(DateField.INTERNAL, DateOrder.ON),
    "SINCE": lambda keys: keys.date(DateField.INTERNAL, DateOrder.SINCE),
    "SENTBEFORE": lambda keys: keys.date(DateField.SENT, DateOrder.BEFORE),
    "SENTON": lambda keys: keys.date(DateField.SENT, DateOrder.ON),
    "SENTSINCE": lambda keys: keys.date(DateField.SENT, DateOrder.SINCE),
    "SAVEDBEFORE": lambda keys: keys.date(DateField.SAVED, DateOrder.BEFORE),
    "SAVEDON": lambda keys: keys.date(DateField.SAVED, DateOrder.ON),
    "SAVEDSINCE": lambda keys: keys.date(DateField.SAVED, DateOrder.SINCE),
    "OLDER": lambda keys: keys.age(is_younger=False),
    "YOUNGER": lambda keys: keys.age(is_younger=True),
    "EMAILID": _Keys.email_id,
    "THREADID": _Keys.thread_id,
    "LARGER": lambda keys: keys.size(is_larger=True),
    "SMALLER": lambda keys: keys.size(is_larger=False),
    "KEYWORD": lambda keys: keys.keyword(is_set=True),
    "UNKEYWORD": lambda keys: keys.keyword(is_set=False),
    "UID": _Keys.uid_set,
    "MODSEQ": _Keys.modseq,
    "HEADER": _Keys.header,
    "FROM": lambda keys: HeaderKey("from", keys.text()),
    "TO": lambda keys: HeaderKey("to", keys.text()),
    "CC": lambda keys: HeaderKey("cc", keys.text()),
    "BCC": lambda keys: HeaderKey("bcc", keys.text()),
    "SUBJECT": lambda keys: HeaderKey("subject", keys.text()),
    "BODY": lambda keys: TextKey(keys.text(), with_header=False),
    "TEXT": lambda keys: TextKey(keys.text(), with_header=True),
}
