"""Do the archive, its METADATA.XML and its CDA documents tell one story? If so a reading, otherwise a SetAside.

Invariants: a document is given out only if it is in IHE_XDM, has the SHA-1 and the size that are stated (ITI-32
§3.32.4.1.4), and, being a CDA, names the metadata's patient, number and OID, and carries its type code. A file is one
document at most, so the documents are never larger than the archive was allowed to be. Everything unexpected falls on
the SetAside side.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from mailserver.documents.archive import XdmArchive, check_index, read_archive
from mailserver.documents.cda import CdaHeader, CdaPatient, is_cda, parse_cda_header
from mailserver.documents.codes import Code
from mailserver.documents.hl7 import PatientId, is_oid
from mailserver.documents.metadata import MAX_DOCUMENTS, DocumentEntry, SubmissionSet, parse_metadata
from mailserver.documents.reasons import SetAside, SetAsideReason, WarningCode, XdmWarning
from mailserver.model.errors import Malformed, OverLimit

_EMPTY_SHA1 = hashlib.sha1(b"", usedforsecurity=False).hexdigest()
_XML_MEDIA = frozenset(
    {"text/xml", "application/xml", "text/x-cda-r2+xml", "application/xslt+xml", "application/hl7-v3+xml"}
)
_MAX_NODES = 1_000_000
"""Markup of a whole archive: a thousand small letters stay far below, minutes of parsing stay out."""


@dataclass(frozen=True, slots=True)
class XdmDocument:
    """One checked document: its entry, its set, its bytes, and its header when it is a CDA."""

    rank: int
    entry: DocumentEntry
    submission_set: SubmissionSet
    data: bytes = field(repr=False)
    header: CdaHeader | None


@dataclass(frozen=True, slots=True)
class XdmReading:
    """All the documents of an archive, in the order of its sets, with what was tolerated."""

    documents: tuple[XdmDocument, ...]
    warnings: tuple[XdmWarning, ...]


@dataclass(slots=True)
class _Progress:
    """What one check has gathered: warnings, the paths that are documents already, and the markup spent."""

    archive: XdmArchive
    warnings: list[XdmWarning]
    paths: set[str] = field(default_factory=set)
    rank: int = 0
    nodes: int = 0

    def spend(self, data: bytes) -> bytes:
        """Count the markup that is about to be parsed; raises OverLimit once the archive has used its share."""
        self.nodes += data.count(b"<") + data.count(b"&")
        if self.nodes > _MAX_NODES:
            raise OverLimit(SetAsideReason.MARKUP_TOO_LARGE, f"over {_MAX_NODES} nodes")
        return data

    def warn(self, code: WarningCode) -> None:
        self.warnings.append(XdmWarning(code, self.rank))

    def refuse(self, reason: SetAsideReason) -> Malformed:
        return Malformed(reason, f"document {self.rank}")


def read_documents(zip_bytes: bytes) -> XdmReading | SetAside:
    """The entry point: any bytes → the documents, or why they are set aside. Raises nothing."""
    try:
        return check_archive(read_archive(zip_bytes))
    except (Malformed, OverLimit) as error:
        return SetAside(SetAsideReason(error.code), error.detail)


def find_archive_defect(zip_bytes: bytes) -> SetAside | None:
    """What the archive's index alone shows, without inflating anything: cheap, and less than ``read_documents`` sees."""
    try:
        check_index(zip_bytes)
    except (Malformed, OverLimit) as error:
        return SetAside(SetAsideReason(error.code), error.detail)
    return None


def check_archive(archive: XdmArchive) -> XdmReading:
    """Raises Malformed or OverLimit with a SetAsideReason as code."""
    progress = _Progress(archive, list(archive.warnings))
    documents: list[XdmDocument] = []
    for path in archive.metadata_paths:
        documents.extend(_read_set(progress, path))
    if not documents:
        raise Malformed(SetAsideReason.NO_DOCUMENT)
    return XdmReading(tuple(documents), tuple(dict.fromkeys(progress.warnings)))


def judge_single_patient(reading: XdmReading) -> PatientId | SetAside:
    """One message, one patient (ECO.2.1.1): the identity to file under, or why nothing is filed.

    Documents and submission sets must all name the same number under the same OID.
    """
    named = [document.entry.patient for document in reading.documents]
    sets = [document.submission_set.patient for document in reading.documents]
    present = [patient for patient in (*named, *sets) if patient is not None]
    if None in named:
        return SetAside(SetAsideReason.PATIENT_MISSING)
    if not all(patient.is_complete for patient in present):
        return SetAside(SetAsideReason.PATIENT_INCOMPLETE)
    first = present[0]
    if any(patient != first for patient in present):
        return SetAside(SetAsideReason.SEVERAL_PATIENTS)
    return first


def is_announced(reading: XdmReading, header_value: str) -> bool:
    """Whether an ``X-MSS-CODECDA`` value (ECO.2.4.1) lists the codes of the CDA documents, in any order."""
    announced = sorted(code.strip() for code in header_value.split(",") if code.strip())
    return announced == sorted(one.header.code.code for one in reading.documents if one.header is not None)


