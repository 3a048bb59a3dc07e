"""Filing: the documents of an XDM archive become blobs of their own in the patient's space (architecture §3 Feed).

What is doubtful is set aside: the mail is delivered as it is, flagged, its archive never filed.
"""

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from mailserver.audit.events import (
    Actor,
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    ParameterName,
    readable,
)
from mailserver.crypto.blob import Encryptor, encrypt_blob, padme
from mailserver.crypto.ctx import ctx
from mailserver.crypto.hkdf import derive
from mailserver.crypto.seal import read_public_key
from mailserver.crypto.secret import Secret, random_id, random_secret
from mailserver.crypto.wrap import wrap
from mailserver.documents.coherence import (
    XdmReading,
    find_archive_defect,
    judge_single_patient,
    read_documents,
)
from mailserver.documents.display import human_title
from mailserver.documents.mss_headers import (
    MssHeaders,
    MssMismatch,
    StatedMss,
    compute_mss_headers,
    find_mss_mismatch,
)
from mailserver.documents.patient_address import find_ins
from mailserver.documents.reasons import SetAside, SetAsideReason
from mailserver.documents.record import DocumentRecord, format_record, records_of
from mailserver.mime.decode import decoder_of
from mailserver.mime.summary import HeaderSummary, PartRow
from mailserver.model.account import AccountKind
from mailserver.model.errors import OverLimit
from mailserver.model.ids import AccountId, BlobId, DocumentId
from mailserver.model.patient import Ins
from mailserver.service.access_log import PreparedEntry, prepare_entry
from mailserver.service.intake import READ_BYTES, Intake
from mailserver.service.sealing import pad_summary
from mailserver.store.accounts import AccountRow
from mailserver.store.blob_folder import ROW_BYTES_LIMIT, BlobFolder
from mailserver.store.items import BlobRow
from mailserver.store.space_rows import DocumentRow, SealedRecord

ARCHIVE_NAME = "ihe_xdm.zip"
ARCHIVE_BYTES = 32 * 1024 * 1024
READINGS_AT_ONCE = 2
ROWS_BYTES = 4 * 1024 * 1024
"""What the documents of one message may put into rows, and so into one Unit; the rest are files."""
_PADDING = 256
logger = logging.getLogger("pli.documents")


@dataclass(frozen=True, slots=True)
class PatientFile:
    """A readable archive of one patient, who is to be found here."""

    ins: Ins
    reading: XdmReading
    records: tuple[DocumentRecord, ...]

    def sent_by(self, sender: str) -> "PatientFile":
        """The same, each record with the address that was verified."""
        return replace(self, records=tuple(replace(record, sender=sender) for record in self.records))


@dataclass(frozen=True, slots=True)
class SealedDocument:
    """A document sealed to the patient's space, ready for the writer."""

    row: DocumentRow
    blob: BlobRow


@dataclass(frozen=True, slots=True)
class Attached:
    """What a message's archive gives: documents to file, a case with its reason, or nothing. ``mismatch`` is what the
    message's X-MSS headers say otherwise.
    """

    found: PatientFile | SetAside | None = None
    mismatch: MssMismatch | None = None


