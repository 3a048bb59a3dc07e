"""One story or none: METADATA.XML against the files and the CDA."""

import pytest
from unit.documents.xdm_archives import (
    METADATA,
    NUMBER,
    OID,
    SHA1,
    cda_with,
    good_cda,
    good_members,
    make_zip,
    sample,
    with_document,
    with_metadata,
)

from mailserver.documents import coherence
from mailserver.documents.coherence import XdmReading, is_announced, judge_single_patient, read_documents
from mailserver.documents.hl7 import PatientId
from mailserver.documents.reasons import MdnCode, SetAside, SetAsideReason, WarningCode, XdmWarning

R, W = SetAsideReason, WarningCode
CX = f"{NUMBER}^^^&amp;{OID}&amp;ISO^NH"
DOC_URI = "<Value>DOC0001.XML</Value>"
PDF = b"%PDF-1.4\n%%EOF\n"


def uri(text: str) -> bytes:
    return with_metadata(DOC_URI, f"<Value>{text}</Value>")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(uri("../../DOC0001.XML"), R.URI_OUTSIDE, id="above the root"),
        pytest.param(uri("%2e%2e/%2e%2e/x"), R.URI_OUTSIDE, id="above, escaped"),
        pytest.param(uri("..\\..\\x"), R.URI_OUTSIDE, id="above, backslashes"),
        pytest.param(uri("/etc/passwd"), R.URI_OUTSIDE, id="absolute"),
        pytest.param(uri("file:///etc/passwd"), R.URI_OUTSIDE, id="file scheme"),
        pytest.param(uri("https://host.example/x"), R.URI_OUTSIDE, id="web address"),
        pytest.param(uri("C:\\x"), R.URI_OUTSIDE, id="drive"),
        pytest.param(uri("DOC0002.XML"), R.FILE_ABSENT, id="absent"),
        pytest.param(uri("../SUBSET02/DOC0001.XML"), R.FILE_ABSENT, id="absent in another folder"),
        pytest.param(uri("METADATA.XML"), R.FILE_ABSENT, id="the metadata itself"),
        pytest.param(with_metadata(SHA1, ""), R.HASH_MISSING, id="no hash"),
        pytest.param(with_metadata(SHA1, SHA1[:-1]), R.HASH_MISMATCH, id="short hash"),
        pytest.param(with_metadata(SHA1, "é" * 40), R.HASH_MISMATCH, id="not a hash"),
        pytest.param(with_document(b"<broken"), R.MALFORMED_CDA, id="not a CDA"),
        pytest.param(with_document(good_cda()[:-3]), R.MALFORMED_CDA, id="truncated CDA"),
        pytest.param(
            with_document(cda_with("<ClinicalDocument", "<!DOCTYPE x><ClinicalDocument")),
            R.DOCTYPE,
            id="doctype in the CDA",
        ),
        pytest.param(with_document(PDF), R.MALFORMED_CDA, id="a PDF announced as XML"),
        pytest.param(
            with_document(cda_with(OID, "1.2.250.1.213.1.4.8")),
            R.PATIENT_DIFFERS,
            id="same number, other OID",
        ),
        pytest.param(
            with_document(cda_with(f'<id root="{OID}" extension="{NUMBER}"/>', "")),
            R.PATIENT_DIFFERS,
            id="CDA without INS",
        ),
        pytest.param(
            with_document(
                cda_with("<patientRole>", f'<patientRole><id root="{OID}" extension="180057512345678"/>')
            ),
            R.PATIENT_DIFFERS,
            id="two numbers under one OID",
        ),
        pytest.param(
            with_document(
                cda_with('codeSystem="2.16.840.1.113883.6.1"', 'codeSystem="1.2.250.1.213.1.1.4.12"')
            ),
            R.CODE_DIFFERS,
            id="same code, other system",
        ),
    ],
)
def test_set_aside(data: bytes, reason: SetAsideReason) -> None:
    verdict = read_documents(data)
    assert isinstance(verdict, SetAside)
    assert verdict.reason is reason


def test_two_record_targets_are_two_patients() -> None:
    text = good_cda().decode()
    target = text[text.index("<recordTarget>") : text.index("<author>")]
    verdict = read_documents(with_document(text.replace(target, target * 2).encode()))
    assert verdict == SetAside(R.SEVERAL_PATIENTS, "document 1")


def test_the_markup_of_a_whole_archive_is_budgeted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coherence, "_MAX_NODES", 300)
    verdict = read_documents(sample("ok-two-documents"))
    assert isinstance(verdict, SetAside)
    assert verdict.reason is R.MARKUP_TOO_LARGE