def _read_set(progress: _Progress, metadata_path: str) -> Iterator[XdmDocument]:
    metadata = parse_metadata(progress.spend(progress.archive.files[metadata_path]))
    if progress.rank + len(metadata.documents) > MAX_DOCUMENTS:
        raise OverLimit(SetAsideReason.MARKUP_TOO_LARGE, f"over {MAX_DOCUMENTS} documents")
    progress.warnings.extend(
        XdmWarning(one.code, one.document + progress.rank if one.document else 0) for one in metadata.warnings
    )
    folder = metadata_path.rpartition("/")[0]
    for entry in metadata.documents:
        progress.rank += 1
        path = _locate(progress, folder, entry)
        _check_bytes(progress, path, entry)
        header = _check_content(progress, path, entry)
        data = progress.archive.files[path]
        yield XdmDocument(progress.rank, entry, metadata.submission_set, data, header)


def _locate(progress: _Progress, folder: str, entry: DocumentEntry) -> str:
    """The stored path of a URI relative to its METADATA.XML; ``..`` is legal while it stays inside IHE_XDM."""
    if not entry.uri:
        raise progress.refuse(SetAsideReason.URI_MISSING)
    uri = unquote(entry.uri)
    if "\\" in uri:
        uri = uri.replace("\\", "/")
        progress.warn(WarningCode.BACKSLASH)
    if uri.startswith("/") or ":" in uri.partition("/")[0]:
        raise progress.refuse(SetAsideReason.URI_OUTSIDE)
    parts = folder.split("/") if folder else []
    for part in uri.split("/"):
        if part == ".." and not parts:
            raise progress.refuse(SetAsideReason.URI_OUTSIDE)
        if part == "..":
            parts.pop()
        elif part not in {"", "."}:
            parts.append(part)
    wanted = "/".join(parts)
    path = progress.archive.find_path(wanted)
    if path is None or path in progress.archive.metadata_paths:
        raise progress.refuse(SetAsideReason.FILE_ABSENT)
    if path in progress.paths:
        # each document is kept as an object of its own: a thousand names of one file would be a thousand copies
        raise progress.refuse(SetAsideReason.SAME_FILE_TWICE)
    progress.paths.add(path)
    if path != wanted:
        progress.warn(WarningCode.URI_CASE)
    return path


def _check_bytes(progress: _Progress, path: str, entry: DocumentEntry) -> None:
    """Hash, then size. SHA-1 proves accidents, not intent: it is what ITI-32 states, nothing else rests on it."""
    data = progress.archive.files[path]
    if not entry.sha1:
        raise progress.refuse(SetAsideReason.HASH_MISSING)
    digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()
    if entry.sha1.lower() == _EMPTY_SHA1 and data:
        raise progress.refuse(SetAsideReason.HASH_OF_NOTHING)
    if entry.sha1.lower() != digest:
        raise progress.refuse(SetAsideReason.HASH_MISMATCH)
    if entry.sha1 != digest:
        progress.warn(WarningCode.HASH_CASE)
    if entry.size is None:
        progress.warn(WarningCode.SIZE_MISSING)
    elif entry.size != len(data):
        raise progress.refuse(SetAsideReason.SIZE_MISMATCH)


def _check_content(progress: _Progress, path: str, entry: DocumentEntry) -> CdaHeader | None:
    """The CDA header, in agreement with the entry; None for a document that is not a CDA."""
    data = progress.archive.files[path]
    is_xml = entry.media_type in _XML_MEDIA
    header = parse_cda_header(progress.spend(data)) if is_cda(data) else None
    if header is None:
        if is_xml:
            raise progress.refuse(SetAsideReason.MALFORMED_CDA)
        if entry.type_code is None:
            progress.warn(WarningCode.TYPE_MISSING)
        return None
    if not is_xml:
        progress.warn(WarningCode.MEDIA_TYPE_DIFFERS)
    _check_patient(progress, entry.patient, header.patients)
    _check_code(progress, entry.type_code, header.code)
    if entry.unique_id and entry.unique_id != header.document_id.unique_id:
        progress.warn(WarningCode.UNIQUE_ID_DIFFERS)
    return header


def _check_patient(progress: _Progress, stated: PatientId | None, patients: tuple[CdaPatient, ...]) -> None:
    """Number and OID both. An incomplete or absent identity has nothing to compare: filing refuses it."""
    if len(patients) > 1:
        raise progress.refuse(SetAsideReason.SEVERAL_PATIENTS)
    if stated is None or not stated.is_complete:
        return
    same_oid = {one.number for patient in patients for one in patient.ids if one.oid == stated.oid}
    if same_oid != {stated.number}:
        raise progress.refuse(SetAsideReason.PATIENT_DIFFERS)


def _check_code(progress: _Progress, stated: Code | None, found: Code) -> None:
    if stated is None:
        progress.warn(WarningCode.TYPE_MISSING)
        return
    # the field writes "LOINC" for its OID: only two OIDs can disagree
    has_other_system = is_oid(stated.scheme) and is_oid(found.scheme) and stated.scheme != found.scheme
    if stated.code != found.code or has_other_system:
        raise progress.refuse(SetAsideReason.CODE_DIFFERS)
