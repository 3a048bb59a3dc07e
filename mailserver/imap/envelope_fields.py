"""The header fields that a stored ENVELOPE holds, as decoded text: what SEARCH asks of the summary (RFC 9051 §7.5.2).

Looking for a text in thousands of envelopes opens few of them: a pattern finds the field, and most fields are seen not
to hold the text while they are octets still.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from mailserver.mime.encoded_words import decode_words

FIELDS = (
    "date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id",
)  # fmt: skip
"""In ENVELOPE's order."""
_ADDRESS_FIELDS = frozenset({"from", "sender", "reply-to", "to", "cc", "bcc"})
_TOKEN = re.compile(rb' *(?:"((?:[^"\\]++|\\.)*+)"|\{([0-9]{1,9})\}\r\n|(NIL)|([()]))', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

_IN_ENVELOPE = 2
"""Depth of the stack between the members of the ENVELOPE."""

# string = "NIL" / quoted; address-list = "NIL" / "(" 1*address ")", as ``mime.envelope`` writes them
_STRING = rb'(?:NIL|"[^"\\]*+(?:\\.[^"\\]*+)*+")'
_LIST = rb"(?:NIL|\((?:\(S NIL S S\))++\))"
_PLAIN_STRING = rb'(?:NIL|"[\t\x20!\x23-\x5b\x5d-\x7e]*+")'
"""Without escapes and controls: what stands between the quotes is the text."""

_STRUCTURE = re.compile(r'[nil ]+|.*[<>()"\\].*|.*@.*@.*|@.*|.*@', re.DOTALL)
"""Texts that the octets of an address list may hold without any of its addresses doing so, or the other way round."""
_REMEMBERED, _REMEMBERED_BYTES = 2048, 512

Node = bytes | None | list["Node"]


class FieldMatcher:
    """Whether one of FIELDS holds a text; an empty text asks for the field alone. ``fold`` makes texts comparable and
    is plain lower case for ASCII.
    """

    def __init__(self, name: str, text: str, fold: Callable[[str], str]) -> None:
        self._place = FIELDS.index(name)
        self._name, self._needle, self._fold = name, fold(text), fold
        self._member = member_pattern(name)
        self._forms = _forms_of(self._needle, is_list=name in _ADDRESS_FIELDS)
        self._remembers = lru_cache(maxsize=_REMEMBERED)(self._has_needle)  # the same people write often

    def is_match(self, envelope: bytes) -> bool:
        """Octets of another form hold nothing."""
        found = self._member.match(envelope)
        if found is None:  # an escape or a literal in it, or a literal before it
            return self._has_needle(envelope)
        member = found[1]
        if member == b"NIL":
            return False
        if b"=?" in member or not self._forms:
            alone = b"(" + b"NIL " * self._place + member + b")"
            return self._remembers(alone) if len(alone) < _REMEMBERED_BYTES else self._has_needle(alone)
        lower = member.lower()
        return self._forms[0] in lower or self._forms[-1] in lower

    def _has_needle(self, envelope: bytes) -> bool:
        return any(self._needle in self._fold(value) for value in find_field(envelope, self._name))


def _forms_of(needle: str, *, is_list: bool) -> tuple[bytes, ...]:
    """How a text stands in the octets of a field that has no escapes; empty when only its parsed values can tell."""
    octets = needle.encode()
    if not is_list:
        return () if '"' in needle or "\\" in needle else (octets,)
    if _STRUCTURE.fullmatch(needle):
        return ()
    # an address is two strings, and a name may hold an "@" too
    return (octets, octets.replace(b"@", b'" "')) if "@" in needle else (octets,)


@lru_cache
def member_pattern(name: str) -> re.Pattern[bytes]:
    """Matches an ENVELOPE up to one of FIELDS, which is its group: when that is plain, and no literal stands before."""
    member = (_LIST if name in _ADDRESS_FIELDS else b"S").replace(b"S", _PLAIN_STRING)
    return re.compile(_before(name) + b"(" + member + b")", re.DOTALL)


def find_first_address(envelope: bytes, name: str) -> tuple[bytes, bytes, bytes]:
    """Name, local part and domain, undecoded, of the first address in one of FIELDS; empty octets for what is absent."""
    found = _first_pattern(name).match(envelope)
    if found is not None:
        return found[1] or b"", found[2] or b"", found[3] or b""
    node = parse_nodes(envelope, FIELDS.index(name) + 1)[FIELDS.index(name)]
    first = node[0] if isinstance(node, list) and node else None
    parts = _four(first if isinstance(first, list) else ())
    person, _route, local, domain = (part if isinstance(part, bytes) else b"" for part in parts)
    return person, local, domain


@lru_cache
def _first_pattern(name: str) -> re.Pattern[bytes]:
    """As ``member_pattern``: the strings of the first address are its groups."""
    text = rb'(?:NIL|"([\t\x20!\x23-\x5b\x5d-\x7e]*+)")'
    return re.compile(
        _before(name) + rb"(?:NIL|\(\(" + text + b" NIL " + text + b" " + text + rb"\))", re.DOTALL
    )


def _before(name: str) -> bytes:
    """Matches an ENVELOPE up to one of FIELDS."""
    before = b"".join(
        (_LIST if each in _ADDRESS_FIELDS else b"S") + b" " for each in FIELDS[: FIELDS.index(name)]
    )
    return rb"\(" + before.replace(b"S", _STRING)


def find_field(envelope: bytes, name: str) -> tuple[str, ...]:
    """The values of one of FIELDS: texts, or ``name <local@domain>`` of each address; none when it is absent."""
    place = FIELDS.index(name)
    node = parse_nodes(envelope, place + 1)[place]
    if name not in _ADDRESS_FIELDS:
        return () if not isinstance(node, bytes) else (decode_words(node),)
    return tuple(_format_address(each) for each in node or () if isinstance(each, list))


def parse_nodes(envelope: bytes, count: int = len(FIELDS)) -> list[Node]:
    """The first ``count`` members of an ENVELOPE as we store it; what is cut short is empty."""
    root: list[Node] = []
    stack = [root]
    at = 0
    while (token := _TOKEN.match(envelope, at)) is not None:
        at = token.end()
        quoted, size, _nil, bracket = token.groups()
        if bracket == b"(":
            stack[-1].append([])
            stack.append(stack[-1][-1])  # type: ignore[arg-type] # the list that was just added
        elif bracket == b")":
            stack.pop()
            if len(stack) <= 1:
                break
        elif size is not None:
            stack[-1].append(envelope[at : at + int(size)])
            at += int(size)
        else:
            stack[-1].append(_ESCAPED.sub(rb"\1", quoted) if quoted and b"\\" in quoted else quoted)
        if len(stack) == _IN_ENVELOPE and len(stack[-1]) == count:
            break
    whole = root[0] if root and isinstance(root[0], list) else []
    return whole + [None] * (count - len(whole))


def _format_address(address: list[Node]) -> str:
    name, _route, local, domain = (each if isinstance(each, bytes) else b"" for each in _four(address))
    mailbox = b"<" + local + (b"@" + domain if domain else b"") + b">" if local else b""
    return " ".join(filter(None, (decode_words(name), decode_words(mailbox))))


def _four(nodes: Iterable[Node]) -> list[Node]:
    return [*nodes, None, None, None, None][:4]