def test_an_archive_that_announces_nothing() -> None:
    text = good_members()[METADATA].decode()
    entry = text[text.index("<ExtrinsicObject") : text.index("<RegistryPackage")]
    verdict = read_documents(make_zip({**good_members(), METADATA: text.replace(entry, "").encode()}))
    assert verdict == SetAside(R.NO_DOCUMENT)
    assert verdict.mdn_code is MdnCode.OTHER


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (with_metadata(SHA1, SHA1.upper()), XdmWarning(W.HASH_CASE, 1)),
        (with_metadata("<Value>4430</Value>", "<Value/>"), XdmWarning(W.SIZE_MISSING, 1)),
        (
            with_metadata('mimeType="text/xml"', 'mimeType="application/octet-stream"'),
            XdmWarning(W.MEDIA_TYPE_DIFFERS, 1),
        ),
        (with_metadata('value="1.2.250.1.999.2.1"', 'value="1.2.3"'), XdmWarning(W.UNIQUE_ID_DIFFERS, 1)),
        (with_metadata("f0306f51", "f0306f52"), XdmWarning(W.TYPE_MISSING, 1)),
        (uri(".\\DOC0001.XML"), XdmWarning(W.BACKSLASH, 1)),
        (uri("doc0001.xml"), XdmWarning(W.URI_CASE, 1)),
    ],
)
def test_tolerated(data: bytes, warning: XdmWarning) -> None:
    reading = read_documents(data)
    assert isinstance(reading, XdmReading)
    assert reading.warnings == (warning,)


@pytest.mark.parametrize("text", ["./DOC0001.XML", "../SUBSET01/DOC0001.XML", "DOC%30001.XML"])
def test_a_uri_may_go_round_inside_the_root(text: str) -> None:
    reading = read_documents(uri(text))
    assert isinstance(reading, XdmReading)
    assert reading.warnings == ()


def test_a_scheme_written_by_name_is_no_contradiction() -> None:
    assert isinstance(
        read_documents(with_metadata("<Value>2.16.840.1.113883.6.1<", "<Value>LOINC<")), XdmReading
    )


def test_a_plain_pdf_is_read_and_has_no_header() -> None:
    reading = read_documents(with_document(PDF, 'mimeType="text/xml"', 'mimeType="application/pdf"'))
    assert isinstance(reading, XdmReading)
    assert (reading.documents[0].header, reading.documents[0].data) == (None, PDF)
    assert judge_single_patient(reading) == PatientId(OID, NUMBER)


@pytest.mark.parametrize(
    ("old", "new", "reason", "code"),
    [
        (f'value="{CX}"><Name><LocalizedString xml:lang="fr" charset="UTF-8" value="XDSDocumentEntry', 'value=""><Name><LocalizedString value="', R.PATIENT_MISSING, MdnCode.INS_ABSENT),
        (CX, NUMBER, R.PATIENT_INCOMPLETE, MdnCode.INS_INCOMPLETE),
        (CX, f"{NUMBER}^^^&amp;Hospital&amp;ISO^NH", R.PATIENT_INCOMPLETE, MdnCode.INS_INCOMPLETE),
        (CX, f"^^^&amp;{OID}&amp;ISO^NH", R.PATIENT_INCOMPLETE, MdnCode.INS_INCOMPLETE),
        (f'value="{CX}"><Name><LocalizedString xml:lang="fr" charset="UTF-8" value="XDSSubmissionSet', f'value="180057512345678^^^&amp;{OID}&amp;ISO^NH"><Name><LocalizedString value="', R.SEVERAL_PATIENTS, MdnCode.OTHER),
    ],
)  # fmt: skip
def test_filing_wants_one_complete_patient(old: str, new: str, reason: SetAsideReason, code: MdnCode) -> None:
    reading = read_documents(with_metadata(old, new))
    assert isinstance(reading, XdmReading)
    verdict = judge_single_patient(reading)
    assert verdict == SetAside(reason)
    assert verdict.mdn_code is code


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("96349-6,11488-4", True),
        ("11488-4 , 96349-6", True),
        ("96349-6", False),
        ("34112-3,96349-6", False),
        ("", False),
    ],
)
def test_the_mail_header_announces_the_codes(value: str, *, expected: bool) -> None:
    reading = read_documents(sample("ok-two-documents"))
    assert isinstance(reading, XdmReading)
    assert is_announced(reading, value) is expected


def test_nothing_private_in_the_reasons() -> None:
    for name in ("ko-patient-differs-cda-vs-metadata", "ko-hash-mismatch", "hostile-uri-traversal"):
        shown = repr(read_documents(sample(name)))
        assert NUMBER not in shown
        assert "passwd" not in shown
    shown = repr(read_documents(sample("ok-lettre-adressage")))
    assert "PAT-TROIS" not in shown
    assert NUMBER not in shown
