"""Fuzz targets of what comes in archives and lists: only Malformed, OverLimit and Denied leave, with their codes."""

from datetime import UTC, datetime

from mailserver.crypto.xmldsig import PinnedSigner, VerifiedXml, verify_enveloped
from mailserver.documents.archive import check_index, read_archive
from mailserver.documents.cda import extract_embedded, is_cda, parse_cda_header
from mailserver.documents.coherence import read_documents
from mailserver.documents.metadata import parse_metadata
from mailserver.documents.reasons import SetAsideReason
from mailserver.documents.record import format_record, parse_record
from mailserver.model.errors import Denied, Malformed, OverLimit
from mailserver.policy.trust_list import diff, format_trust_list, parse_trust_list

NOW = datetime(2026, 11, 2, tzinfo=UTC)
MOST_BYTES = 200_000


def read_xdm_archive(data: bytes) -> None:
    """A ZIP from a stranger: its index, and every member below IHE_XDM."""
    read_documents(data[:MOST_BYTES])
    for read in (check_index, read_archive):
        try:
            read(data[:MOST_BYTES])
        except (Malformed, OverLimit) as error:
            SetAsideReason(error.code)


def parse_xdm_metadata(data: bytes) -> None:
    try:
        parse_metadata(data)
    except (Malformed, OverLimit) as error:
        SetAsideReason(error.code)


def parse_clinical_document(data: bytes) -> None:
    """A CDA's header and the file in its body."""
    is_cda(data)
    for parse in (parse_cda_header, extract_embedded):
        try:
            parse(data)
        except (Malformed, OverLimit) as error:
            SetAsideReason(error.code)


def read_document_record(data: bytes) -> None:
    """The sealed record of a filed document."""
    try:
        record = parse_record(data)
    except Malformed as error:
        assert error.code
        return
    assert parse_record(format_record(record)) == record


def read_trust_list(data: bytes) -> None:
    """The list with its signature, and what a signer could have signed."""
    try:
        verify_enveloped(data, PinnedSigner(frozenset({"0" * 64})), NOW)
    except (Malformed, Denied) as error:
        assert error.code
    if b"<!" in data or b"<?" in data:  # never verified
        return
    try:
        trusted = parse_trust_list(VerifiedXml(data, None))  # type: ignore[arg-type]  # nobody looks at the signer
    except Malformed as error:
        assert error.code.startswith("trust-list-")
        return
    written = format_trust_list(trusted.entries, NOW).partition(b"?>\n")[2]
    assert not diff(trusted, parse_trust_list(VerifiedXml(written, None)))  # type: ignore[arg-type]  # as above
