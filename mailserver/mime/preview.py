"""The first readable words of a message (RFC 8970 §3.3): at most 200 characters and 256 octets of UTF-8.

Taken from the message's own first text, plain or HTML; attachments and forwarded messages are passed over. The work is
bounded whatever the message: a few parts are tried, each only at its beginning, each octet of it looked at a few times.
"""

import re
from collections.abc import Callable, Iterator
from html import unescape

from mailserver.mime.decode import decode_body, decode_text
from mailserver.mime.summary import HeaderSummary, PartRow

PREVIEW_CHARACTERS = 200
PREVIEW_BYTES = 256
PLAIN_BYTES = 4 * 1024
HTML_BYTES = 32 * 1024
"""HTML begins with style sheets more often than with words."""
_PARTS_TRIED = 4
_BEGINNING = 512
"""Characters of a plain text that are looked at first: most fill a preview."""

Read = Callable[[int, int], bytes]
"""Octets of the message from ``start`` up to ``stop``."""

# controls and marks that turn the direction of writing; those that are white space are left to str.split
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffd]"
)
_INVISIBLE = "\u034f\u061c\u115f\u17b4\u180e\u200b\u200c\u200d"
"""Letters without a shape: a word of nothing else fills a preview with nothing (some senders do that)."""
_CUT_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,3}\Z")
"""The last letter of UTF-8 that was cut: with half of it, the whole would not be taken for UTF-8."""
_TAG_NAME = re.compile(r"/?[A-Za-z][A-Za-z0-9]{0,15}+")
_HIDDEN_END = {
    name: re.compile(end, re.IGNORECASE)
    for name, end in {
        "head": "</head|<body",
        "style": "</style",
        "script": "</script",
        "title": "</title",
        "template": "</template",
    }.items()
}
"""Elements that hold no words, and what ends them."""
_INLINE = frozenset(
    {"a", "abbr", "b", "big", "em", "font", "i", "s", "small", "span", "strong", "sub", "sup", "u"}
)
"""Elements inside a word or a line: nothing is put in place of their tags."""


def first_words(summary: HeaderSummary, read: Read) -> str:
    """The preview of a message; empty when no text of its own has a readable word (RFC 8970 §3.2)."""
    for row in _own_texts(summary):
        is_html = row.content_type == "text/html"
        stop = min(row.body_end, row.body_start + (HTML_BYTES if is_html else PLAIN_BYTES))
        octets = decode_body(read(row.body_start, stop), row.encoding)
        text = decode_text(_CUT_CHARACTER.sub(b"", octets) if stop < row.body_end else octets, row.charset)
        words = _cut_words(strip_markup(text))[0] if is_html else _plain_words(text)
        if words:
            return words
    return ""


def strip_markup(text: str) -> str:
    """The text of HTML, cut at the first construct that never ends; one pass, no tree."""
    pieces: list[str] = []
    at = 0
    while (begin := text.find("<", at)) >= 0:
        pieces.append(text[at:begin])
        end, gap = _pass_markup(text, begin)
        if end < 0:
            return unescape("".join(pieces))
        pieces.append(gap)
        at = end
    pieces.append(text[at:])
    return unescape("".join(pieces))


def _pass_markup(text: str, begin: int) -> tuple[int, str]:
    """Where the construct that opens at ``begin`` ends (-1: never), and what stands for it."""
    if text.startswith("<!--", begin):
        end = text.find("-->", begin + 4)
        return (end + 3 if end >= 0 else -1), ""
    name = _TAG_NAME.match(text, begin + 1)
    if name is None and text[begin + 1 : begin + 2] not in {"!", "?"}:
        return begin + 1, "<"  # a bare sign, as in "a < b"
    word = "" if name is None else name[0].lower()
    hidden = _HIDDEN_END.get(word)
    if hidden is not None:
        closing = hidden.search(text, begin)
        if closing is None:
            return -1, ""
        begin = closing.start()
    end = text.find(">", begin)
    return (end + 1 if end >= 0 else -1), "" if word.lstrip("/") in _INLINE else " "


def _own_texts(summary: HeaderSummary) -> Iterator[PartRow]:
    """The first text parts that are shown as the message, in order."""
    files = [summary.parts[each.index] for each in summary.attachments]
    texts = (
        row
        for row in summary.parts
        if row.content_type in {"text/plain", "text/html"}
        and not any(file.header_start <= row.header_start < file.body_end for file in files)
    )
    for _count, row in zip(range(_PARTS_TRIED), texts, strict=False):
        yield row


def _plain_words(text: str) -> str:
    """The words of its own lines, of the first ones when they fill a preview; else those of all."""
    beginning = text[:_BEGINNING].rpartition("\n")[0]
    words, is_full = _cut_words(_own_lines(beginning))
    if not is_full:
        words, _is_full = _cut_words(_own_lines(text))
    return words or _cut_words(text)[0]


def _own_lines(text: str) -> str:
    """Without quoted lines and without a signature."""
    if ">" not in text and "-- " not in text:
        return text
    lines = []
    for line in text.splitlines():
        if line == "-- ":
            break
        if not line.startswith(">"):
            lines.append(line)
    return "\n".join(lines)


def _cut_words(text: str) -> tuple[str, bool]:
    """The words of a text, one space between them, up to the limits; and whether more would not be shown."""
    if text.isascii():
        line = " ".join(text.split())
        if line.isprintable():  # nothing in it is unseen
            return line[:PREVIEW_CHARACTERS].strip(), len(line) >= PREVIEW_CHARACTERS
    words: list[str] = []
    room = PREVIEW_CHARACTERS + 1
    for word in _UNSEEN.sub("", text).split():
        if not word.strip(_INVISIBLE):
            continue
        words.append(word)
        room -= len(word) + 1
        if room <= 0:
            break
    shown = " ".join(words)[:PREVIEW_CHARACTERS]
    return shown.encode("utf-8", "ignore")[:PREVIEW_BYTES].decode("utf-8", "ignore").strip(), room <= 0
