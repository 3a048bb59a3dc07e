"""The stored record: its bytes are fixed, and nothing else is accepted."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from unit.documents.xdm_archives import NUMBER, cda_with, good_cda, sample, with_document, with_metadata

from mailserver.documents.codes import Visibility
from mailserver.documents.coherence import XdmReading, read_documents
from mailserver.documents.metadata import DocumentAction
from mailserver.documents.record import DocumentRecord, format_record, parse_record, records_of
from mailserver.model.errors import Malformed

RECEIVED = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
SOURCE = "<letter@medecin.example>"


def records(data: bytes) -> tuple[DocumentRecord, ...]:
    reading = read_documents(data)
    assert isinstance(reading, XdmReading)
    return records_of(reading, source_message_id=SOURCE, received=RECEIVED)


def record(data: bytes | None = None) -> DocumentRecord:
    (found,) = records(data or sample("ok-lettre-adressage"))
    return found


def test_the_record_of_a_letter() -> None:
    found = record()
    assert found.title == "Lettre d'adressage vers la cardiologie"
    assert (found.type_code.code, found.class_code.code) == ("96349-6", "10")
    assert found.unique_id == "1.2.250.1.999.2.1"
    assert (found.set_id, found.document_version) == ("1.2.250.1.999.2.0", "1")
    assert (found.author_name, found.author_institution) == ("Camille FICTIF", "Cabinet fictif des Tilleuls")
    assert (found.media_type, found.embedded_media_type) == ("text/xml", "application/pdf")
    assert found.size_bytes == 4430
    assert found.sha1 == hashlib.sha1(good_cda()).hexdigest()
    assert found.sha256 == hashlib.sha256(good_cda()).hexdigest()
    assert found.created == datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
    assert (found.received, found.source_message_id) == (RECEIVED, SOURCE)
    assert found.action is DocumentAction.ADD
    assert found.is_listed_for_patient
    assert found.is_listed_for_professionals
    assert found.is_listed_for_representatives


def test_the_stored_bytes_never_change() -> None:
    data = format_record(record())
    assert hashlib.sha256(data).hexdigest() == FIXED_SHA256
    assert parse_record(data) == record()
    assert NUMBER.encode() not in data


def test_the_sender_is_a_second_form_and_the_first_still_opens() -> None:
    sent = replace(record(), sender="camille@medecin.example")
    data = format_record(sent)
    assert hashlib.sha256(data).hexdigest() == FIXED_SHA256_WITH_SENDER
    assert parse_record(data) == sent
    assert data == changed(version=2, sender="camille@medecin.example")
    assert parse_record(format_record(record())).sender == ""
    assert "camille@" not in repr(sent)


def test_a_replacement_says_what_it_replaces() -> None:
    found = record(sample("ok-replacement-rplc"))
    assert found.replaces_unique_id == "1.2.250.1.999.2.1"
    assert found.replaces_entry_id == "urn:uuid:40dd5587-bd90-5669-bb4b-d1205305da2f"
    assert found.document_version == "2"


def test_one_record_per_document() -> None:
    assert [one.type_code.code for one in records(sample("ok-two-documents"))] == ["96349-6", "11488-4"]


def test_masks_come_from_either_side() -> None:
    mask = '<confidentialityCode code="INVISIBLE_PATIENT" codeSystem="1.2.250.1.213.1.1.4.13"/><languageCode'
    found = record(with_document(cda_with("<languageCode", mask)))
    assert found.visibility is Visibility.HIDDEN_FROM_PATIENT
    assert not found.is_listed_for_patient
    found = record(with_metadata('nodeRepresentation="N"', 'nodeRepresentation="MASQUE_PS"'))
    assert not found.is_listed_for_professionals


def test_a_bare_document_still_has_a_title() -> None:
    data = with_metadata('value="Lettre d\'adressage vers la cardiologie"', 'value=""')
    assert record(data).title == "Lettre d'adressage vers la cardiologie"


def test_long_texts_are_cut() -> None:
    data = with_metadata("<Value>fr-FR</Value>", f"<Value>{'x' * 5000}</Value>")
    assert len(record(data).language) == 1000


def changed(**changes: object) -> bytes:
    content = json.loads(format_record(record()))
    content.update(changes)
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "record-syntax"),
        (b"[]", "record-syntax"),
        (b"\xff", "record-syntax"),
        (b"[" * 100_000, "record-syntax"),
        (b"{}", "record-version"),
        (changed(version=3), "record-version"),
        (changed(version=[1]), "record-version"),
        (changed(version=2), "record-text"),
        (changed(version=2, sender=""), "record-form"),
        (changed(version=2, sender=5), "record-text"),
        (changed(sender="camille@medecin.example"), "record-form"),
        (changed(sender=""), "record-form"),
        (changed(version=True), "record-form"),
        (changed(extra=1), "record-form"),
        (changed(title=None), "record-text"),
        (changed(title=5), "record-text"),
        (changed(size_bytes=True), "record-number"),
        (changed(size_bytes=-1), "record-number"),
        (changed(size_bytes=1.0), "record-number"),
        (changed(visibility=8), "record-visibility"),
        (changed(visibility=-1), "record-visibility"),
        (changed(received=None), "record-number"),
        (changed(received=10**30), "record-time"),
        (changed(action="X"), "record-action"),
        (changed(type_code=["a", "b"]), "record-codes"),
        (changed(confidentiality="N"), "record-codes"),
        (format_record(record()) + b" ", "record-form"),
        (format_record(record()).replace(b'{"action":"",', b'{"action":"","action":"",'), "record-form"),
    ],
)
def test_only_the_canonical_form_is_read(data: bytes, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_record(data)
    assert caught.value.code == code


def test_times_are_utc() -> None:
    with pytest.raises(Malformed) as caught:
        replace(record(), received=RECEIVED.astimezone(timezone(timedelta(hours=1))))
    assert caught.value.code == "record-time"


def test_a_text_that_utf_8_cannot_carry() -> None:
    with pytest.raises(Malformed) as caught:
        format_record(replace(record(), title="\ud800"))
    assert caught.value.code == "record-text"


def test_nothing_private_in_the_repr() -> None:
    assert "cardiologie" not in repr(record())
    assert "FICTIF" not in repr(record())


FIXED_SHA256 = "fdf934006ae463817055a5bcc34495db8fc5c5b6d87b6833a37ff05a91801c12"
FIXED_SHA256_WITH_SENDER = "d20c2d08c45dd410ce6217e1fd0b74b3a4c88c4e6ce56393eb405606247a3e90"
