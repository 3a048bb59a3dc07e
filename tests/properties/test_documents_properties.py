"""Whatever the archive: a reading or a SetAside, nothing else, within bounds. Whatever the record: it comes back."""

import tracemalloc
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.documents.xdm_archives import (
    METADATA,
    good_cda,
    good_members,
    make_zip,
    sample,
    sample_names,
    with_document,
    with_extra,
    with_members,
)

from mailserver.documents.cda import extract_embedded, parse_cda_header
from mailserver.documents.codes import Code, Visibility
from mailserver.documents.coherence import XdmReading, judge_single_patient, read_documents
from mailserver.documents.display import MAX_NAME_CHARACTERS, find_shown, human_title, safe_file_name
from mailserver.documents.hl7 import (
    PatientId,
    find_date,
    find_time,
    parse_institution,
    parse_patient_id,
    parse_person,
)
from mailserver.documents.metadata import DocumentAction, parse_metadata
from mailserver.documents.reasons import EXPLANATIONS, SetAside
from mailserver.documents.record import DocumentRecord, format_record, parse_record, records_of
from mailserver.documents.subject import display_subject, find_xdm_subject
from mailserver.model.errors import Malformed, OverLimit

MIB = 1024 * 1024
RECEIVED = datetime(2026, 3, 2, tzinfo=UTC)
ARCHIVES = st.sampled_from(sample_names()).map(sample)


def judge(data: bytes) -> XdmReading | SetAside:
    """Read and go on as a caller would; whatever comes out has its words and its records."""
    verdict = read_documents(data)
    if isinstance(verdict, SetAside):
        assert verdict.reason in EXPLANATIONS
        return verdict
    judge_single_patient(verdict)
    for record in records_of(verdict, source_message_id="<a@b>", received=RECEIVED):
        assert parse_record(format_record(record)) == record
    for document in verdict.documents:
        find_shown(document.entry.media_type, document.data)
    return verdict


