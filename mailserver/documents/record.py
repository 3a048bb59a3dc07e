"""The record of a filed document: what is sealed beside its bytes so that a list never opens them.

Stored format: canonical JSON (UTF-8, sorted keys, no spaces, every key present), so that two writers produce the same
bytes. ``parse_record`` accepts exactly what ``format_record`` writes: version 2, or 1 where the sender is not known,
which has no ``sender``. The patient is not in it: the record lives in that patient's space.
"""

import hashlib
import json
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta

from mailserver.documents.codes import Code, Visibility, visibility_of
from mailserver.documents.coherence import XdmDocument, XdmReading
from mailserver.documents.display import human_title
from mailserver.documents.hl7 import Author
from mailserver.documents.metadata import DocumentAction
from mailserver.model.errors import Malformed

VERSION = 2
WITHOUT_SENDER = 1
_MAX_CHARACTERS = 1000
_MAX_CODES = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_CODE = Code("")
_ALL_MASKS = sum(Visibility)


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """Times are UTC, to the microsecond; absent texts are empty; ``sha256`` is ours, ``sha1`` the sender's, in hex.

    ``sender`` is the address that the document came from, as it was verified; what an archive says of its author and of
    what it replaces is that archive's word.
    """

    entry_id: str
    unique_id: str
    set_id: str
    document_version: str
    replaces_entry_id: str
    replaces_unique_id: str
    action: DocumentAction
    title: str = field(repr=False)
    type_code: Code
    class_code: Code
    format_code: Code
    confidentiality: tuple[Code, ...]
    visibility: Visibility
    author_name: str = field(repr=False)
    author_id: str = field(repr=False)
    author_institution: str = field(repr=False)
    author_specialty: str = field(repr=False)
    created: datetime | None
    service_start: datetime | None
    service_stop: datetime | None
    submitted: datetime | None
    received: datetime
    language: str
    media_type: str
    embedded_media_type: str
    size_bytes: int
    sha1: str
    sha256: str
    source_message_id: str = field(repr=False)
    sender: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        moments = (self.created, self.service_start, self.service_stop, self.submitted, self.received)
        if any(moment is not None and moment.utcoffset() != timedelta(0) for moment in moments):
            raise Malformed("record-time")
        if self.size_bytes < 0 or not 0 <= self.visibility <= _ALL_MASKS:
            raise Malformed("record-number")

    @property
    def is_listed_for_patient(self) -> bool:
        return not self.visibility & Visibility.HIDDEN_FROM_PATIENT

    @property
    def is_listed_for_professionals(self) -> bool:
        return not self.visibility & Visibility.HIDDEN_FROM_PROFESSIONALS

    @property
    def is_listed_for_representatives(self) -> bool:
        return not self.visibility & Visibility.HIDDEN_FROM_REPRESENTATIVES


def records_of(
    reading: XdmReading, *, source_message_id: str, received: datetime
) -> tuple[DocumentRecord, ...]:
    """One record per document of the reading, in its order; long texts are cut. ``received`` is aware UTC."""
    return tuple(_record_of(document, source_message_id, received) for document in reading.documents)


def format_record(record: DocumentRecord) -> bytes:
    """The canonical bytes. Raises Malformed for a text that UTF-8 cannot carry."""
    content = {one.name: _plain(getattr(record, one.name)) for one in fields(record)}
    content["version"] = VERSION if record.sender else WITHOUT_SENDER
    if not record.sender:
        del content["sender"]
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("record-text") from error


def parse_record(data: bytes) -> DocumentRecord:
    """The record of canonical bytes. Raises Malformed (``record-version``, ``record-syntax``…)."""
    try:
        content = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("record-syntax") from error
    if not isinstance(content, dict):
        raise Malformed("record-syntax")
    version = content.get("version")
    if not isinstance(version, int) or version not in {WITHOUT_SENDER, VERSION}:
        raise Malformed("record-version")
    reader = _Reader(content)
    record = _record_from(reader)
    if version == VERSION:
        record = replace(record, sender=reader.text("sender"))
    if format_record(record) != data:
        # a key too many, a key twice, another spelling: one record has one form
        raise Malformed("record-form")
    return record


