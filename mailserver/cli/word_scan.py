"""Looking for words in every byte under a folder, however they may have been written down.

``find_traces`` reads each file as it is, without line ends, without quoted-printable's soft breaks, and inside every
compressed stream. ``plant_copies`` writes a word in every form, so that whoever scans first proves that the scanner
would find it.
"""

import gzip
import io
import zipfile
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from urllib.parse import quote

INFLATED_BYTES = 64 * 1024 * 1024
_ZLIB_HEADS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_GZIP_HEAD, _ZIP_HEAD = b"\x1f\x8b\x08", b"PK\x03\x04"

View = tuple[str, bytes]
"""How a file was read, and what was read so."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One word found in one file. ``form`` says how it was written, ``view`` how the file was read."""

    path: str
    word: str
    form: str
    view: str


def no_more_views(_path: Path, _data: bytes) -> Iterator[View]:
    """For who has no further way to read a file."""
    return iter(())


def find_traces(
    folder: Path, words: list[str], more_views: Callable[[Path, bytes], Iterator[View]] = no_more_views
) -> list[Trace]:
    """Every trace of ``words`` (letters of either case) in the files under ``folder``, names of files included."""
    forms = {word: _forms(word) for word in words}
    traces = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        traces += [
            Trace(name, word, form, "file name")
            for word in words
            for form, pattern in forms[word].items()
            if pattern in name.encode().lower()
        ]
        if path.is_file():
            traces += _search(name, path, forms, more_views)
    return traces


def _search(
    name: str,
    path: Path,
    forms: dict[str, dict[str, bytes]],
    more_views: Callable[[Path, bytes], Iterator[View]],
) -> list[Trace]:
    found: dict[tuple[str, str], Trace] = {}
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # a temporary file that went while we looked
        return []
    for view, content in chain(_views(data), more_views(path, data)):
        for word, patterns in forms.items():
            for form in _forms_in(content, patterns):
                found.setdefault((word, form), Trace(name, word, form, view))
    return list(found.values())


def _forms_in(content: bytes, patterns: dict[str, bytes]) -> list[str]:
    """base64 tells its letters' case apart; everything else is looked for in either case."""
    lowered = content.lower()
    return [
        form
        for form, pattern in patterns.items()
        if pattern in (content if form.startswith("base64") else lowered)
    ]


def _views(data: bytes) -> Iterator[View]:
    yield "bytes", data
    yield "without line ends", data.replace(b"=\r\n", b"").replace(b"=\n", b"").translate(None, b"\r\n\t ")
    for content in _inflated(data):
        yield "inflated", content
        yield "inflated, without line ends", content.translate(None, b"\r\n\t ")


def _inflated(data: bytes) -> Iterator[bytes]:
    """Every zlib, gzip and zip member that begins anywhere in ``data`` and gives at least a few octets."""
    for head, bits in [*((head, zlib.MAX_WBITS) for head in _ZLIB_HEADS), (_GZIP_HEAD, 31), (_ZIP_HEAD, -15)]:
        at = data.find(head)
        while at >= 0:
            start = at
            if head == _ZIP_HEAD:  # APPNOTE §4.3.7: 30 octets, then name and extra field
                lengths = data[at + 26 : at + 30]
                start += 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            content = _inflate(data, start, bits)
            if len(content) > 3:
                yield content
            at = data.find(head, at + 1)


def _inflate(data: bytes, start: int, bits: int) -> bytes:
    """What comes out before the stream ends or fails."""
    inflater, content = zlib.decompressobj(bits), bytearray()
    try:
        for at in range(start, len(data), 4096):
            content += inflater.decompress(data[at : at + 4096], INFLATED_BYTES)
            if inflater.eof or len(content) > INFLATED_BYTES:
                break
    except zlib.error:
        pass
    return bytes(content)


def _forms(word: str) -> dict[str, bytes]:
    """Form → what to look for, each once; all but base64 in lower case."""
    text = word.lower()
    forms = {}
    for spelling, name in ((word, ""), (text, ", lower case"), (word.upper(), ", upper case")):
        # octets are folded as the files' are: ASCII letters alone
        forms[f"raw{name}"] = spelling.encode().lower()
        forms[f"hexadecimal{name}"] = spelling.encode().hex().encode()
        forms[f"UTF-16, little end first{name}"] = spelling.encode("utf-16-le").lower()
        forms[f"UTF-16, big end first{name}"] = spelling.encode("utf-16-be").lower()
        forms[f"quoted-printable{name}"] = b"".join(b"=%02x" % byte for byte in spelling.encode())
        for alignment in range(3):
            forms[f"base64, alignment {alignment}{name}"] = _base64_core(spelling.encode(), alignment)
    if not word.isascii():
        forms["Latin-1"] = text.encode("latin-1", "ignore")
        forms["quoted-printable, accents alone"] = quote(text, safe="").replace("%", "=").lower().encode()
        forms["percent"] = quote(text).lower().encode()
        forms["JSON"] = text.encode("ascii", "backslashreplace").replace(b"\\x", b"\\u00")
        forms["UTF-7"] = text.encode("utf-7").replace(b"+", b"&").lower()
    names: dict[bytes, str] = {}
    for form, pattern in forms.items():
        names.setdefault(pattern, form)
    return {form: pattern for pattern, form in names.items()}


def _base64_core(octets: bytes, alignment: int) -> bytes:
    """The characters that depend on ``octets`` alone when ``alignment`` other octets stand before them."""
    encoded = b64encode(bytes(alignment) + octets)
    return encoded[(0, 2, 3)[alignment] : (alignment + len(octets)) * 8 // 6]


def plant_copies(folder: Path, word: str) -> set[str]:
    """One file for each form and each way of hiding it; their names."""
    octets = f"avant {word} après".encode()
    files = {
        "raw": octets,
        "upper": word.upper().encode(),
        "hexadecimal": octets.hex().upper().encode(),
        "utf-16-le": octets.decode().encode("utf-16-le"),
        "utf-16-be": b"\0" + octets.decode().encode("utf-16-be"),
        "quoted": b"".join(b"=%02X" % byte for byte in octets),
        "soft-break": b"avant " + word[:4].encode() + b"=\r\n" + word[4:].encode(),
        "lines": b64encode(octets)[:9] + b"\r\n" + b64encode(octets)[9:],
        "zlib": b"\0\0" + zlib.compress(octets),
        "gzip": b"\0\0" + gzip.compress(octets),
        "gzip-base64": gzip.compress(b64encode(b"x" + octets)),
        "zip": _zipped(octets),
    }
    for alignment in range(3):
        files[f"base64-{alignment}"] = b64encode(b"." * alignment + octets)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / f"name-{word}").touch()
    return {*files, f"name-{word}"}


def _zipped(octets: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.txt", octets)
    return buffer.getvalue()
