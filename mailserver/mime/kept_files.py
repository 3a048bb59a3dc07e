"""Large mail: which files of a message stay with its sender's operator, and the note that travels in their place.

The first file's part becomes a text that says in plain words, French and English, what is kept, until when, where, and
the code that opens it; Content-Kept fields say the same to software (RFC 2045 §9 leaves "Content-" to such extensions).
Every other octet of the message stays as it is. Pure: octets in, octets out.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from mailserver.mime.header_writer import format_field, format_parameter_field
from mailserver.mime.headers import FIELD, HeaderBlock
from mailserver.mime.parameters import find_media_type, find_parameter, parse_parameters
from mailserver.mime.part import Part

FILES = 50
"""At most this many files of one message are kept apart: their list must fit into a header block (S4)."""
NAME_BYTES = 200
"""Longest file name, in UTF-8."""
_ENDING_CHARACTERS = 20
_WORDS_BYTES = 4 * 1024
_FILE_BYTES = 3 * 1024
"""What the note adds to a message, and at most for each file."""
NOTE_NAME = "LISEZ-MOI_fichiers-conserves.txt"
_CLOSED = frozenset({"multipart/signed", "multipart/encrypted"})
"""Taking a part out of these would break them (RFC 1847 §2)."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SIZE = re.compile(r"[0-9]{1,12}")
_URL = re.compile(r"https://[!-~]{1,300}")
_CODE = re.compile(r"[a-z2-7-]{8,100}")


@dataclass(frozen=True, slots=True, repr=False)
class KeptFile:
    """A file as its reader gets it: decoded octets, their number and their SHA-256."""

    filename: str
    content_type: str
    size_bytes: int
    digest: bytes

    def __repr__(self) -> str:
        return f"KeptFile({self.content_type})"


@dataclass(frozen=True, slots=True, repr=False)
class KeptNote:
    """What the message says of its kept files. ``code`` opens them; the address holds no secret (S11)."""

    url: str
    code: str
    until: date
    files: tuple[KeptFile, ...]

    def __repr__(self) -> str:
        return f"KeptNote({len(self.files)} files)"


def choose_parts(root: Part, size_bytes: int, most_bytes: int) -> tuple[Part, ...] | None:
    """The fewest parts without which the message has at most ``most_bytes``, in their order; None when no choice of
    files does it: too much text, or signed or encrypted as a whole.
    """
    left = size_bytes + _WORDS_BYTES
    chosen: list[Part] = []
    for part in sorted(_candidates(root, is_root=True), key=lambda each: -each.size_bytes)[:FILES]:
        if left <= most_bytes:
            break
        chosen.append(part)
        left += _FILE_BYTES - part.size_bytes
    return tuple(sorted(chosen, key=lambda each: each.header_start)) if left <= most_bytes else None


def _candidates(part: Part, *, is_root: bool = False) -> Iterator[Part]:
    """Leaves that are files. A forwarded message is one file."""
    content = part.content
    if content.media_type == "multipart" and not part.is_opaque:
        if content.content_type not in _CLOSED:
            for child in part.children:
                yield from _candidates(child)
    elif _is_file(part, is_root=is_root):
        yield part


def _is_file(part: Part, *, is_root: bool) -> bool:
    content = part.content
    if content.disposition == "attachment" or content.filename:
        return True
    return content.media_type != "text" and not (is_root and part.is_opaque)


def file_name(part: Part) -> str:
    """A name to save the part under: its own on one line, or one that says what it is; its ending is never cut."""
    name = " ".join(part.content.filename.split())
    if not name:
        return "message.eml" if part.content.is_message else "fichier"
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > _ENDING_CHARACTERS or not ending.isascii():
        stem, dot, ending = name, "", ""
    return stem.encode()[: NAME_BYTES - len(dot + ending)].decode("utf-8", "ignore") + dot + ending


@dataclass(frozen=True, slots=True, repr=False)
class Cut:
    """A part's whole place in the message, and what stands there instead."""

    start: int
    stop: int
    octets: bytes


def cut_parts(parts: Sequence[Part], heads: Sequence[bytes], note: KeptNote) -> tuple[Cut, ...]:
    """The note in place of the first part, a line in place of each other. ``heads``: the parts' own header blocks."""
    cuts = []
    for rank, (part, head) in enumerate(zip(parts, heads, strict=True)):
        entity = _format_note(note) if rank == 0 else _format_mention(note.files[rank])
        cuts.append(Cut(part.header_start, part.body_end, _other_fields(head) + entity))
    return tuple(cuts)


def _other_fields(head: bytes) -> bytes:
    """What a message's own header says beside its content; of an inner part, hardly anything."""
    kept = [match[0] for match in FIELD.finditer(head) if not match[1].lower().startswith(b"content-")]
    return b"".join(each.rstrip(b"\r\n") + b"\r\n" for each in kept)


