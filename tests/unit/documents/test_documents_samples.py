"""Every sample archive has its verdict; a new file without one fails."""

import tracemalloc

import pytest
from unit.documents.xdm_archives import sample, sample_names

from mailserver.documents.coherence import XdmReading, judge_single_patient, read_documents
from mailserver.documents.hl7 import PatientId
from mailserver.documents.reasons import SetAside, SetAsideReason, WarningCode

R, W = SetAsideReason, WarningCode

READ: dict[str, set[WarningCode]] = {
    "ok-lettre-adressage": set(),
    "ok-replacement-rplc": set(),
    "ok-two-documents": set(),
    "ok-two-subsets-two-patients": set(),
    "warn-backslash-separators": {W.BACKSLASH},
    "warn-bom-and-short-hasmember": {W.BYTE_ORDER_MARK, W.SHORT_ASSOCIATION},
    "warn-lowercase-index-readme-metadata": {W.LETTER_CASE},
    "warn-macosx-noise": {W.NOISE},
    "warn-no-index-no-readme": {W.INDEX_MISSING, W.README_MISSING},
    "warn-uri-case-differs": {W.URI_CASE},
    "warn-wrapped-in-top-folder": {W.TOP_FOLDER},
    # Field: a text document under .svn and __MACOSX litter, lower-case names, URI in another case
    "nist-lowercase-svn": {W.LETTER_CASE, W.NOISE, W.URI_CASE},
}
SET_ASIDE: dict[str, SetAsideReason] = {
    "ko-code-differs-cda-vs-metadata": R.CODE_DIFFERS,
    "ko-empty-hash-nonzero-size": R.HASH_OF_NOTHING,
    "ko-hash-mismatch": R.HASH_MISMATCH,
    "ko-no-ihe-xdm-folder": R.NO_IHE_XDM_FOLDER,
    "ko-no-metadata": R.NO_METADATA,
    "ko-no-uri-slot": R.URI_MISSING,
    "ko-patient-differs-cda-vs-metadata": R.PATIENT_DIFFERS,
    "ko-size-mismatch": R.SIZE_MISMATCH,
    "ko-uri-file-absent": R.FILE_ABSENT,
    "hostile-duplicate-metadata-entry": R.DUPLICATE_MEMBER,
    "hostile-entity-expansion": R.DOCTYPE,
    "hostile-inflate-8mib-zeros": R.RATIO,
    "hostile-nested-zip": R.NESTED_ARCHIVE,
    "hostile-uri-traversal": R.URI_OUTSIDE,
    "hostile-xxe-doctype": R.DOCTYPE,
    "hostile-zip-slip-entry": R.PATH_TRAVERSAL,
    # Field: METADATA says 34096-8 where the CDA says 34133-9; the hash is right, the story is not
    "CCDA_Ambulatory_in_XDM": R.CODE_DIFFERS,
    # Field: no URI slot, so that nothing ties the entry to its file
    "samplexdm": R.URI_MISSING,
}


def test_each_sample_has_a_verdict() -> None:
    assert sorted({*READ, *SET_ASIDE}) == sample_names()


@pytest.mark.parametrize("name", sorted(READ))
def test_read(name: str) -> None:
    reading = read_documents(sample(name))
    assert isinstance(reading, XdmReading)
    assert {warning.code for warning in reading.warnings} == READ[name]
    assert reading.documents


@pytest.mark.parametrize("name", sorted(SET_ASIDE))
def test_set_aside(name: str) -> None:
    verdict = read_documents(sample(name))
    assert isinstance(verdict, SetAside)
    assert verdict.reason is SET_ASIDE[name]


@pytest.mark.parametrize(
    "name", [name for name in READ if name not in {"ok-two-subsets-two-patients", "nist-lowercase-svn"}]
)
def test_one_patient(name: str) -> None:
    reading = read_documents(sample(name))
    assert isinstance(reading, XdmReading)
    assert judge_single_patient(reading) == PatientId("1.2.250.1.213.1.4.10", "279035121518989")


def test_two_patients_are_read_and_not_filed() -> None:
    reading = read_documents(sample("ok-two-subsets-two-patients"))
    assert isinstance(reading, XdmReading)
    assert len(reading.documents) == 2
    assert judge_single_patient(reading) == SetAside(R.SEVERAL_PATIENTS)


def test_the_content_of_the_referral_letter() -> None:
    reading = read_documents(sample("ok-lettre-adressage"))
    assert isinstance(reading, XdmReading)
    (document,) = reading.documents
    assert document.header is not None
    assert document.rank == 1
    assert len(document.data) == document.entry.size == 4430
    assert document.header.code.code == document.entry.type_code.code == "96349-6"
    assert document.header.embedded_media_type == "application/pdf"


def test_a_replacement_names_what_it_replaces_on_both_sides() -> None:
    reading = read_documents(sample("ok-replacement-rplc"))
    assert isinstance(reading, XdmReading)
    (document,) = reading.documents
    assert document.entry.replaces == ("urn:uuid:40dd5587-bd90-5669-bb4b-d1205305da2f",)
    assert document.header.replaces.unique_id == "1.2.250.1.999.2.1"


@pytest.mark.parametrize("name", sorted(name for name in SET_ASIDE if name.startswith("hostile")))
def test_hostile_archives_cost_little_memory(name: str) -> None:
    data = sample(name)
    read_documents(data)
    tracemalloc.start()
    try:
        read_documents(data)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()
