"""METADATA.XML: what is read, what is tolerated, what is refused."""

from datetime import UTC, date, datetime

import pytest
from unit.documents.xdm_archives import METADATA, NUMBER, OID, good_members, sample

from mailserver.documents.archive import read_archive
from mailserver.documents.codes import Code
from mailserver.documents.hl7 import (
    Institution,
    PatientId,
    Person,
    find_date,
    find_time,
    parse_institution,
    parse_patient_id,
    parse_person,
)
from mailserver.documents.metadata import LIMITS, DocumentAction, Metadata, parse_metadata
from mailserver.documents.reasons import SetAsideReason, WarningCode, XdmWarning
from mailserver.model.errors import Malformed, OverLimit

R = SetAsideReason
GOOD = good_members()[METADATA]
LOINC = "2.16.840.1.113883.6.1"


def changed(old: str, new: str, *, count: int = -1) -> bytes:
    text = GOOD.decode()
    assert old in text
    return text.replace(old, new, count).encode()


def test_the_document_entry() -> None:
    (entry,) = parse_metadata(GOOD).documents
    assert entry.entry_id == entry.logical_id == "urn:uuid:40dd5587-bd90-5669-bb4b-d1205305da2f"
    assert entry.unique_id == "1.2.250.1.999.2.1"
    assert entry.title == "Lettre d'adressage vers la cardiologie"
    assert (entry.media_type, entry.uri, entry.size, entry.language) == (
        "text/xml",
        "DOC0001.XML",
        4430,
        "fr-FR",
    )
    assert entry.patient == PatientId(OID, NUMBER)
    assert entry.source_patient == PatientId("1.2.250.1.999.1.1", "IPP-0042")
    assert entry.type_code == Code("96349-6", LOINC, "Lettre d'adressage")
    assert entry.class_code == Code("10", "1.2.250.1.213.1.1.4.1", "Compte rendu")
    assert entry.format_code is not None
    assert entry.format_code.code == "urn:ihe:iti:xds-sd:pdf:2008"
    assert entry.facility is not None
    assert entry.facility.code == "SA07"
    assert entry.practice_setting is not None
    assert entry.practice_setting.code == "AMBULATOIRE"
    assert [code.code for code in entry.confidentiality] == ["N"]
    assert entry.legal_authenticator == Person("899700000001", "1.2.250.1.71.4.2.1", "FICTIF", "Camille")
    assert entry.created == entry.service_start == datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
    assert entry.service_stop is None
    assert (entry.availability, entry.action, entry.replaces) == ("Approved", DocumentAction.ADD, ())
    (author,) = entry.authors
    assert author.person.family == "FICTIF"
    assert author.institutions == (
        Institution("Cabinet fictif des Tilleuls", "1999999999", "1.2.250.1.71.4.2.2"),
    )


def test_the_submission_set() -> None:
    found = parse_metadata(GOOD).submission_set
    assert (found.unique_id, found.source_id) == ("1.2.250.1.999.3.1", "1.2.250.1.999.4")
    assert found.title == "Lettre d'adressage"
    assert found.submitted == datetime(2026, 3, 2, 9, 20, tzinfo=UTC)
    assert found.patient == PatientId(OID, NUMBER)
    assert found.content_type is not None
    assert found.content_type.code == "07"
    (recipient,) = found.recipients
    assert recipient.startswith("|^^Internet^cardio.test@")


def test_field_metadata_keeps_each_author() -> None:
    archive = read_archive(sample("nist-lowercase-svn"))
    (entry,) = parse_metadata(archive.files[archive.metadata_paths[0]]).documents
    assert [author.person.family for author in entry.authors] == ["Smitty", "Dopplemeyer"]
    assert [one.name for one in entry.authors[0].institutions] == ["Cleveland Clinic", "Parma Community"]
    assert entry.patient is not None
    assert not entry.patient.is_complete or entry.patient.oid == "1.3.6.1.4.1.21367.2005.3.7"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", R.MALFORMED_METADATA, id="empty"),
        pytest.param(b"<a/>", R.MALFORMED_METADATA, id="other root"),
        pytest.param(GOOD[:-10], R.MALFORMED_METADATA, id="truncated"),
        pytest.param(
            GOOD.replace(b"utf-8", b"utf-7").replace(b"UTF-8", b"UTF-7", 1), R.MALFORMED_METADATA, id="utf-7"
        ),
        pytest.param(GOOD.decode().encode("utf-16"), R.MALFORMED_METADATA, id="utf-16"),
        pytest.param(b"<!DOCTYPE a><a/>", R.DOCTYPE, id="doctype"),
        pytest.param(
            b"<?xml version='1.0'?>\n<!-- > --><?a b?>\n<!DOCTYPE a><a/>",
            R.DOCTYPE,
            id="doctype behind a comment",
        ),
        pytest.param(b"\xef\xbb\xbf<!DOCTYPE a><a/>", R.DOCTYPE, id="doctype behind a mark"),
        pytest.param(b"<!doctype a><a/>", R.DOCTYPE, id="doctype in lower case"),
        pytest.param(b"<!-- <a/>", R.MALFORMED_METADATA, id="endless comment"),
        pytest.param(b"<a>" * 400 + b"</a>" * 400, R.MALFORMED_METADATA, id="too deep"),
        pytest.param(changed("DOC0001", "&other;"), R.MALFORMED_METADATA, id="undeclared entity"),
        pytest.param(b"<a/>" * (LIMITS.max_nodes + 1), R.MARKUP_TOO_LARGE, id="too many elements"),
        pytest.param(
            b"<a>" + b"&#10;" * LIMITS.max_nodes + b"</a>", R.MARKUP_TOO_LARGE, id="too many references"
        ),
        pytest.param(b"<a>" + b"x" * LIMITS.max_bytes + b"</a>", R.MARKUP_TOO_LARGE, id="too many bytes"),
        pytest.param(changed("<Value>4430<", "<Value>-1<"), R.MALFORMED_METADATA, id="negative size"),
        pytest.param(changed("a54d6aa5", "a54d6aa6"), R.MALFORMED_METADATA, id="no submission set"),
        pytest.param(
            changed(
                '<Slot name="creationTime">',
                '<Slot name="action"><ValueList><Value>X</Value></ValueList></Slot><Slot name="creationTime">',
            ),
            R.MALFORMED_METADATA,
            id="unknown action",
        ),
        pytest.param(
            b'<SubmitObjectsRequest xmlns="urn:oasis:names:tc:ebxml-regrep:registry:xsd:2.1"/>',
            R.METADATA_VERSION,
            id="ebRIM 2.1",
        ),
    ],
)
def test_refused(data: bytes, reason: SetAsideReason) -> None:
    with pytest.raises((Malformed, OverLimit)) as caught:
        parse_metadata(data)
    assert caught.value.code == reason
    assert "PAT-TROIS" not in str(caught.value)