@st.composite
def mutated(draw: st.DrawFn, source: st.SearchStrategy[bytes]) -> bytes:
    """One to eight edits: a byte changed, a slice cut, doubled or filled."""
    data = bytearray(draw(source))
    for _ in range(draw(st.integers(1, 8))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), start + draw(st.integers(1, 40)))
        match draw(st.sampled_from(["byte", "cut", "double", "fill"])):
            case "byte":
                data[start : start + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del data[start:end]
            case "double":
                data[start:start] = data[start:end]
            case _:
                data[start:end] = draw(st.binary(max_size=8))
    return bytes(data)


@given(mutated(ARCHIVES))
@settings(max_examples=400)
def test_a_mutated_archive(data: bytes) -> None:
    judge(data)


@given(ARCHIVES, st.data())
def test_a_truncated_archive_is_never_read(data: bytes, choice: st.DataObject) -> None:
    cut = choice.draw(st.integers(0, len(data) - 1))
    assert isinstance(judge(data[:cut]), SetAside)


@given(st.binary(max_size=2000))
def test_any_bytes(data: bytes) -> None:
    assert isinstance(judge(data), SetAside)
    assert isinstance(judge(b"PK\x03\x04" + data), SetAside)


@given(mutated(st.just(good_members()[METADATA])))
@settings(max_examples=300)
def test_mutated_metadata_in_a_sound_archive(metadata: bytes) -> None:
    judge(with_members(metadata=metadata))


@given(mutated(st.just(good_cda())))
@settings(max_examples=300)
def test_a_mutated_letter_in_a_sound_archive(document: bytes) -> None:
    judge(with_document(document))


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_any_member_name(name: str) -> None:
    judge(with_extra(name) if name not in good_members() else make_zip(good_members()))


@pytest.mark.parametrize("parse", [parse_metadata, parse_cda_header, extract_embedded])
@given(
    data=st.binary(max_size=300) | mutated(st.just(good_cda())) | mutated(st.just(good_members()[METADATA]))
)
def test_only_malformed_and_over_limit_escape(parse, data: bytes) -> None:
    try:
        parse(data)
    except (Malformed, OverLimit) as error:
        assert str(error)


@given(st.text())
def test_hl7_fields_never_fail(text: str) -> None:
    assert parse_patient_id(text).raw == text
    parse_person(text)
    parse_institution(text)
    find_date(text)
    moment = find_time(text)
    assert moment is None or moment.utcoffset() is not None


@given(st.integers(0, 10**15 - 1), st.sampled_from(["1.2.250.1.213.1.4.8", "1.2.250.1.213.1.4.10"]))
def test_patient_ids_come_back(number: int, oid: str) -> None:
    assert parse_patient_id(f"{number:015}^^^&{oid}&ISO^NH") == PatientId(oid, f"{number:015}")


@given(st.integers(2, 16), st.integers(1, 99))
@settings(max_examples=10)
def test_memory_follows_the_limit_not_the_claim(mebibytes: int, byte: int) -> None:
    data = with_extra("IHE_XDM/SUBSET01/PAD.BIN", bytes([byte]) * (mebibytes * MIB))
    tracemalloc.start()
    try:
        assert isinstance(judge(data), SetAside)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


@given(st.text(), st.sampled_from(["application/pdf", "text/plain", "image/png", "application/x-unknown"]))
def test_a_file_name_is_a_name(title: str, media_type: str) -> None:
    name = safe_file_name(title, media_type)
    assert 0 < len(name) <= MAX_NAME_CHARACTERS
    assert not set(name) & set('/\\:*?"<>|\r\n\x00')
    assert name.isprintable()
    assert not name.startswith(".")
    assert safe_file_name(name, media_type) == name


@given(st.text())
def test_a_title_is_one_line(title: str) -> None:
    shown = human_title(title, None)
    assert shown.isprintable()
    assert 0 < len(shown) <= 200


@given(st.text(), st.sampled_from(["", "Re: ", "[KO Intégration système !][906] "]))
def test_the_marker_is_never_shown(text: str, lead: str) -> None:
    marked = f"{lead}XDM/1.0/DDM+{text}"
    assert find_xdm_subject(marked) is not None
    assert not display_subject(marked).startswith(f"{lead}XDM/1.0/DDM+{text[:1]}") or "XDM" in text
    assert find_xdm_subject(text) is None or "xdm" in text.casefold()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CODES = st.builds(Code, TEXTS, TEXTS, TEXTS)
MOMENTS = st.datetimes(timezones=st.just(UTC))
RECORDS = st.builds(
    DocumentRecord,
    **dict.fromkeys(
        (
            "entry_id", "unique_id", "set_id", "document_version", "replaces_entry_id", "replaces_unique_id", "title",
            "author_name", "author_id", "author_institution", "author_specialty", "language", "media_type",
            "embedded_media_type", "sha1", "sha256", "source_message_id",
        ),
        TEXTS,
    ),
    **dict.fromkeys(("type_code", "class_code", "format_code"), CODES),
    **dict.fromkeys(("created", "service_start", "service_stop", "submitted"), st.none() | MOMENTS),
    action=st.sampled_from(DocumentAction),
    confidentiality=st.lists(CODES, max_size=4).map(tuple),
    visibility=st.integers(0, 7).map(Visibility),
    received=MOMENTS,
    size_bytes=st.integers(0, 2**40),
)  # fmt: skip


@given(RECORDS)
def test_a_record_comes_back(record: DocumentRecord) -> None:
    assert parse_record(format_record(record)) == record


@given(RECORDS.map(format_record), st.data())
def test_a_changed_record_is_refused_or_canonical(data: bytes, choice: st.DataObject) -> None:
    changed = choice.draw(mutated(st.just(data)))
    try:
        record = parse_record(changed)
    except Malformed:
        return
    assert format_record(record) == changed
