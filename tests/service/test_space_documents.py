"""Filed documents: listed, opened by one path that logs first, replaced, hidden (L4, L10)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from harness.log_reading import read_log
from harness.node import Node
from harness.web_node import ORIGIN, PASSWORD, PATIENT, deliver, file, health_mail, make_peers, sample_record
from sqlalchemy import update

from mailserver.audit.events import EventKind
from mailserver.audit.receipt import Purpose
from mailserver.documents.codes import Visibility
from mailserver.documents.display import find_shown
from mailserver.documents.record import DocumentRecord
from mailserver.model.errors import Corrupt, Denied, NotFound, Unavailable
from mailserver.service.check import check_account
from mailserver.service.history import read_history
from mailserver.service.keys import OpenAccount
from mailserver.service.space_documents import Replacement, SpaceDocuments
from mailserver.store import read_receipts, schema
from mailserver.store.writer import Unit


@pytest.fixture
def ours(tmp_path) -> Iterator[Node]:
    node, peer = make_peers(tmp_path)
    node.add_patient(PATIENT, password=PASSWORD)
    deliver(node, peer, "camille@b.localhost", PATIENT, health_mail("one"))
    yield node
    node.close()
    peer.close()


@pytest.fixture
def patient(ours: Node) -> OpenAccount:
    account, _keys = ours.services.keys.open_with_password(PATIENT, PASSWORD)
    return account


@pytest.fixture
def documents(ours: Node) -> SpaceDocuments:
    return SpaceDocuments(ours.services.store)


def now() -> datetime:
    return datetime.now(UTC)


def kinds(ours: Node, patient: OpenAccount) -> list[EventKind]:
    entries = read_log(ours.services.store, patient.account, patient.space_root())
    return [each.event.kind for each in entries]


def test_listing_opens_no_document(ours: Node, patient: OpenAccount, documents: SpaceDocuments) -> None:
    before = kinds(ours, patient)
    listed = documents.list_documents(patient)
    assert [each.record.title for each in listed] == [sample_record().title]
    assert kinds(ours, patient) == before


def test_opening_is_logged_then_shown(ours: Node, patient: OpenAccount, documents: SpaceDocuments) -> None:
    (listed,) = documents.list_documents(patient)
    opened = documents.open_document(patient, listed.document_id, ORIGIN, now())
    assert kinds(ours, patient)[-1] is EventKind.DOCUMENT_OPENED
    shown = find_shown(opened.record.media_type, opened.whole())
    assert shown is None or shown.data
    assert len(opened.whole()) == opened.record.size_bytes


def test_each_opening_has_its_entry(ours: Node, patient: OpenAccount, documents: SpaceDocuments) -> None:
    (listed,) = documents.list_documents(patient)
    for _turn in range(3):
        documents.open_document(patient, listed.document_id, ORIGIN, now())
    assert kinds(ours, patient).count(EventKind.DOCUMENT_OPENED) == 3


def test_no_entry_no_document(
    ours: Node, patient: OpenAccount, documents: SpaceDocuments, monkeypatch: pytest.MonkeyPatch
) -> None:
    (listed,) = documents.list_documents(patient)

    def fail(_unit: object) -> None:
        raise Unavailable("database")

    monkeypatch.setattr(ours.services.store.writer, "commit", fail)
    with pytest.raises(Unavailable, match=r"^database$"):
        documents.open_document(patient, listed.document_id, ORIGIN, now())


def test_a_receipt_is_for_one_document_once(ours: Node, patient: OpenAccount) -> None:
    unit = Unit(patient.account_id, lambda _connection: None)
    receipt = read_receipts.commit_reading(ours.services.store.writer, unit, [b"one"], Purpose.SHOW)
    with pytest.raises(Denied, match=r"^receipt-used$"):
        receipt.consume(patient.account_id, b"two", Purpose.SHOW)
    with pytest.raises(Denied, match=r"^receipt-mismatch$"):
        receipt.consume(patient.account_id, b"one", Purpose.EXPORT)
    receipt.consume(patient.account_id, b"one", Purpose.SHOW)
    with pytest.raises(Denied, match=r"^receipt-used$"):
        receipt.consume(patient.account_id, b"one", Purpose.SHOW)


def test_invisible_is_neither_listed_nor_opened(
    ours: Node, patient: OpenAccount, documents: SpaceDocuments
) -> None:
    hidden = replace(sample_record(), visibility=Visibility.HIDDEN_FROM_PATIENT)
    document_id = file(ours, patient, hidden, b"%PDF-1.4 secret")
    assert document_id not in {each.document_id for each in documents.list_documents(patient)}
    for look in (
        lambda: documents.load_document(patient, document_id),
        lambda: documents.open_document(patient, document_id, ORIGIN, now()),
    ):
        with pytest.raises(NotFound, match=r"^document$"):
            look()
    assert EventKind.DOCUMENT_OPENED not in kinds(ours, patient)


def newer_than(old: DocumentRecord, **changes: object) -> DocumentRecord:
    """A record that says it takes the place of ``old``."""
    new = {"entry_id": "urn:uuid:newer", "unique_id": "1.2.3.4", "replaces_unique_id": old.unique_id}
    return replace(sample_record(), **(new | {"title": "Lettre corrigée"} | changes))


def send_archive(ours: Node, peer: Node, sender: str, message_id: str, archive: str) -> None:
    raw = health_mail(message_id, archive).replace(b"camille@b.localhost", sender.encode())
    deliver(ours, peer, sender, PATIENT, raw)


def replacements(documents: SpaceDocuments, patient: OpenAccount) -> dict[str, Replacement | None]:
    return {each.record.unique_id: each.replaced_by for each in documents.list_documents(patient)}


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        ("camille@b.localhost", Replacement("camille@b.localhost", is_same_sender=True)),
        ("mallory@b.localhost", Replacement("mallory@b.localhost", is_same_sender=False)),
    ],
)
def test_only_its_own_sender_replaces_a_document(tmp_path, sender: str, said: Replacement) -> None:
    """What an archive replaces is its author's word, and any listed sender may write an archive."""
    node, peer = make_peers(tmp_path)
    node.add_patient(PATIENT, password=PASSWORD)
    account, _keys = node.services.keys.open_with_password(PATIENT, PASSWORD)
    space = SpaceDocuments(node.services.store)
    send_archive(node, peer, "camille@b.localhost", "one", "ok-lettre-adressage")
    assert [each.record.sender for each in space.list_documents(account)] == ["camille@b.localhost"]
    send_archive(node, peer, sender, "two", "ok-replacement-rplc")
    found = replacements(space, account)
    assert len(found) == 2
    assert found["1.2.250.1.999.2.1"] == said
    assert [one for one in found.values() if one is not None] == [said]
    node.close()
    peer.close()


