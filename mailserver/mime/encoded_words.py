"""RFC 2047 encoded words, both ways, for text that people read.

Decoded text never holds a line break, NUL or another control: an encoded word cannot become a header, and
addresses are never passed through here.
"""

import binascii
import re

from mailserver.mime.decode import decode_body, decode_text, decode_unlabelled

# encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?=" (RFC 2047 §2, RFC 2231 §5)
_WORD = re.compile(rb"=\?([^?\s*]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?([^?]*+)\?=")
UNSAFE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
"""Controls and line separators (tab is harmless): a space on the way in, refused on the way out."""
_WORD_PAYLOAD = 60 - len("=?utf-8?Q??=")  # RFC 2047 §2 allows 75; 60 leaves room for the field name
_Q_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def decode_words(value: bytes) -> str:
    """Text of an unfolded value with its encoded words decoded (RFC 2047 §6.1, §6.2). Never raises."""
    if value.find(b"=?") < 0:
        return clean_text(decode_unlabelled(value))
    pieces: list[str] = []
    run: list[bytes] = []  # neighbours of one charset, joined before decoding: writers cut inside characters
    run_charset = b""
    position = 0
    for match in _WORD.finditer(value):
        gap = value[position : match.start()]
        charset = match.group(1).lower()
        if run and (gap.strip() or charset != run_charset):
            pieces.append(_decode_run(run, run_charset))
            run = []
        # white space between two encoded words is not shown (RFC 2047 §6.2)
        if gap.strip() or (gap and position == 0):
            pieces.append(decode_unlabelled(gap))
        run_charset = charset
        run.append(_decode_payload(match.group(2), match.group(3)))
        position = match.end()
    if run:
        pieces.append(_decode_run(run, run_charset))
    pieces.append(decode_unlabelled(value[position:]))
    return clean_text("".join(pieces))


def _decode_run(run: list[bytes], charset: bytes) -> str:
    return decode_text(b"".join(run), charset.decode("ascii", "replace"))


def _decode_payload(encoding: bytes, payload: bytes) -> bytes:
    if encoding in b"bB":
        return decode_body(payload, "base64")
    return binascii.a2b_qp(payload, header=True)


def clean_text(text: str) -> str:
    """Controls and line separators become spaces; the rest is untouched."""
    if text.isprintable():
        return text
    return UNSAFE.sub(" ", text)


def format_words(text: str) -> list[str]:
    """Encoded words in UTF-8, each at most 60 characters and made of whole characters (RFC 2047 §5)."""
    encoded = [_encode_q(character) for character in text]
    if sum(map(len, encoded)) <= 2 * len(text.encode()):
        return [f"=?utf-8?Q?{piece}?=" for piece in _pack(encoded, _WORD_PAYLOAD)]
    pieces = _pack_bytes(text, _WORD_PAYLOAD // 4 * 3)
    return [f"=?utf-8?B?{binascii.b2a_base64(piece, newline=False).decode()}?=" for piece in pieces]


def _encode_q(character: str) -> str:
    if character == " ":
        return "_"
    return "".join(chr(octet) if octet in _Q_PLAIN else f"={octet:02X}" for octet in character.encode())


def _pack(items: list[str], size: int) -> list[str]:
    packed = [""]
    for item in items:
        if len(packed[-1]) + len(item) > size:
            packed.append("")
        packed[-1] += item
    return packed


def _pack_bytes(text: str, size: int) -> list[bytes]:
    packed = [b""]
    for character in text:
        octets = character.encode()
        if len(packed[-1]) + len(octets) > size:
            packed.append(b"")
        packed[-1] += octets
    return packed