class _Reader:
    """Typed access to the members of a parsed record."""

    def __init__(self, content: dict[str, object]) -> None:
        self._content = content

    def text(self, name: str) -> str:
        return _text(self._content.get(name))

    def number(self, name: str) -> int:
        value = self._content.get(name)
        if type(value) is not int:
            raise Malformed("record-number", name)
        return value

    def moment(self, name: str) -> datetime:
        try:
            return _EPOCH + self.number(name) * _MICROSECOND
        except OverflowError as error:
            raise Malformed("record-time", name) from error

    def optional_moment(self, name: str) -> datetime | None:
        return None if self._content.get(name) is None else self.moment(name)

    def code(self, name: str) -> Code:
        return _code(self._content.get(name))

    def codes(self, name: str) -> tuple[Code, ...]:
        value = self._content.get(name)
        if not isinstance(value, list):
            raise Malformed("record-codes", name)
        return tuple(_code(one) for one in value)

    def action(self) -> DocumentAction:
        try:
            return DocumentAction(self.text("action"))
        except ValueError as error:
            raise Malformed("record-action") from error

    def visibility(self) -> Visibility:
        value = self.number("visibility")
        if not 0 <= value <= _ALL_MASKS:
            # an unknown mask must not be read as no mask
            raise Malformed("record-visibility")
        return Visibility(value)


def _record_from(reader: _Reader) -> DocumentRecord:
    return DocumentRecord(
        entry_id=reader.text("entry_id"),
        unique_id=reader.text("unique_id"),
        set_id=reader.text("set_id"),
        document_version=reader.text("document_version"),
        replaces_entry_id=reader.text("replaces_entry_id"),
        replaces_unique_id=reader.text("replaces_unique_id"),
        action=reader.action(),
        title=reader.text("title"),
        type_code=reader.code("type_code"),
        class_code=reader.code("class_code"),
        format_code=reader.code("format_code"),
        confidentiality=reader.codes("confidentiality"),
        visibility=reader.visibility(),
        author_name=reader.text("author_name"),
        author_id=reader.text("author_id"),
        author_institution=reader.text("author_institution"),
        author_specialty=reader.text("author_specialty"),
        created=reader.optional_moment("created"),
        service_start=reader.optional_moment("service_start"),
        service_stop=reader.optional_moment("service_stop"),
        submitted=reader.optional_moment("submitted"),
        received=reader.moment("received"),
        language=reader.text("language"),
        media_type=reader.text("media_type"),
        embedded_media_type=reader.text("embedded_media_type"),
        size_bytes=reader.number("size_bytes"),
        sha1=reader.text("sha1"),
        sha256=reader.text("sha256"),
        source_message_id=reader.text("source_message_id"),
    )


def _record_of(document: XdmDocument, source_message_id: str, received: datetime) -> DocumentRecord:
    entry, header = document.entry, document.header
    type_code = entry.type_code or (header.code if header else None)
    confidentiality = entry.confidentiality + (header.confidentiality if header else ())
    author = next(iter(entry.authors or (header.authors if header else ())), Author())
    return DocumentRecord(
        entry_id=_cut(entry.entry_id),
        unique_id=_cut(entry.unique_id or (header.document_id.unique_id if header else "")),
        set_id=_cut(header.set_id.unique_id if header and header.set_id else ""),
        document_version=_cut(header.version if header else ""),
        replaces_entry_id=_cut(entry.replaces[0] if entry.replaces else ""),
        replaces_unique_id=_cut(header.replaces.unique_id if header and header.replaces else ""),
        action=entry.action,
        title=human_title(entry.title or (header.title if header else ""), type_code, entry.class_code),
        type_code=_cut_code(type_code),
        class_code=_cut_code(entry.class_code),
        format_code=_cut_code(entry.format_code),
        confidentiality=tuple(_cut_code(code) for code in dict.fromkeys(confidentiality))[:_MAX_CODES],
        # masks of both sides, before anything is cut: whoever asks to hide is heard
        visibility=visibility_of(confidentiality),
        author_name=_cut(f"{author.person.given} {author.person.family}".strip()),
        author_id=_cut(author.person.identifier),
        author_institution=_cut(author.institutions[0].name if author.institutions else ""),
        author_specialty=_cut(author.specialty),
        created=entry.created or (header.effective if header else None),
        service_start=entry.service_start,
        service_stop=entry.service_stop,
        submitted=document.submission_set.submitted,
        received=received,
        language=_cut(entry.language or (header.language if header else "")),
        media_type=_cut(entry.media_type),
        embedded_media_type=_cut((header.embedded_media_type if header else None) or ""),
        size_bytes=len(document.data),
        sha1=entry.sha1.lower(),
        sha256=hashlib.sha256(document.data).hexdigest(),
        source_message_id=_cut(source_message_id),
    )


def _cut(text: str) -> str:
    return text[:_MAX_CHARACTERS]


def _cut_code(code: Code | None) -> Code:
    return _NO_CODE if code is None else Code(_cut(code.code), _cut(code.scheme), _cut(code.label))


def _plain(value: object) -> object:
    """The JSON form of a field: moments are microseconds since 1970, codes are triples."""
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    if isinstance(value, Code):
        return [value.code, value.scheme, value.label]
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Malformed("record-text")
    return value


def _code(value: object) -> Code:
    if not isinstance(value, list) or len(value) != 3:
        raise Malformed("record-codes")
    return Code(*(_text(part) for part in value))
