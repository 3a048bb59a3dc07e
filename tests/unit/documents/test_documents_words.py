"""Tables and texts: code files, reasons, subjects, patient addresses."""

from datetime import date

import pytest
from unit.documents.xdm_archives import NUMBER, OID

from mailserver.documents.codes import (
    Code,
    Visibility,
    find_class_label,
    find_document_type,
    find_type_label,
    load_confidentiality,
    load_document_classes,
    load_document_types,
    visibility_of,
)
from mailserver.documents.hl7 import PatientId
from mailserver.documents.patient_address import (
    find_ins,
    format_patient_local,
    is_addressed_to,
    is_same_patient,
)
from mailserver.documents.reasons import (
    EXPLANATIONS,
    WARNING_TEXTS,
    MdnCode,
    SetAside,
    SetAsideReason,
    WarningCode,
)
from mailserver.documents.subject import XdmSubject, display_subject, find_xdm_subject
from mailserver.model.patient import Ins, is_patient_local

INS = Ins(OID, NUMBER)


@pytest.mark.parametrize("reason", list(SetAsideReason))
def test_each_reason_has_its_words(reason: SetAsideReason) -> None:
    explanation = EXPLANATIONS[reason]
    for text in (explanation.french, explanation.english):
        assert text.endswith(".")
        assert text.count(". ") >= 1, "what happened and why, then what to do"
    assert SetAside(reason).mdn_code is explanation.mdn_code


def test_the_mdn_codes_in_use() -> None:
    assert {EXPLANATIONS[reason].mdn_code for reason in SetAsideReason} == set(MdnCode)
    assert [code.value for code in MdnCode] == list(range(900, 907))


def test_each_warning_has_its_words() -> None:
    assert set(WARNING_TEXTS) == set(WarningCode)


@pytest.mark.parametrize("table", [load_document_types(), load_document_classes(), load_confidentiality()])
def test_tables_say_their_version_and_source(table) -> None:
    assert len(table.version.split("-")) == 3
    assert table.source.startswith("ANS")
    assert all(row.code.label and row.code.scheme for row in table.rows.values())


def test_types_lead_to_known_classes() -> None:
    classes = load_document_classes().rows
    assert {row.class_code for row in load_document_types().rows.values()} <= {*classes, ""}
    letter = find_document_type("96349-6")
    assert letter is not None
    assert (letter.code.label, letter.class_code) == ("Lettre d'adressage", "10")
    assert find_document_type("57133-1") is None
    assert (find_class_label("10"), find_class_label("00")) == ("Compte rendu", None)


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (None, None),
        (Code("96349-6", "", "whatever"), "Lettre d'adressage"),
        (Code("X", "", "Leur mot"), "Leur mot"),
        (Code("X"), None),
    ],
)
def test_type_labels(code: Code | None, label: str | None) -> None:
    assert find_type_label(code) == label


@pytest.mark.parametrize(
    ("codes", "visibility"),
    [
        ((), Visibility.VISIBLE),
        (("N",), Visibility.VISIBLE),
        (("N", "MASQUE_PS"), Visibility.HIDDEN_FROM_PROFESSIONALS),
        (("invisible_patient",), Visibility.HIDDEN_FROM_PATIENT),
        (("MASQUE_PS", "INVISIBLE_REPRESENTANTS_LEGAUX"), Visibility.HIDDEN_FROM_PROFESSIONALS | Visibility.HIDDEN_FROM_REPRESENTATIVES),
    ],
)  # fmt: skip
def test_visibility(codes: tuple[str, ...], visibility: Visibility) -> None:
    assert visibility_of(tuple(Code(code) for code in codes)) == visibility


BIRTH = date(1979, 3, 28)


