"""Forms as they stream in: multipart/form-data (RFC 7578) without a temporary file and in flat memory (S5).

Pull-based: the caller takes one part after the other, and each part's octets in pieces. What is not taken is skipped.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from mailserver.audit.events import readable
from mailserver.model.errors import Malformed, OverLimit

HEADER_BYTES = 4096
FIELD_BYTES = 400 * 1024
PARTS = 40
SMALL_FORM_BYTES = 16 * 1024
FILE_NAME_CHARACTERS = 120
# RFC 2046 §5.1.1: bchars without space
_BOUNDARY = re.compile(
    r"multipart/form-data\s*;.*?\bboundary=\"?([A-Za-z0-9'()+_,\-./:=?]{1,70})\"?", re.I | re.S
)
_NAME = re.compile(rb'(?:^|[;\s])name="([^"]{0,100})"', re.IGNORECASE)
_FILE_NAME = re.compile(rb'(?:^|[;\s])filename="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FormPart:
    """One part: ``filename`` is None for a plain field. ``chunks`` gives its octets, once."""

    name: str
    filename: str | None
    content_type: str
    chunks: Iterator[bytes]

    def read_text(self) -> str:
        """A field's text. Raises OverLimit("field"), Malformed("form") when it is not UTF-8."""
        taken = bytearray()
        for chunk in self.chunks:
            taken += chunk
            if len(taken) > FIELD_BYTES:
                raise OverLimit("field")
        try:
            return taken.decode()
        except UnicodeDecodeError as error:
            raise Malformed("form", "utf-8") from error


class FormStream:
    """Reads the parts of one body. Memory: one piece and one delimiter."""

    def __init__(self, pieces: Iterator[bytes], boundary: str) -> None:
        self._pieces = pieces
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._held = b"\r\n"  # so that the first delimiter looks like the others
        self._is_in_part = False

    def parts(self) -> Iterator[FormPart]:
        """Each part in order. Raises Malformed("form"), OverLimit("form-parts")."""
        preamble_bytes = 0  # it says nothing, and browsers write none
        for piece in self._until_delimiter():
            preamble_bytes += len(piece)
            if preamble_bytes > HEADER_BYTES:
                raise Malformed("form", "preamble")
        for _number in range(PARTS):
            if self._is_at_end():
                return
            part = self._open_part()
            yield part
            for _unused in part.chunks:
                pass
        raise OverLimit("form-parts")

    def _is_at_end(self) -> bool:
        """RFC 2046 §5.1.1: "--" after the last delimiter, CRLF after the others."""
        mark = self._take(2)
        if mark == b"--":
            return True
        if mark != b"\r\n":
            raise Malformed("form", "delimiter")
        return False

    def _open_part(self) -> FormPart:
        head = self._take_head()
        disposition = _field(head, b"content-disposition")
        name = _NAME.search(disposition)
        if name is None:
            raise Malformed("form", "name")
        filename = _FILE_NAME.search(disposition)
        kind = _field(head, b"content-type").decode("ascii", "replace").strip()
        shown = None if filename is None else clean_file_name(filename[1].decode("utf-8", "replace"))
        return FormPart(name[1].decode("utf-8", "replace"), shown, kind, self._until_delimiter())

    def _take_head(self) -> bytes:
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            if len(self._held) > HEADER_BYTES:
                raise Malformed("form", "header")
            self._pull()
        head, self._held = self._held[:end], self._held[end + 4 :]
        return head

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            self._pull()
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _until_delimiter(self) -> Iterator[bytes]:
        """Octets up to the next delimiter, which is taken away."""
        keep = len(self._delimiter) - 1
        while (end := self._held.find(self._delimiter)) < 0:
            if len(self._held) > keep:
                piece, self._held = self._held[:-keep], self._held[-keep:]
                yield piece
            self._pull()
        piece, self._held = self._held[:end], self._held[end + len(self._delimiter) :]
        if piece:
            yield piece

    def _pull(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            raise Malformed("form", "cut short")
        self._held += piece


def find_boundary(content_type: str) -> str | None:
    """The boundary of a multipart/form-data Content-Type; None for any other."""
    match = _BOUNDARY.match(content_type.strip())
    return match[1] if match else None


def parse_small_form(body: bytes) -> dict[str, str]:
    """application/x-www-form-urlencoded; the first value of a name counts. Raises Malformed("form")."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=PARTS)
    except ValueError as error:
        raise Malformed("form") from error
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def clean_file_name(name: str) -> str:
    """A browser's file name (percent signs for quotes and line ends) without path, controls or direction marks."""
    name = re.sub(r"%(?:22|0[AaDd])", lambda match: unquote(match[0]), name)
    last = re.split(r"[/\\]", name)[-1]
    kept = readable(last.replace('"', "'"), len(last))
    if len(kept) <= FILE_NAME_CHARACTERS:
        return kept
    stem, dot, suffix = kept.rpartition(".")
    return stem[: FILE_NAME_CHARACTERS - 12] + dot + suffix[:10] if dot else kept[:FILE_NAME_CHARACTERS]


def _field(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        label, colon, value = line.partition(b":")
        if colon and label.strip().lower() == name:
            return value
    return b""
