"""The response writer (RFC 9051 §7): values in, octets out, always valid on the wire.

Text that a quoted string cannot hold becomes a literal; human-readable text is cut down to printable US-ASCII.
ENVELOPE and BODYSTRUCTURE come from the store ready to send and are joined, never written again.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache

from mailserver.imap.commands import BodySection, SectionText, StatusItem
from mailserver.imap.grammar import ASTRING_ATOM, MONTHS
from mailserver.imap.sequence_set import SequenceSet, compact, format_sequence_set
from mailserver.imap.utf7 import encode_utf7

DELIMITER = "/"
"""Between the levels of every mailbox name."""

_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1000}+")
_QUOTABLE_UTF8 = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\xff]{0,1000}+")
_QUOTED_SPECIAL = re.compile(rb'["\\]')
_NOT_TEXT = re.compile(r"[^\x20-\x7e]+")


class Status(StrEnum):
    """RFC 9051 §7.1."""

    OK = "OK"
    NO = "NO"
    BAD = "BAD"
    BYE = "BYE"
    PREAUTH = "PREAUTH"


def format_string(octets: bytes) -> bytes:
    """Quoted when it can be, else a literal (RFC 9051 §4.3). NUL, which neither can hold, becomes "?"."""
    if _QUOTABLE.fullmatch(octets):
        return _quote(octets)
    return format_literal(octets)


def format_literal(octets: bytes) -> bytes:
    """A literal whole; NUL becomes "?", so that the size announced stays true."""
    return format_literal_mark(len(octets)) + octets.replace(b"\0", b"?")


def format_literal_mark(size_bytes: int) -> bytes:
    """What precedes a literal that is sent in pieces; the sender vouches that they hold no NUL."""
    return b"{%d}\r\n" % size_bytes


def format_nstring(octets: bytes | None) -> bytes:
    return b"NIL" if octets is None else format_string(octets)


def format_astring(octets: bytes) -> bytes:
    """An atom when that is unmistakable, else a string."""
    if ASTRING_ATOM.fullmatch(octets) and octets.upper() != b"NIL":
        return octets
    return format_string(octets)


def format_mailbox(name: str, *, is_utf8: bool = False) -> bytes:
    """Modified UTF-7, or UTF-8 in quotes for a client that enabled it (RFC 9051 §5.1, RFC 6855 §3)."""
    if not is_utf8:
        return format_astring(encode_utf7(name))
    octets = name.encode("utf-8", "replace")
    if not octets.isascii() and _QUOTABLE_UTF8.fullmatch(octets):
        return _quote(octets)
    return format_astring(octets)


def format_date_time(moment: datetime) -> bytes:
    """RFC 9051 §9 date-time, in UTC."""
    at = moment.astimezone(UTC)
    return (
        f'"{at.day:2d}-{MONTHS[at.month - 1]}-{at.year:04d} {at.hour:02d}:{at.minute:02d}:{at.second:02d} +0000"'
    ).encode("ascii")


# Status responses and their codes.


def format_tagged(tag: str, status: Status, text: str, code: bytes = b"") -> bytes:
    """The last word on a command (RFC 9051 §7.1). ``code`` is the inside of the brackets."""
    return tag.encode("ascii") + b" " + _status(status, text, code)


def format_untagged(status: Status, text: str, code: bytes = b"") -> bytes:
    return b"* " + _status(status, text, code)


def format_continuation(text: str = "") -> bytes:
    """RFC 9051 §7.6; a SASL challenge comes here already in base64."""
    return b"+ " + _human(text, when_empty="") + b"\r\n"


def code_capability(names: Iterable[str]) -> bytes:
    return b"CAPABILITY " + " ".join(names).encode("ascii")


def code_permanent_flags(flags: bytes, *, may_add: bool) -> bytes:
    r"""``flags`` is a formatted flag-list; ``may_add`` adds ``\*`` (RFC 9051 §7.1)."""
    return b"PERMANENTFLAGS " + (
        flags[:-1] + (b" " if len(flags) > 2 else b"") + b"\\*)" if may_add else flags
    )


def code_number(name: str, number: int) -> bytes:
    """UIDNEXT, UIDVALIDITY, UNSEEN, HIGHESTMODSEQ."""
    return f"{name} {number}".encode("ascii")


def code_bad_charset(charsets: Iterable[str]) -> bytes:
    return b"BADCHARSET (" + " ".join(charsets).encode("ascii") + b")"


def code_append_uid(uidvalidity: int, uids: Sequence[int]) -> bytes:
    """RFC 4315 §3."""
    return b"APPENDUID %d %s" % (uidvalidity, format_sequence_set(compact(uids)))


def code_copy_uid(uidvalidity: int, sources: Sequence[int], copies: Sequence[int]) -> bytes:
    """RFC 4315 §3; both ascending and of one length, so that they pair up."""
    pair = format_sequence_set(compact(sources)), format_sequence_set(compact(copies))
    return b"COPYUID %d %s %s" % (uidvalidity, *pair)


def code_modified(messages: SequenceSet) -> bytes:
    """What a conditional STORE left alone (RFC 7162 §3.1.3): message numbers, or UIDs after UID STORE."""
    return b"MODIFIED " + format_sequence_set(messages)


# Data responses.


def format_capability(names: Iterable[str]) -> bytes:
    return b"* " + code_capability(names) + b"\r\n"


def format_enabled(names: Iterable[str]) -> bytes:
    return " ".join(("* ENABLED", *names)).encode("ascii") + b"\r\n"


def format_id(pairs: Sequence[tuple[str, str]]) -> bytes:
    """RFC 2971 §3.2."""
    if not pairs:
        return b"* ID NIL\r\n"
    texts = (format_string(text.encode("utf-8")) for pair in pairs for text in pair)
    return b"* ID (" + b" ".join(texts) + b")\r\n"


def format_namespace(shared: str = "") -> bytes:
    """One personal namespace, the root (RFC 2342 §5); ``shared``: the prefix of shared mailboxes, when there are any."""
    others = f'(("{shared}" "{DELIMITER}"))' if shared else "NIL"
    return f'* NAMESPACE (("" "{DELIMITER}")) NIL {others}\r\n'.encode("ascii")


def format_list(
    attributes: Iterable[str], name: str, *, is_utf8: bool = False, verb: str = "LIST", more: bytes = b""
) -> bytes:
    """RFC 9051 §7.3.1; ``verb`` LSUB for RFC 3501 §7.2.3. An empty name answers the question for the root.

    ``more``: extended data, as ``format_child_info`` and ``format_old_name`` make it.
    """
    head = f'* {verb} ({" ".join(attributes)}) "{DELIMITER}" '.encode("ascii")
    return head + format_mailbox(name, is_utf8=is_utf8) + (b" (" + more + b")" if more else b"") + b"\r\n"


def format_child_info(criteria: Iterable[str]) -> bytes:
    """The selection that inferiors of a name meet (RFC 5258 §6)."""
    return b'"CHILDINFO" (' + b" ".join(b'"%s"' % each.encode("ascii") for each in criteria) + b")"


def format_old_name(name: str, *, is_utf8: bool = False) -> bytes:
    """The name by which a client called what is listed under another one (RFC 9051 §6.3.9.7)."""
    return b'"OLDNAME" (' + format_mailbox(name, is_utf8=is_utf8) + b")"


def format_status(
    name: str, values: Iterable[tuple[StatusItem, int | str]], *, is_utf8: bool = False
) -> bytes:
    """RFC 9051 §7.3.4; values that are no numbers come ready to send."""
    items = " ".join(f"{item} {value}" for item, value in values).encode("ascii")
    return b"* STATUS " + format_mailbox(name, is_utf8=is_utf8) + b" (" + items + b")\r\n"


def format_metadata(
    mailbox: str, entries: Iterable[tuple[str, bytes | None]], *, is_utf8: bool = False
) -> bytes:
    """RFC 5464 §4.4.1; values of any octets, an absent one NIL."""
    told = b" ".join(format_astring(name.encode("ascii")) + b" " + _value(value) for name, value in entries)
    return b"* METADATA " + format_mailbox(mailbox, is_utf8=is_utf8) + b" (" + told + b")\r\n"


def format_metadata_change(mailbox: str, names: Iterable[str], *, is_utf8: bool = False) -> bytes:
    """RFC 5464 §4.4.2: entries that others changed, without their values."""
    told = b" ".join(format_astring(name.encode("ascii")) for name in names)
    return b"* METADATA " + format_mailbox(mailbox, is_utf8=is_utf8) + b" " + told + b"\r\n"


def _value(octets: bytes | None) -> bytes:
    """``nstring / literal8`` (RFC 5464 §5)."""
    if octets is None or b"\0" not in octets:
        return format_nstring(octets)
    return b"~" + format_literal_mark(len(octets)) + octets


def format_quota(root: bytes, resources: Iterable[tuple[str, int, int]]) -> bytes:
    """RFC 9208 §4.2.1: (resource, usage, limit) each."""
    told = " ".join(f"{name} {usage} {limit}" for name, usage, limit in resources).encode("ascii")
    return b"* QUOTA " + format_astring(root) + b" (" + told + b")\r\n"


def format_quota_root(mailbox: str, roots: Iterable[bytes], *, is_utf8: bool = False) -> bytes:
    """RFC 9208 §4.2.2."""
    names = b"".join(b" " + format_astring(root) for root in roots)
    return b"* QUOTAROOT " + format_mailbox(mailbox, is_utf8=is_utf8) + names + b"\r\n"


def format_flags_response(flags: bytes) -> bytes:
    """RFC 9051 §7.3.5; ``flags`` is a formatted flag-list."""
    return b"* FLAGS " + flags + b"\r\n"


def format_exists(count: int) -> bytes:
    return b"* %d EXISTS\r\n" % count


def format_recent(count: int) -> bytes:
    return b"* %d RECENT\r\n" % count


def format_expunge(number: int) -> bytes:
    return b"* %d EXPUNGE\r\n" % number


def format_vanished(uids: SequenceSet, *, is_earlier: bool = False) -> bytes:
    """RFC 7162 §3.2.10; ``is_earlier``: they left before this session looked, and no message number moves."""
    return b"* VANISHED %s%s\r\n" % (b"(EARLIER) " if is_earlier else b"", format_sequence_set(uids))


def format_fetch(number: int, pieces: Iterable[bytes]) -> bytes:
    """RFC 9051 §7.5.2; ``pieces`` are items with their values, such as ``b"UID 4"``, ready to send."""
    return b"* %d FETCH (%s)\r\n" % (number, b" ".join(pieces))


@lru_cache(maxsize=64)
def format_body_label(item: BodySection) -> bytes:
    """The name under which a body section is answered: the client's section, and only the offset of its partial."""
    if item.label:
        return item.label.encode("ascii")
    section = item.section
    words = ".".join(map(str, section.part))
    if section.text is not SectionText.ALL:
        words = f"{words}.{section.text}" if words else str(section.text)
    fields = b" ".join(format_astring(name.encode("ascii")) for name in section.fields)
    inside = words.encode("ascii") + (b" (" + fields + b")" if fields else b"")
    return b"BODY[" + inside + b"]" + (b"<%d>" % item.partial.offset if item.partial else b"")


def _quote(octets: bytes) -> bytes:
    return b'"' + _QUOTED_SPECIAL.sub(rb"\\\g<0>", octets) + b'"'


def _status(status: Status, text: str, code: bytes) -> bytes:
    words = _human(text, when_empty=status.capitalize())
    if code:
        words = b"[" + code + b"] " + words
    elif words.startswith(b"["):
        words = b"." + words  # or it would be read as a code
    return status.encode("ascii") + b" " + words + b"\r\n"


def _human(text: str, *, when_empty: str) -> bytes:
    return (_NOT_TEXT.sub("?", text) or when_empty).encode("ascii")
