"""XML from strangers: one hardened way in.

Invariants: a DOCTYPE is refused before any parser sees the bytes, so no entity and no external reference can exist;
encodings are a short ASCII-compatible list (nothing hides from that scan); no network, no DTD, libxml2's own depth
and size limits stay on; bytes, elements and attributes are budgeted; whole branches can be dropped or a long text
taken aside as it streams, so that a large body never becomes a tree.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lxml import etree

from mailserver.documents.reasons import SetAsideReason
from mailserver.model.errors import Malformed, OverLimit

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DECLARED_ENCODING = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']")
_ENCODINGS = frozenset({b"utf-8", b"us-ascii", b"iso-8859-1", b"iso-8859-15", b"windows-1252"})
_SPACES = frozenset({b" ", b"\t", b"\r", b"\n"})
_KEPT_ELEMENTS = 20_000
"""Of a streamed document: building the tree costs ten times what dropping does."""


@dataclass(frozen=True, slots=True)
class MarkupLimits:
    """``max_nodes`` bounds elements, their ends, attributes and references together, dropped ones included."""

    max_bytes: int
    max_nodes: int


@dataclass(frozen=True, slots=True)
class Markup:
    """The kept tree, and the character data of the elements taken aside."""

    root: etree._Element
    held: str = field(repr=False)


class _OverBudgetError(Exception):
    """Stops the parser from inside its target."""


class _Target:
    """Receives parse events; builds the tree without the dropped branches and the held text."""

    def __init__(self, dropped: frozenset[str], holding: str) -> None:
        self._builder = etree.TreeBuilder()
        self._dropped = dropped
        self._holding = holding
        self._budget = _KEPT_ELEMENTS
        self._dropped_depth = 0
        self._is_holding = False
        self._held: list[str] = []

    @property
    def is_over_budget(self) -> bool:
        return self._budget < 0

    def start(self, tag: str, attrib: Mapping[str | bytes, str | bytes]) -> None:
        if self._dropped_depth:
            self._dropped_depth += 1
            return
        self._budget -= 1
        if self._budget < 0:
            # lxml may replace what a target raises by its own error: parse_streamed looks at the budget
            raise _OverBudgetError
        self._builder.start(tag, dict(attrib))
        if tag in self._dropped:
            self._dropped_depth = 1
        self._is_holding = tag == self._holding

    def end(self, tag: str) -> None:
        if self._dropped_depth > 1:
            self._dropped_depth -= 1
            return
        self._dropped_depth = 0
        self._is_holding = False
        self._builder.end(tag)

    def data(self, text: str) -> None:
        if self._dropped_depth:
            return
        if self._is_holding:
            self._held.append(text)
        else:
            self._builder.data(text)

    def close(self) -> Markup:
        return Markup(self._builder.close(), "".join(self._held))


def parse_markup(data: bytes, limits: MarkupLimits, code: SetAsideReason) -> etree._Element:
    """The root of ``data``. Raises Malformed with ``code`` (or ``doctype``), OverLimit ``markup-too-large``."""
    _check_budget(data, limits)
    _check_prolog(data, code)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        return etree.fromstring(_with_line_feeds(data), parser)
    except (etree.LxmlError, ValueError) as error:
        # the parser's own words may quote the document: they stay here
        raise Malformed(code, "xml syntax") from error


def parse_streamed(
    data: bytes, limits: MarkupLimits, code: SetAsideReason, *, dropped: frozenset[str], holding: str
) -> Markup:
    """As ``parse_markup``, but the content of ``dropped`` elements is left out and the text of ``holding`` ones goes to
    ``held``: libxml2 caps a text node at 10 MB, a scanned letter in base64 may be longer.
    """
    _check_budget(data, limits)
    _check_prolog(data, code)
    target = _Target(dropped, holding)
    parser = etree.XMLParser(
        # without resolve_entities=False: libxml2 would hand &amp; in attributes over as &#38;; no DOCTYPE, no entity
        target=target,  # type: ignore[arg-type]  # the stub asks for comment(), lxml does not
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
    )
    try:
        parsed: object = etree.fromstring(_with_line_feeds(data), parser)
    except (etree.LxmlError, ValueError, AssertionError, _OverBudgetError) as error:
        if target.is_over_budget:
            raise OverLimit(
                SetAsideReason.MARKUP_TOO_LARGE, f"over {_KEPT_ELEMENTS} header elements"
            ) from error
        raise Malformed(code, "xml syntax") from error
    if not isinstance(parsed, Markup):
        raise Malformed(code, "xml syntax")
    return parsed


def _check_budget(data: bytes, limits: MarkupLimits) -> None:
    """Each element costs a ``<`` and each attribute an ``=``: counting them bounds the tree before it exists. Each reference
    (``&``) is a piece of text of its own, handed over with the interpreter's lock.
    """
    if len(data) > limits.max_bytes:
        raise OverLimit(SetAsideReason.MARKUP_TOO_LARGE, f"over {limits.max_bytes} bytes")
    if sum(data.count(sign) for sign in (b"<", b"=", b"&")) > limits.max_nodes:
        raise OverLimit(SetAsideReason.MARKUP_TOO_LARGE, f"over {limits.max_nodes} nodes")


def _with_line_feeds(data: bytes) -> bytes:
    """XML 1.0 §2.11, done at once: libxml2 hands over a piece of text at each CR."""
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data


def _check_prolog(data: bytes, code: SetAsideReason) -> None:
    """Encoding and DOCTYPE (XML 1.0 §2.8), judged on bytes: before the root only declarations, comments and PIs."""
    if b"\x00" in data:
        raise Malformed(code, "encoding")
    position = len(BYTE_ORDER_MARK) if data.startswith(BYTE_ORDER_MARK) else 0
    declared = _DECLARED_ENCODING.match(data, position)
    if declared is not None and declared[1].lower() not in _ENCODINGS:
        raise Malformed(code, "encoding")
    while True:
        while data[position : position + 1] in _SPACES:
            position += 1
        if data.startswith(b"<?", position):
            position = _after(data, b"?>", position, code)
        elif data.startswith(b"<!--", position):
            position = _after(data, b"-->", position + 4, code)
        elif data.startswith(b"<!", position):
            raise Malformed(SetAsideReason.DOCTYPE)
        else:
            return


def _after(data: bytes, closing: bytes, position: int, code: SetAsideReason) -> int:
    found = data.find(closing, position)
    if found < 0:
        raise Malformed(code, "xml syntax")
    return found + len(closing)
