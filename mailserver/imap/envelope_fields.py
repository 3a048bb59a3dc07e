"""The header fields that a stored ENVELOPE holds, as decoded text: what SEARCH asks of the summary (RFC 9051 §7.5.2)."""

import re
from collections.abc import Iterable

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

Node = bytes | None | list["Node"]


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
            if len(stack) == 1:
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
