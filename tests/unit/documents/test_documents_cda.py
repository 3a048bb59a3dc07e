"""The CDA header and the file inside a level 1 body."""

import base64
import tracemalloc
from datetime import UTC, date, datetime

import pytest
from unit.documents.xdm_archives import NUMBER, OID, cda_with, good_cda, sample

from mailserver.documents.archive import read_archive
from mailserver.documents.cda import LIMITS, extract_embedded, is_cda, parse_cda_header
from mailserver.documents.hl7 import Institution, PatientId, Person
from mailserver.documents.reasons import SetAsideReason
from mailserver.model.errors import Malformed, OverLimit

R = SetAsideReason
CABINET = Institution("Cabinet fictif des Tilleuls", "1999999999", "1.2.250.1.71.4.2.2")
FICTIF = Person("899700000001", "1.2.250.1.71.4.2.1", "FICTIF", "Camille")


def test_the_referral_letter() -> None:
    header = parse_cda_header(good_cda())
    assert header.document_id.unique_id == "1.2.250.1.999.2.1"
    assert header.set_id is not None
    assert (header.set_id.root, header.version) == ("1.2.250.1.999.2.0", "1")
    assert (header.code.code, header.code.label) == ("96349-6", "Lettre d'adressage")
    assert header.title == "Lettre d'adressage vers la cardiologie"
    assert header.effective == datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
    assert [code.code for code in header.confidentiality] == ["N"]
    assert header.language == "fr-FR"
    (patient,) = header.patients
    assert patient.ids == (PatientId(OID, NUMBER), PatientId("1.2.250.1.999.1.1", "IPP-0042"))
    assert (patient.family_names, patient.given_names) == (("PAT-TROIS",), ("DOMINIQUE",))
    assert (patient.gender, patient.birth_date) == ("F", date(1979, 3, 28))
    (author,) = header.authors
    assert (author.person, author.institutions) == (FICTIF, (CABINET,))
    assert author.specialty == "Médecin - Qualifié en Médecine Générale (SM)"
    assert (header.custodian, header.legal_authenticator) == (CABINET, FICTIF)
    assert header.replaces is None
    assert header.embedded_media_type == "application/pdf"
    assert "PAT-TROIS" not in repr(header)


def test_a_structured_document_has_no_embedded_file() -> None:
    archive = read_archive(sample("CCDA_Ambulatory_in_XDM"))
    data = archive.files["SUBSET01/CCDA_Ambulatory.xml"]
    header = parse_cda_header(data)
    assert header.embedded_media_type is None
    assert header.document_id.unique_id == "1.1.1.1.1.1.1.1.1^Test CCDA"
    with pytest.raises(Malformed) as caught:
        extract_embedded(data)
    assert (caught.value.code, caught.value.detail) == (R.MALFORMED_CDA, "not level 1")


def test_the_embedded_file() -> None:
    media_type, content = extract_embedded(good_cda())
    assert media_type == "application/pdf"
    assert content.startswith(b"%PDF-1.4")
    assert content.endswith(b"%%EOF\n")


def test_a_scan_longer_than_the_parser_allows_for_one_text() -> None:
    content = bytes(range(256)) * 50_000
    start = good_cda().index(b"JVBERi")
    end = good_cda().index(b"</text>")
    data = good_cda()[:start] + base64.encodebytes(content) + good_cda()[end:]
    assert extract_embedded(data) == ("application/pdf", content)


def test_reading_a_header_leaves_the_body_aside() -> None:
    start, end = good_cda().index(b"JVBERi"), good_cda().index(b"</text>")
    data = good_cda()[:start] + b"A" * 20_000_000 + good_cda()[end:]
    tracemalloc.start()
    try:
        parse_cda_header(data)
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_an_ampersand_in_an_attribute_is_one() -> None:
    header = parse_cda_header(cda_with('displayName="Lettre d\'adressage"', 'displayName="A &amp; B &lt;"'))
    assert header.code.label == "A & B <"


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_may_end_in_any_way(end: str) -> None:
    text = good_cda().decode()
    assert parse_cda_header(text.replace("\n", end).encode()) == parse_cda_header(text.encode())


def test_several_masks_and_several_patients_are_all_kept() -> None:
    mask = '<confidentialityCode code="MASQUE_PS" codeSystem="1.2.250.1.213.1.1.4.13"/><languageCode'
    assert len(parse_cda_header(cda_with("<languageCode", mask)).confidentiality) == 2
    text = good_cda().decode()
    target = text[text.index("<recordTarget>") : text.index("<author>")]
    assert len(parse_cda_header(text.replace(target, target * 2).encode()).patients) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", R.MALFORMED_CDA, id="empty"),
        pytest.param(b"<ClinicalDocument/>", R.MALFORMED_CDA, id="no namespace"),
        pytest.param(b"<x:ClinicalDocument/>", R.MALFORMED_CDA, id="undeclared prefix"),
        pytest.param(good_cda()[:-5], R.MALFORMED_CDA, id="truncated"),
        pytest.param(cda_with('<id root="1.2.250.1.999.2.1"/>', ""), R.MALFORMED_CDA, id="no id"),
        pytest.param(
            cda_with('<code code="96349-6"', '<code nullFlavor="UNK"'), R.MALFORMED_CDA, id="no code"
        ),
        pytest.param(cda_with("<title>", "<title>\x01"), R.MALFORMED_CDA, id="control character"),
        pytest.param(
            cda_with("<ClinicalDocument ", "<!DOCTYPE a><ClinicalDocument "), R.DOCTYPE, id="doctype"
        ),
        pytest.param(b"<" * (LIMITS.max_nodes + 1), R.MARKUP_TOO_LARGE, id="elements"),
        pytest.param(b"<a>" + b"&lt;" * LIMITS.max_nodes + b"</a>", R.MARKUP_TOO_LARGE, id="references"),
        pytest.param(
            cda_with("<recordTarget>", "<recordTarget>" + "<a/>" * 20_001),
            R.MARKUP_TOO_LARGE,
            id="header elements",
        ),
    ],
)
def test_refused(data: bytes, reason: SetAsideReason) -> None:
    with pytest.raises((Malformed, OverLimit)) as caught:
        parse_cda_header(data)
    assert caught.value.code == reason


@pytest.mark.parametrize(
    ("old", "new", "detail"),
    [
        ('representation="B64"', 'representation="TXT"', "body representation"),
        ('representation="B64"', 'representation="B64" compression="GZ"', "body representation"),
        (">JVBERi", ">!VBERi", "base64"),
        (">JVBERi", ">VBERi", "base64"),
        ("</nonXMLBody>", "</nonXMLBody><nonXMLBody><text>AAAA</text></nonXMLBody>", "several bodies"),
    ],
)
def test_a_body_that_is_not_plain_base64(old: str, new: str, detail: str) -> None:
    with pytest.raises(Malformed) as caught:
        extract_embedded(cda_with(old, new))
    assert (caught.value.code, caught.value.detail) == (R.MALFORMED_CDA, detail)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (good_cda(), True),
        (b"\xef\xbb\xbf" + good_cda(), True),
        (b"%PDF-1.4 ClinicalDocument", False),
        (b"<a/>", False),
        (b"", False),
    ],
)
def test_what_looks_like_a_cda(data: bytes, *, expected: bool) -> None:
    assert is_cda(data) is expected