@pytest.mark.parametrize(
    ("subject", "shown", "parts"),
    [
        ("XDM/1.0/DDM+Lettre d'adressage PAT-TROIS DOMINIQUE 28/03/1979", "Lettre d'adressage PAT-TROIS DOMINIQUE 28/03/1979", XdmSubject("Lettre d'adressage", "PAT-TROIS", "DOMINIQUE", BIRTH, 0)),
        ("XDM/1.0/DDM+2 documents DE LA TOUR Jean Marie", "2 documents DE LA TOUR Jean Marie", XdmSubject("2 documents", "DE LA TOUR", "Jean Marie", None, 0)),
        ("XDM/1.0/DDM+Note de transfert (dont lettre de liaiso CORSE FIGATELLIX", "Note de transfert (dont lettre de liaiso CORSE FIGATELLIX", XdmSubject("Note de transfert (dont lettre de liaiso", "CORSE", "FIGATELLIX", None, 0)),
        ("xdm/1.0/ddm+Papier rose CORSE Figatellix 31/02/2000", "Papier rose CORSE Figatellix 31/02/2000", XdmSubject("Papier rose", "CORSE", "Figatellix", None, 0)),
        ("XDM/1.0/DDM", "", XdmSubject("", "", "", None, 0)),
        ("XDM/1.0/DDM+DICOM-ZIP Images", "Images", XdmSubject("Images", "", "", None, 0)),
        ("Re: TR : XDM/1.0/DDM+CR CORSE Figatellix", "Re: TR : CR CORSE Figatellix", XdmSubject("CR", "CORSE", "Figatellix", None, 0)),
        ("[KO Intégration système !][902] XDM/1.0/DDM+CR CORSE Figatellix", "[KO Intégration système !][902] CR CORSE Figatellix", XdmSubject("CR", "CORSE", "Figatellix", None, 902)),
        ("[Erreur d'intégration !][904] XDM/1.0/DDM+CR CORSE Figatellix", "[Erreur d'intégration !][904] CR CORSE Figatellix", XdmSubject("CR", "CORSE", "Figatellix", None, 904)),
        ("Bonjour", "Bonjour", None),
        ("À propos de XDM/1.0/DDM+", "À propos de XDM/1.0/DDM+", None),
        ("", "", None),
    ],
)  # fmt: skip
def test_subjects(subject: str, shown: str, parts: XdmSubject | None) -> None:
    assert display_subject(subject) == shown
    assert find_xdm_subject(subject) == parts


def test_an_endless_subject_takes_no_time() -> None:
    assert find_xdm_subject("XDM/1.0/DDM+" + "a" * 1_000_000) is not None
    assert find_xdm_subject(" re:" * 300_000) is None


@pytest.mark.parametrize("local", ["279035121518989", "146026322000196"])
def test_patient_addresses(local: str) -> None:
    assert is_patient_local(local)
    assert format_patient_local(Ins(OID, local)) == local


def test_corsican_numbers_keep_their_letter() -> None:
    # born in 2A: the key is computed with 19 in its place
    key = 97 - int("1850119001001") % 97
    number = f"185012A001001{key:02d}"
    assert is_patient_local(number.lower())


@pytest.mark.parametrize(
    "local", ["", "279035121518988", "27903512151898", "2790351215189890", "jean.dupont", "²79035121518989"]
)
def test_what_is_not_a_patient_address(local: str) -> None:
    assert not is_patient_local(local)
    assert not is_addressed_to(local, INS)


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        (PatientId(OID, NUMBER), True),
        (PatientId("1.2.250.1.213.1.4.8", NUMBER), False),
        (PatientId("", NUMBER), False),
        (PatientId(OID, ""), False),
        (PatientId(OID, "146026322000196"), False),
        (None, False),
    ],
)
def test_an_identity_is_a_number_and_its_oid(patient: PatientId | None, *, expected: bool) -> None:
    assert is_same_patient(patient, INS) is expected


def test_identities_to_ins() -> None:
    assert find_ins(PatientId(OID, NUMBER)) == INS
    assert find_ins(PatientId(OID, "279035121518988")) is None
    assert find_ins(PatientId("", NUMBER)) is None