def _format_note(note: KeptNote) -> bytes:
    known = [("code", note.code), ("until", note.until.isoformat())]
    fields = [
        format_parameter_field("Content-Disposition", "inline", [("filename", NOTE_NAME)]),
        format_parameter_field("Content-Kept", note.url, known),
    ]
    for each in note.files:
        said = [("filename", each.filename), ("size", str(each.size_bytes)), ("sha-256", each.digest.hex())]
        fields.append(format_parameter_field("Content-Kept-File", each.content_type, said))
    return _format_text(_note_words(note), fields)


def _format_mention(file: KeptFile) -> bytes:
    name = file.filename
    words = (
        f"« {name} » est conservé par l’opérateur de l’expéditeur : voyez {NOTE_NAME}.\n"
        f"“{name}” is kept by the sender's operator: see {NOTE_NAME}.\n"
    )
    return _format_text(words, [format_field("Content-Disposition", ["inline"])])


def _format_text(words: str, fields: Sequence[bytes]) -> bytes:
    """In base64, in which no boundary that the message may have can stand at a line's beginning: it has no hyphen."""
    head = format_parameter_field("Content-Type", "text/plain", [("charset", "utf-8")])
    encoded = binascii.b2a_base64(words.replace("\n", "\r\n").encode(), newline=False)
    lines = b"".join(encoded[at : at + 76] + b"\r\n" for at in range(0, len(encoded), 76))
    return b"".join([head, *fields, b"Content-Transfer-Encoding: base64\r\n\r\n", lines])


def _note_words(note: KeptNote) -> str:
    """Plain words; no line begins with a name that the sender chose."""
    day = note.until
    french = [f"  • {each.filename} ({_size(each.size_bytes, ',', 'Mo', 'Ko')})" for each in note.files]
    english = [f"  • {each.filename} ({_size(each.size_bytes, '.', 'MB', 'KB')})" for each in note.files]
    return "\n".join(
        [
            "FICHIERS À TÉLÉCHARGER (English below)",
            "",
            "Ces fichiers de ce message sont trop grands pour voyager par courrier. L’opérateur de l’expéditeur les",
            f"conserve, chiffrés, jusqu’au {day:%d/%m/%Y} :",
            *french,
            "",
            f"Pour les télécharger, ouvrez cette page : {note.url}",
            f"et donnez ce code : {note.code}",
            "",
            "Le code ouvre ces fichiers : ne le donnez qu’à ceux qui peuvent les lire. Chaque téléchargement est",
            "inscrit dans l’historique de l’expéditeur. Passé la date, demandez-lui un nouvel envoi.",
            "",
            "FILES TO DOWNLOAD",
            "",
            "These files of this message are too large to travel by mail. The sender's operator keeps them, encrypted,",
            f"until {day:%Y-%m-%d}:",
            *english,
            "",
            f"To download them, open this page: {note.url}",
            f"and give this code: {note.code}",
            "",
            "The code opens these files: give it only to those who may read them. Each download is written in the",
            "sender's history. After that date, ask the sender to send them again.",
            "",
        ]
    )


def _size(size_bytes: int, comma: str, mega: str, kilo: str) -> str:
    if size_bytes < 1 << 20:
        return f"{max(1, round(size_bytes / 1024))} {kilo}"
    return f"{size_bytes / (1 << 20):.1f}".replace(".", comma) + f" {mega}"


def parse_note(head: bytes) -> KeptNote | None:
    """The note of a part from its header block; None for any part that is none. What it says is its sender's word."""
    block = HeaderBlock(head)
    value = block.find(b"content-kept")
    if value is None:
        return None
    parameters = parse_parameters(value)
    url = value.split(b";", 1)[0].strip().decode("ascii", "replace")
    code, until = find_parameter(parameters, "code") or "", find_parameter(parameters, "until") or ""
    files = tuple(filter(None, map(_parse_file, block.find_all(b"content-kept-file")[:FILES])))
    try:
        day = date.fromisoformat(until)
    except ValueError:
        return None
    if not files or not _URL.fullmatch(url) or not _CODE.fullmatch(code):
        return None
    return KeptNote(url, code, day, files)


def _parse_file(value: bytes) -> KeptFile | None:
    parameters, kind = parse_parameters(value), find_media_type(value)
    size, digest = find_parameter(parameters, "size") or "", find_parameter(parameters, "sha-256") or ""
    if kind is None or not _SIZE.fullmatch(size) or not _DIGEST.fullmatch(digest):
        return None
    name = find_parameter(parameters, "filename") or ""
    return KeptFile(name, "/".join(kind), int(size), bytes.fromhex(digest))