class Archives:
    """Reads the archives of arriving messages, a bounded number at once (an archive is held in memory)."""

    def __init__(self) -> None:
        self._turns = threading.BoundedSemaphore(READINGS_AT_ONCE)

    @contextmanager
    def reading(
        self,
        intake: Intake,
        summary: HeaderSummary,
        stated: StatedMss,
        recipients: Sequence[AccountRow],
        now: datetime,
    ) -> Iterator[Attached]:
        """The message's archive; ``recipients`` are those whose boxes are here.

        The turn lasts until the block ends, so that what is sealed of the documents counts too. Without a patient
        among the recipients nothing is to file: the archive's index alone is judged, and the documents are read only
        to be compared with what the X-MSS headers say of them. A mismatch is logged by its word.
        """
        is_for_patient = any(row.kind is AccountKind.PATIENT for row in recipients)
        rows = archive_rows(summary)
        if not rows:
            yield _noted(Attached(mismatch=find_mss_mismatch(stated, None)))
        elif not recipients and not stated.has_claims:
            yield Attached()
        elif len(rows) > 1:
            yield Attached(SetAside(SetAsideReason.SEVERAL_ARCHIVES))
        else:
            with self._turns:
                archive_of = summary.message_id if is_for_patient else None
                yield _noted(_read(intake, rows[0], stated, archive_of, now))

    def announce(self, intake: Intake, summary: HeaderSummary) -> MssHeaders | SetAside:
        """What the X-MSS headers of a message composed here say of its archive, by the reading that ``reading`` compares
        with; or why they can say nothing true. One message is about one patient (ECO.2.1.1).
        """
        rows = archive_rows(summary)
        if len(rows) > 1:
            return SetAside(SetAsideReason.SEVERAL_ARCHIVES)
        if not rows:
            return MssHeaders()
        with self._turns:
            return _announce(intake, rows[0])


def archive_rows(summary: HeaderSummary) -> list[PartRow]:
    """The parts of a message that are archives by their name."""
    return [row for row in summary.parts if is_archive_name(row.filename)]


def is_archive_name(name: str) -> bool:
    return name.casefold() == ARCHIVE_NAME


def _announce(intake: Intake, row: PartRow) -> MssHeaders | SetAside:
    try:
        reading = read_documents(_decoded(intake, row))
    except OverLimit:
        return SetAside(SetAsideReason.TOO_LARGE)
    if isinstance(reading, SetAside):
        return reading
    patient = judge_single_patient(reading)
    if isinstance(patient, SetAside) and patient.reason is SetAsideReason.SEVERAL_PATIENTS:
        return patient
    headers = compute_mss_headers(reading)
    return headers if headers.are_codes_writable else SetAside(SetAsideReason.MALFORMED_CDA, "code")


def _read(intake: Intake, row: PartRow, stated: StatedMss, message_id: str | None, now: datetime) -> Attached:
    """The archive of one part; ``message_id`` is None when nothing is to file."""
    try:
        data = _decoded(intake, row)
    except OverLimit:
        return Attached(SetAside(SetAsideReason.TOO_LARGE))
    if message_id is None and not stated.has_claims:
        return Attached(find_archive_defect(data))
    reading = read_documents(data)
    # of an archive that cannot be read nothing is known: its defect is the case
    mismatch = None if isinstance(reading, SetAside) else find_mss_mismatch(stated, reading)
    found = find_archive_defect(data) if message_id is None else judge(reading, message_id, now)
    return Attached(found, mismatch)


def _noted(attached: Attached) -> Attached:
    if attached.mismatch is not None:
        logger.warning("X-MSS headers differ", extra={"code": attached.mismatch.value})
    return attached


def judge(reading: XdmReading | SetAside, message_id: str, now: datetime) -> PatientFile | SetAside:
    """One message, one patient, with an identity whose key is right."""
    if isinstance(reading, SetAside):
        return reading
    patient = judge_single_patient(reading)
    if isinstance(patient, SetAside):
        return patient
    ins = find_ins(patient)
    if ins is None:
        return SetAside(SetAsideReason.PATIENT_INCOMPLETE)
    return PatientFile(ins, reading, records_of(reading, source_message_id=message_id, received=now))


def _decoded(intake: Intake, row: PartRow) -> bytes:
    if row.body_end - row.body_start > ARCHIVE_BYTES * 3 // 2:
        raise OverLimit("archive-too-large")
    decoder = decoder_of(row.encoding)
    parts = [
        decoder.update(intake.read(start, min(start + READ_BYTES, row.body_end)))
        for start in range(row.body_start, row.body_end, READ_BYTES)
    ]
    return b"".join([*parts, decoder.finish()])


def document_info(account_id: AccountId, document_id: bytes, blob_id: bytes) -> bytes:
    """What a document's key is bound to."""
    return ctx("document", account_id, document_id, blob_id)