def test_a_newer_one_takes_its_place(ours: Node, patient: OpenAccount, documents: SpaceDocuments) -> None:
    (old,) = documents.list_documents(patient)
    file(ours, patient, newer_than(old.record, sender="mallory@b.localhost"), b"%PDF-1.4 foreign")
    newer = newer_than(old.record, sender="Camille@B.localhost", unique_id="1.2.3.5", entry_id="urn:uuid:n2")
    file(ours, patient, newer, b"%PDF-1.4 newer")
    found = replacements(documents, patient)
    assert found[old.record.unique_id] == Replacement("Camille@B.localhost", is_same_sender=True)
    assert [found["1.2.3.4"], found["1.2.3.5"]] == [None, None]


def test_what_is_hidden_replaces_nothing(ours: Node, patient: OpenAccount, documents: SpaceDocuments) -> None:
    (old,) = documents.list_documents(patient)
    hidden = newer_than(old.record, sender="camille@b.localhost", visibility=Visibility.HIDDEN_FROM_PATIENT)
    file(ours, patient, hidden, b"%PDF-1.4 hidden")
    assert list(replacements(documents, patient).values()) == [None]


def test_records_of_the_first_form_know_no_sender(
    ours: Node, patient: OpenAccount, documents: SpaceDocuments
) -> None:
    one = replace(sample_record(), unique_id="1.1", entry_id="urn:uuid:1")
    itself = replace(one, unique_id="1.3", entry_id="urn:uuid:3", replaces_unique_id="1.3")
    for record in (one, newer_than(one), itself):
        file(ours, patient, record, b"%PDF-1.4")
    found = replacements(documents, patient)
    assert found["1.1"] == Replacement("", is_same_sender=False)
    assert found["1.3"] is None, "a document does not replace itself"


def test_exchanged_blobs_do_not_open(ours: Node, patient: OpenAccount, documents: SpaceDocuments) -> None:
    from sqlalchemy import select, update

    from mailserver.store import schema

    first = file(ours, patient, sample_record(), b"%PDF-1.4 one")
    second = file(ours, patient, sample_record(), b"%PDF-1.4 two")
    with ours.services.store.database.write() as connection:
        table, blob = schema.document, schema.blob
        ids = [
            connection.execute(select(table.c.blob_id).where(table.c.document_id == each)).scalar()
            for each in (first, second)
        ]
        octets = [
            connection.execute(select(blob.c.octets).where(blob.c.blob_id == each)).scalar() for each in ids
        ]
        for blob_id, other in zip(ids, reversed(octets), strict=True):
            connection.execute(update(blob).where(blob.c.blob_id == blob_id).values(octets=other))
    for each in (first, second):
        with pytest.raises(Corrupt):
            documents.open_document(patient, each, ORIGIN, now())


def test_a_professional_has_no_space(ours: Node, documents: SpaceDocuments) -> None:
    ours.add("doc@a.localhost", password=PASSWORD)
    account, _keys = ours.services.keys.open_with_password("doc@a.localhost", PASSWORD)
    with pytest.raises(Denied, match=r"^no-space$"):
        documents.list_documents(account)


def test_history_names_its_own_reading(ours: Node, patient: OpenAccount) -> None:
    history = read_history(ours.services.store, patient, ORIGIN, now(), 2)
    assert history.events[0].event.kind is EventKind.LOG_READ
    assert history.has_more
    assert (history.signed, history.waiting) == (0, 2)
    whole = read_history(ours.services.store, patient, ORIGIN, now(), 100)
    assert not whole.has_more
    assert [each.sequence for each in whole.events] == sorted(
        (each.sequence for each in whole.events), reverse=True
    )


def test_a_check_with_keys_opens_every_document(ours: Node, patient: OpenAccount) -> None:
    store = ours.services.store
    report = check_account(store, patient)
    assert (report.problems, report.counted["documents_opened"]) == ((), 1)
    assert report.counted["contact_records_opened"] == 1
    assert kinds(ours, patient).count(EventKind.DOCUMENT_OPENED) == 1, "a check is a reading like any other"
    with store.database.write() as connection:
        connection.execute(update(schema.document).values(wrap=b"x" * 1168))
    assert {what for what, _where in check_account(store, patient).problems} == {"does not open (row-mac)"}
