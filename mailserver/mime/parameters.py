"""Content-Type and Content-Disposition: the value, and its parameters raw and decoded (RFC 2045 §5.1, RFC 2231).

Raw parameters go out again in BODYSTRUCTURE; the decoded form is for people. Steps are linear in the value.
"""

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

from mailserver.mime.decode import decode_text
from mailserver.mime.encoded_words import clean_text, decode_words

Parameters = tuple[tuple[bytes, bytes], ...]
"""Lower-case name and unquoted value, in order, as received."""

# parameter := attribute "=" value; a quoted value that never ends runs to the end of the field
_PARAMETER = re.compile(
    rb';\s*+([^\s=;"()]++)\s*+=\s*+(?:"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)|([^;]*+))', re.DOTALL
)
_MEDIA_TYPE = re.compile(rb"\s*+([^\s/;()\"<>@,\\\[\]?=]{1,63})\s*+/\s*+([^\s/;()\"<>@,\\\[\]?=]{1,63})")
_TOKEN = re.compile(rb'\s*+([^\s;()"=]{1,63})')
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"\*([0-9]{1,3})(\*?)")
PARAMETERS = 128
"""At most this many parameters of one field are read."""
_DECODED_BYTES = 4096  # of one value; the raw value is kept whole


def parse_parameters(value: bytes) -> Parameters:
    """The parameters of an unfolded field value, tolerant: what cannot be read is left out."""
    if b";" not in value:
        return ()
    found: list[tuple[bytes, bytes]] = []
    for match in _PARAMETER.finditer(value):
        if len(found) == PARAMETERS:
            break
        name, quoted, plain = match.groups()
        name = name.lower()
        if quoted is None:
            quoted = _plain(name, plain)
        elif b"\\" in quoted:
            quoted = _QUOTED_PAIR.sub(rb"\1", quoted)
        found.append((name, quoted))
    return tuple(found)


def _plain(name: bytes, value: bytes) -> bytes:
    """An unquoted value ends at white space or a comment; file names in the field hold bare spaces."""
    value = value.strip()
    if name in {b"name", b"filename"}:
        return value
    words = value.partition(b"(")[0].split(None, 1)
    return words[0] if words else b""


def find_media_type(value: bytes) -> tuple[str, str] | None:
    """Lower-case type and subtype of a Content-Type value, or None when it has none (RFC 2045 §5.1)."""
    match = _MEDIA_TYPE.match(value)
    if match is None:
        return None
    media_type, subtype = match.groups()
    if not media_type.isascii() or not subtype.isascii():
        return None
    return media_type.decode().lower(), subtype.decode().lower()


def find_token(value: bytes) -> str | None:
    """The leading token of a value, lower-case: a disposition or a transfer encoding."""
    match = _TOKEN.match(value)
    return match.group(1).decode("ascii", "replace").lower() if match else None


def find_parameter(parameters: Parameters, name: str) -> str | None:
    """A parameter as text: RFC 2231 charset and continuations first, then plain, encoded words tolerated."""
    if not parameters:
        return None
    key = name.encode()
    plain: bytes | None = None
    extended: bytes | None = None
    sections: list[tuple[int, bool, bytes]] = []
    for label, raw in parameters:
        if not label.startswith(key):
            continue
        rest, value = label[len(key) :], raw[:_DECODED_BYTES]
        if rest == b"" and plain is None:
            plain = value
        elif rest == b"*" and extended is None:
            extended = value
        elif match := _SECTION.fullmatch(rest):
            sections.append((int(match.group(1)), bool(match.group(2)), value))
    if extended is not None:
        return _decode_extended(extended)
    if sections:
        return _join_sections(sections)
    return decode_words(plain) if plain is not None else None


def _decode_extended(value: bytes) -> str:
    """charset'language'percent-encoded (RFC 2231 §4)."""
    charset, _, rest = value.partition(b"'")
    _, quote, text = rest.partition(b"'")
    if not quote:
        return clean_text(decode_text(unquote_to_bytes(value), "utf-8"))
    return clean_text(decode_text(unquote_to_bytes(text), charset.decode("ascii", "replace") or "utf-8"))


def _join_sections(sections: list[tuple[int, bool, bytes]]) -> str:
    """Continuations in the order of their numbers; only the first names the charset (RFC 2231 §4.1)."""
    sections.sort(key=lambda section: section[0])
    charset = b"utf-8"
    octets: list[bytes] = []
    for position, (_, is_extended, value) in enumerate(sections):
        text = value
        if is_extended and position == 0 and value.count(b"'") >= 2:
            charset, _, text = value.split(b"'", 2)
        octets.append(unquote_to_bytes(text) if is_extended else text)
    return clean_text(decode_text(b"".join(octets), charset.decode("ascii", "replace") or "utf-8"))


def format_parameter(name: str, value: str) -> list[str]:
    """A parameter as pieces to fold between: quoted when short and ASCII, else RFC 2231 in UTF-8.

    The value holds no control characters (the caller has refused them).
    """
    if value.isascii() and len(value) <= 60 and "=?" not in value:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return [f'{name}="{escaped}"']
    percent = quote_from_bytes(value.encode(), safe="")
    if len(percent) <= 50:
        return [f"{name}*=utf-8''{percent}"]
    pieces = re.findall(r"(?:%..|[^%]){1,18}", percent)
    head = f"{name}*0*=utf-8''{pieces[0]}"
    return [head, *(f"{name}*{number}*={piece}" for number, piece in enumerate(pieces[1:], 1))]
