"""Undo transfer encodings and charsets, tolerantly: no input raises, any split of it gives the same octets.

Decoders hold a few octets between calls, so that a large attachment streams.
"""

import binascii
import re
from encodings.aliases import aliases
from functools import lru_cache
from typing import Protocol

_BASE64_NOISE = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)
# an "=" that starts neither an escape nor a soft line break stands for itself (RFC 2045 §6.7, tolerant)
_QP_STRAY = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
# white space that a transport added after a soft line break's "="
_QP_PADDED_BREAK = re.compile(rb"=[ \t]{1,32}(?=\r?\n)")
_QP_LOOKBEHIND = 36

# Text codecs only: Python's registry also names compressors and ciphers, and remembers each unknown name that
# it is asked for. utf-7 hides markup and is refused.
_CODEC_NAMES = (
    "ascii utf_8 utf_16 utf_16_le utf_16_be utf_32 utf_32_le utf_32_be koi8_r koi8_u koi8_t kz1048 tis_620 hz "
    "big5 big5hkscs gb2312 gbk gb18030 shift_jis shift_jis_2004 euc_jp euc_jis_2004 euc_kr johab "
    "iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_jp_3 iso2022_jp_ext iso2022_kr "
    "cp037 cp437 cp500 cp720 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865 "
    "cp866 cp869 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 "
    "latin_1 iso8859_2 iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 "
    "iso8859_11 iso8859_13 iso8859_14 iso8859_15 iso8859_16 mac_roman mac_latin2 mac_cyrillic mac_greek "
    "mac_turkish mac_iceland"
)
_CODECS = frozenset(_CODEC_NAMES.split())
_NOT_ALPHANUMERIC = re.compile(r"[^a-z0-9]+")


TRANSPARENT = frozenset({"7bit", "8bit", "binary"})
"""Encodings that leave the octets as they are (RFC 2045 §6.2)."""


class Decoder(Protocol):
    """An incremental transfer decoder."""

    def update(self, chunk: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class IdentityDecoder:
    """7bit, 8bit, binary, and any encoding that we do not know."""

    def update(self, chunk: bytes) -> bytes:
        """Take the next octets as they are."""
        return chunk

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""


class Base64Decoder:
    """RFC 2045 §6.8: octets outside the alphabet are skipped; the first "=" ends the data."""

    __slots__ = ("_carry", "_is_done")

    def __init__(self) -> None:
        self._carry = b""
        self._is_done = False

    def update(self, chunk: bytes) -> bytes:
        """Take the next characters; the octets that they complete."""
        if self._is_done:
            return b""
        clean = self._carry + chunk.translate(None, _BASE64_NOISE)
        end = clean.find(b"=")
        if end >= 0:
            self._is_done = True
            return _decode_base64_tail(clean[:end])
        whole = len(clean) & ~3
        self._carry = clean[whole:]
        return binascii.a2b_base64(clean[:whole])

    def finish(self) -> bytes:
        """The octets of an unfinished group; a lone last character is dropped."""
        tail = b"" if self._is_done else _decode_base64_tail(self._carry)
        self._is_done = True
        return tail


def _decode_base64_tail(clean: bytes) -> bytes:
    whole = clean[: len(clean) - 1] if len(clean) % 4 == 1 else clean
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


class QuotedPrintableDecoder:
    """RFC 2045 §6.7; a wrong escape is kept as it stands, white space at line ends too."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = b""

    def update(self, chunk: bytes) -> bytes:
        """Take the next octets; what of them can be decoded already."""
        data = self._carry + chunk
        # What follows a late "=" may still be on its way. Cutting just before an "=" is always safe here,
        # because after _QP_STRAY every "=" starts a whole escape or a whole soft break.
        cut = data.find(b"=", max(0, len(data) - _QP_LOOKBEHIND))
        if cut < 0:
            cut = len(data)
        self._carry = data[cut:]
        return _decode_quoted(data[:cut])

    def finish(self) -> bytes:
        """The rest; an escape cut short is kept as it stands."""
        tail, self._carry = self._carry, b""
        # the CRLF of a last soft break belongs to the delimiter that follows
        return _decode_quoted(tail.rstrip(b" \t").removesuffix(b"=") if _ends_softly(tail) else tail)


def _ends_softly(tail: bytes) -> bool:
    return tail.rstrip(b" \t").endswith(b"=")


def _decode_quoted(data: bytes) -> bytes:
    if b"=" not in data:
        return data
    data = _QP_PADDED_BREAK.sub(b"=", data)
    return binascii.a2b_qp(_QP_STRAY.sub(b"=3D", data))


def decoder_of(encoding: str) -> Decoder:
    """The decoder of a Content-Transfer-Encoding; an unknown one decodes to itself (RFC 2045 §6.1)."""
    match encoding.strip().lower():
        case "base64":
            return Base64Decoder()
        case "quoted-printable":
            return QuotedPrintableDecoder()
        case _:
            return IdentityDecoder()


def decode_body(raw: bytes, encoding: str) -> bytes:
    """Undo a Content-Transfer-Encoding in one go. Never raises."""
    if encoding in TRANSPARENT:
        return raw
    decoder = decoder_of(encoding)
    return decoder.update(raw) + decoder.finish()


def find_codec(charset: str) -> str | None:
    """Python's name of a charset that we display, or None: unknown, or refused like utf-7."""
    return _find_codec(charset[:64])


@lru_cache(maxsize=256)
def _find_codec(charset: str) -> str | None:
    label = _NOT_ALPHANUMERIC.sub("_", charset.lower()).strip("_")
    name = aliases.get(label, label)
    if name not in _CODECS:
        return None
    # what calls itself ISO-8859-1 in mail is windows-1252 in fact (WHATWG Encoding §4.2)
    return "cp1252" if name in {"latin_1", "ascii"} else name


def decode_text(raw: bytes, charset: str) -> str:
    """Octets to text. Never raises; an unknown charset is read as ASCII with replacement characters."""
    codec = find_codec(charset) if charset else "cp1252"
    if codec is None:
        return raw.decode("ascii", "replace")
    if codec == "cp1252":
        return decode_unlabelled(raw)
    return raw.decode(codec, "replace")


def decode_unlabelled(raw: bytes) -> str:
    """Octets without a trustworthy label: UTF-8 if they are UTF-8 (RFC 6532), else windows-1252."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