class DocumentSealer:
    """Seals one message's documents to a patient's space, one after the other. Small ones go into rows up to
    ROWS_BYTES in all; any other is streamed, encrypted, to a file that is durable before the commit that names it.
    """

    def __init__(self, blobs: BlobFolder, account: AccountRow, now: datetime) -> None:
        self._blobs = blobs
        self._account = account
        self._at = int(now.timestamp())
        self._room = ROWS_BYTES

    def seal_documents(self, file: PatientFile) -> list[SealedDocument]:
        """Raises Unavailable when the disk cannot keep them."""
        pairs = zip(file.reading.documents, file.records, strict=True)
        return [self.seal(document.data, record) for document, record in pairs]

    def seal(self, data: bytes, record: DocumentRecord) -> SealedDocument:
        """A document as its own blob with its own data key, sealed to the patient's space key only (K12)."""
        account, document_id, data_key = self._account, DocumentId(random_id()), random_secret()
        padded = padme(len(data))
        blob = self._seal_octets(data_key, data, padded)
        info = document_info(account.account_id, document_id, blob.blob_id)
        row = DocumentRow(
            document_id,
            blob.blob_id,
            self._at,
            padded,
            read_public_key(account.space_public).seal(data_key.reveal(), info),
            wrap(derive(data_key, "record"), pad_summary(format_record(record)), info),
        )
        return SealedDocument(row, blob)

    def _seal_octets(self, data_key: Secret, data: bytes, padded: int) -> BlobRow:
        blob_id = BlobId(random_id())
        if padded > min(self._room, ROW_BYTES_LIMIT):
            return self._seal_to_file(blob_id, data_key, data, padded)
        self._room -= padded
        octets = encrypt_blob(data_key, blob_id, data)
        return BlobRow(blob_id, len(octets), sha256(octets).digest(), octets)

    def _seal_to_file(self, blob_id: BlobId, data_key: Secret, data: bytes, padded: int) -> BlobRow:
        encryptor, view = Encryptor(data_key, ctx("blob", blob_id)), memoryview(data)
        with closing(self._blobs.spool()) as spool:
            for start in range(0, len(view), READ_BYTES):
                spool.write(encryptor.update(view[start : start + READ_BYTES]))
            for piece in encryptor.finish_pieces(padded):
                spool.write(piece)
            spool.keep(blob_id)
            return BlobRow(blob_id, spool.stored_bytes, spool.digest, None)


def filing_entries(
    account: AccountRow,
    file: PatientFile,
    who: tuple[Actor, tuple[tuple[ParameterName, str], ...]],
    now: datetime,
) -> list[PreparedEntry]:
    """One entry per document, in words that the patient understands. ``who``: the sender, and what it claims."""
    actor, claimed = who
    objects = [AuditObject(ObjectKind.DOCUMENT, title_of(record), claimed) for record in file.records]
    return [prepare_entry(account, AuditEvent(EventKind.FILED, now, actor, what)) for what in objects]


def title_of(record: DocumentRecord) -> str:
    return readable(human_title(record.title, record.type_code, record.class_code), 200)


def seal_case(account: AccountRow, case: SetAside, message_id: str, now: datetime) -> SealedRecord:
    """Why a message's archive was set aside, for the box's owner only."""
    fields = {"reason": case.reason.value, "detail": case.detail, "message_id": message_id}
    return seal_space_record(account, "set-aside", fields, now)


def seal_space_record(
    account: AccountRow, label: str, fields: Mapping[str, object], now: datetime
) -> SealedRecord:
    """A small record sealed to the space key, bound to its own id, padded to 256 bytes."""
    record_id = random_id()
    plain = json.dumps(fields, ensure_ascii=False).encode()
    plain += b" " * (-len(plain) % _PADDING)
    sealed = read_public_key(account.space_public).seal(plain, ctx(label, account.account_id, record_id))
    return SealedRecord(record_id, int(now.timestamp()), sealed)
