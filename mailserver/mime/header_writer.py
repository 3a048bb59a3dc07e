"""Header fields that we write: encoded, folded, and free of injection.

Every value is checked here: a control character (CR, LF and NUL first) or a lone surrogate raises Malformed
``header-value``. Lines stay within 78 characters where the words allow, and always within 998 (RFC 5322 §2.1.1).
"""

import re
from collections.abc import Sequence

from mailserver.mime.encoded_words import UNSAFE, format_words
from mailserver.mime.parameters import format_parameter
from mailserver.model.address import Address
from mailserver.model.errors import Malformed

_NAME = re.compile(r"[!-9;-~]{1,70}")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`{|}~-]+")
_CONTENT_TYPE = re.compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}")
_MESSAGE_ID = re.compile(r"<[!-;=?A-~]+@[!-;=?A-~]+>")  # no "<", ">" or second "@": stricter than §3.6.4
_LINE = 78
_LINE_LIMIT = 998
_NAME_LINE = 60


def check_value(text: str) -> str:
    """The text itself; Malformed ``header-value`` when it could break out of a field or cannot be encoded."""
    if UNSAFE.search(text):
        raise Malformed("header-value")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("header-value") from error
    return text


def check_message_id(text: str) -> str:
    """The text itself if it is a ``<left@right>`` that we would write; else Malformed ``message-id``."""
    if not _MESSAGE_ID.fullmatch(text) or len(text) > 900:
        raise Malformed("message-id")
    return text


def check_content_type(text: str) -> str:
    """The text itself if it is ``type/subtype``; else Malformed ``content-type``."""
    if not _CONTENT_TYPE.fullmatch(text) or len(text) > 127:
        raise Malformed("content-type")
    return text


def format_field(name: str, words: Sequence[str]) -> bytes:
    """One field from words that stand apart by a space and must not be cut. Folds between words.

    Raises Malformed ``header-name``, ``header-value``; OverLimit-free: a word over 998 is Malformed.
    """
    if not _NAME.fullmatch(name):
        raise Malformed("header-name")
    lines = [f"{name}:"]
    for word in words:
        check_value(word)
        size = len(word.encode())
        if size > _LINE_LIMIT - 2:
            raise Malformed("header-value", "long")
        # a first word on a line of its own is legal, but some readers stumble over it
        is_first = len(lines) == 1 and len(lines[0]) == len(name) + 1
        room = _LINE_LIMIT if is_first and len(name) + size + 2 <= _LINE_LIMIT else _LINE
        if len(lines[-1].encode()) + 1 + size > room:
            lines.append("")
        lines[-1] += f" {word}"
    return ("\r\n".join(lines) + "\r\n").encode()


def format_text_field(name: str, text: str) -> bytes:
    """An unstructured field (Subject): as it stands when reading it back gives the same text, else RFC 2047."""
    check_value(text)
    words = text.split(" ")
    is_plain = text.isascii() and "\t" not in text and "=?" not in text and all(words)
    if is_plain and all(len(word) <= _NAME_LINE for word in words):
        return format_field(name, words)
    return format_field(name, format_words(text) if text else [])


def format_token_field(name: str, text: str) -> bytes:
    """A field that programs read: its words as they stand, for none of them decodes RFC 2047. ASCII, else Malformed."""
    if not text.isascii():
        raise Malformed("header-value")
    return format_field(name, text.split(" "))


def format_phrase(text: str) -> list[str]:
    """A display name (RFC 5322 §3.2.5): atoms, a quoted string, or encoded words."""
    check_value(text)
    if text.isascii() and "\t" not in text and "=?" not in text and len(text) <= _NAME_LINE:
        if _ATOMS.fullmatch(text):
            return text.split(" ")
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{escaped}"']
    return format_words(text)


def format_address_field(name: str, people: Sequence[tuple[str, Address]]) -> bytes:
    """An address field from display names (may be empty) and addresses."""
    words: list[str] = []
    for position, (display_name, address) in enumerate(people):
        comma = "," if position < len(people) - 1 else ""
        if display_name:
            words += [*format_phrase(display_name), f"<{address}>{comma}"]
        else:
            words.append(f"{address}{comma}")
    return format_field(name, words)


def format_parameter_field(name: str, value: str, parameters: Sequence[tuple[str, str]]) -> bytes:
    """A field with parameters (Content-Type, Content-Disposition), RFC 2231 where a value asks for it."""
    pieces = [value]
    for label, text in parameters:
        if not _TOKEN.fullmatch(label):
            raise Malformed("header-name")
        pieces += format_parameter(label, check_value(text))
    words = [f"{piece};" for piece in pieces[:-1]] + pieces[-1:]
    return format_field(name, words)