def warnings_of(metadata: Metadata) -> list[XdmWarning]:
    return list(metadata.warnings)


@pytest.mark.parametrize(
    ("data", "warning"),
    [
        (b"\xef\xbb\xbf" + GOOD, XdmWarning(WarningCode.BYTE_ORDER_MARK)),
        (
            changed("urn:oasis:names:tc:ebxml-regrep:AssociationType:", ""),
            XdmWarning(WarningCode.SHORT_ASSOCIATION),
        ),
        (
            changed("AssociationType:HasMember", "AssociationType:Other"),
            XdmWarning(WarningCode.NOT_A_MEMBER, 1),
        ),
        (changed("20260302091500", "yesterday"), XdmWarning(WarningCode.DATE_UNREADABLE, 1)),
        (changed("20260302092000", "20261302"), XdmWarning(WarningCode.DATE_UNREADABLE)),
    ],
)
def test_tolerated(data: bytes, warning: XdmWarning) -> None:
    assert warning in warnings_of(parse_metadata(data))


def test_latin_1_is_read_when_declared() -> None:
    text = GOOD.decode().replace('encoding="UTF-8"', 'encoding="ISO-8859-1"').replace("vers la", "à la")
    assert parse_metadata(text.encode("latin-1")).documents[0].title == "Lettre d'adressage à la cardiologie"


@pytest.mark.parametrize(("code", "action"), [("C", DocumentAction.REPLACE), ("D", DocumentAction.DELETE)])
def test_the_french_action_item(code: str, action: DocumentAction) -> None:
    slot = f'<Slot name="action"><ValueList><Value>{code}</Value></ValueList></Slot><Slot name="hash">'
    assert parse_metadata(changed('<Slot name="hash">', slot)).documents[0].action is action


def test_a_long_uri_comes_in_numbered_chunks() -> None:
    data = changed("<Value>DOC0001.XML</Value>", "<Value>1|DOC0</Value><Value>2|001.XML</Value>")
    assert parse_metadata(data).documents[0].uri == "DOC0001.XML"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{NUMBER}^^^&{OID}&ISO^NH", PatientId(OID, NUMBER)),
        (f"{NUMBER}^^&{OID}&ISO", PatientId("", NUMBER)),
        (NUMBER, PatientId("", NUMBER)),
        (f"^^^&{OID}&ISO", PatientId(OID, "")),
        (f"{NUMBER}^^^&Hospital&ISO", PatientId("", NUMBER)),
        ("", PatientId("", "")),
    ],
)
def test_patient_ids(text: str, expected: PatientId) -> None:
    found = parse_patient_id(text)
    assert found == expected
    assert found.raw == text
    assert NUMBER not in repr(found)


def test_people_and_structures() -> None:
    assert parse_person("Sherry Sample") == Person(family="Sherry Sample")
    assert parse_person("^Sample^Sherry") == Person("", "", "Sample", "Sherry")
    assert parse_institution("Clinic") == Institution("Clinic")
    assert parse_institution("Clinic^^^^^&1.2.3&ISO^^^^77") == Institution("Clinic", "77", "1.2.3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026", datetime(2026, 1, 1, tzinfo=UTC)),
        ("20260302", datetime(2026, 3, 2, tzinfo=UTC)),
        ("202603020915", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("20260302101500+0100", datetime(2026, 3, 2, 9, 15, tzinfo=UTC)),
        ("20260302101500.123-0530", datetime(2026, 3, 2, 15, 45, tzinfo=UTC)),
        ("00010101000000+0100", None),
        ("20260302101500+9900", None),
        ("20260302101500+", None),
        ("20261301", None),
        ("٢٠٢٦", None),
        ("", None),
    ],
)
def test_times(text: str, expected: datetime | None) -> None:
    assert find_time(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19790328", date(1979, 3, 28)),
        ("197903281200+0100", date(1979, 3, 28)),
        ("197903", None),
        ("19790231", None),
        ("٢٠٢٦0101", None),
    ],
)
def test_dates(text: str, expected: date | None) -> None:
    assert find_date(text) == expected
