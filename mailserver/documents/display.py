"""What of a document may be shown in place, under which type, title and file name.

Invariants: the type shown comes from a short list and must agree with the bytes, never from the sender alone; a file
name has no path, no control or direction character, no reserved name, and at most MAX_NAME_CHARACTERS.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from mailserver.documents.cda import extract_embedded, is_cda
from mailserver.documents.codes import Code, find_class_label, find_type_label
from mailserver.model.errors import Malformed, OverLimit

MAX_NAME_CHARACTERS = 120
MAX_TITLE_CHARACTERS = 200
PLAIN_TEXT = "text/plain; charset=utf-8"
_SIGNATURES: dict[str, bytes] = {
    "application/pdf": b"%PDF-",
    "image/jpeg": b"\xff\xd8\xff",
    "image/png": b"\x89PNG\r\n\x1a\n",
}
_ALIASES = {"image/jpg": "image/jpeg", "image/pjpeg": "image/jpeg", "application/x-pdf": "application/pdf"}
_SUFFIXES: dict[str, str] = {
    "application/pdf": ".pdf",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "text/plain": ".txt",
    "text/xml": ".xml",
    "application/xml": ".xml",
    "text/x-cda-r2+xml": ".xml",
    "application/rtf": ".rtf",
    "text/rtf": ".rtf",
    "image/tiff": ".tif",
}
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)
_FORBIDDEN = frozenset('/\\:*?"<>|%')


@dataclass(frozen=True, slots=True)
class Shown:
    """Bytes to send with exactly this content type (and nosniff), inside a sandboxed frame."""

    content_type: str
    data: bytes = field(repr=False)


def find_plain_type(media_type: str, head: bytes) -> str | None:
    """The type of a document that is shown as it is, judged by its first octets. None for the others: a text or a CDA
    is judged whole, by ``find_shown``.
    """
    name = _bare(media_type)
    signature = _SIGNATURES.get(name)
    return name if signature is not None and head.startswith(signature) else None


def find_shown(media_type: str, data: bytes) -> Shown | None:
    """What to show in place: the document itself, or the file in a level 1 CDA; None means download only."""
    if is_cda(data):
        try:
            media_type, data = extract_embedded(data)
        except (Malformed, OverLimit):
            return None
    if _bare(media_type) == "text/plain":
        text = _as_text(data)
        return None if text is None else Shown(PLAIN_TEXT, text)
    plain = find_plain_type(media_type, data)
    return None if plain is None else Shown(plain, data)


def safe_file_name(title: str, media_type: str) -> str:
    """A download name made of the title and the suffix of the type (``.bin`` when unknown)."""
    suffix = _SUFFIXES.get(_bare(media_type), ".bin")
    stem = _cleaned(title).strip(" .")
    if stem.lower().endswith(suffix):
        stem = stem[: -len(suffix)]
    stem = stem[: MAX_NAME_CHARACTERS - len(suffix)].strip(" .")
    if not stem or _RESERVED.match(stem):
        stem = f"document {stem}".strip()
    return stem[: MAX_NAME_CHARACTERS - len(suffix)].strip(" .") + suffix


def human_title(title: str, type_code: Code | None, class_code: Code | None = None) -> str:
    """The title as one clean line; failing that the type's label, the class's, or "Document"."""
    line = _one_line(title)
    if not line:
        by_class = (find_class_label(class_code.code) or class_code.label) if class_code else ""
        line = _one_line(find_type_label(type_code) or by_class) or "Document"
    return line if len(line) <= MAX_TITLE_CHARACTERS else line[: MAX_TITLE_CHARACTERS - 1].rstrip() + "…"


def _bare(media_type: str) -> str:
    name = media_type.partition(";")[0].strip().lower()
    return _ALIASES.get(name, name)


def _as_text(data: bytes) -> bytes | None:
    """The text as UTF-8; what is not UTF-8 is read as Windows-1252, the field's other habit. None if binary."""
    if b"\x00" in data:
        return None
    try:
        return data.decode("utf-8").encode()
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace").encode()


def _one_line(text: str) -> str:
    """Categories C* (controls, format and direction marks, surrogates) and line separators become spaces."""
    kept = (" " if unicodedata.category(one)[0] in "CZ" else one for one in text[: 4 * MAX_TITLE_CHARACTERS])
    return " ".join("".join(kept).split())


def _cleaned(title: str) -> str:
    return " ".join("".join("_" if one in _FORBIDDEN else one for one in _one_line(title)).split())
