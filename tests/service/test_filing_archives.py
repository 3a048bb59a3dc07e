"""Patients' archives: what is sound is filed, document by document; what is doubtful is delivered and set aside, with
a reason that only the box's owner reads.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from harness.log_reading import read_log
from service.delivery_peers import (
    Bench,
    make_bench,
    message,
    message_id,
    open_with_password,
    summary_of,
    with_archive,
)
from unit.documents.test_documents_samples import READ, SET_ASIDE
from unit.documents.xdm_archives import sample

from mailserver.audit.events import EventKind
from mailserver.crypto.blob import Decryptor
from mailserver.crypto.ctx import ctx
from mailserver.documents.coherence import XdmReading, read_documents
from mailserver.documents.reasons import SetAsideReason
from mailserver.model.account import AccountKind, Flag
from mailserver.model.errors import Corrupt
from mailserver.model.patient import Ins
from mailserver.policy.conversation import ConversationState
from mailserver.service.conversations import fold_conversations, list_received
from mailserver.store import items

PATIENT, OTHER, DOCTOR = "279035121518989@a.localhost", "autre@a.localhost", "doc@a.localhost"
# Read well, and yet not filed here: two patients, or nobody of this operator
NOT_FILED = {
    "ok-two-subsets-two-patients": SetAsideReason.SEVERAL_PATIENTS,
    "nist-lowercase-svn": SetAsideReason.PATIENT_INCOMPLETE,
}
FILED = sorted(set(READ) - set(NOT_FILED))
ASIDE = {**SET_ASIDE, **NOT_FILED}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("filing"))
    bench.node.add_patient(PATIENT, contact="proche@example.org")
    bench.node.add_patient(OTHER, Ins("1.2.250.1.213.1.4.10", "255069999904221"), name="Autre PERSONNE")
    bench.made = bench.node.add(DOCTOR, password="un mot de passe long")
    yield bench
    bench.node.close()


@pytest.fixture(scope="module")
def patient(bench: Bench):
    return open_with_password(bench, PATIENT)


def _state(bench: Bench, account) -> tuple[int, int, int]:
    return len(bench.rows(account)), len(bench.documents(account)), len(bench.cases(account))


def _reasons(bench: Bench, account, number: str) -> list[str]:
    """Why the archive of this message was set aside, as its owner reads it."""
    cases = map(json.loads, bench.cases(account))
    return [fields["reason"] for fields in cases if fields["message_id"] == message_id(number)]


@pytest.mark.parametrize("name", FILED)
def test_a_sound_archive_is_filed(bench: Bench, patient, name: str) -> None:
    mails, documents, cases = _state(bench, patient)
    bench.deliver([PATIENT, DOCTOR], with_archive(f"filed {name}", sample(name)))
    reading = read_documents(sample(name))
    assert isinstance(reading, XdmReading)
    assert _state(bench, patient) == (mails + 1, documents + len(reading.documents), cases)
    assert bench.rows(patient)[-1].flags == 0
    fresh = [
        row
        for row in bench.documents(patient)
        if bench.open_record(patient, row).source_message_id == message_id(f"filed {name}")
    ]
    assert {bench.open_document(patient, row) for row in fresh} == {each.data for each in reading.documents}
    assert len({row.blob_id for row in fresh}) == len(fresh), (
        "each document is its own object with its own key"
    )
    doctor = open_with_password(bench, DOCTOR)
    assert bench.documents(doctor) == [], "a professional's box files nothing"
    assert bench.rows(doctor)[-1].flags == 0


@pytest.mark.parametrize("name", sorted(ASIDE))
def test_a_doubtful_archive_is_delivered_and_set_aside(bench: Bench, patient, name: str) -> None:
    mails, documents, cases = _state(bench, patient)
    sent = with_archive(f"aside {name}", sample(name))
    bench.deliver([PATIENT], sent)
    assert _state(bench, patient) == (mails + 1, documents, cases + 1)
    (item,) = bench.services.messages.page(
        patient, bench.box(patient).mailbox_id, [(bench.rows(patient)[-1].uid,) * 2]
    )
    assert item.row.flags == Flag.SET_ASIDE
    assert bench.read(patient, item).endswith(sent), "the mail itself is as it was sent"
    assert _reasons(bench, patient, f"aside {name}") == [ASIDE[name].value]


def test_the_reason_is_the_owners_alone(bench: Bench, patient) -> None:
    bench.deliver([PATIENT, DOCTOR], with_archive("reasons", sample("ko-hash-mismatch")))
    doctor = open_with_password(bench, DOCTOR)
    with bench.store.database.read() as connection:
        row = bench.store.space.list_set_aside(connection, patient.account_id)[-1]
    for account, owner in ((doctor, patient), (doctor, doctor)):
        pair = account.space_root().pair(account.account.epoch)
        with pytest.raises(Corrupt):
            pair.open(row.record, ctx("set-aside", owner.account_id, row.record_id))
    assert _reasons(bench, doctor, "reasons") == [SetAsideReason.HASH_MISMATCH.value]
    assert bench.rows(doctor)[-1].flags == Flag.SET_ASIDE


def test_another_persons_documents_are_not_filed(bench: Bench) -> None:
    """The number and its authority decide, never the address alone."""
    other = open_with_password(bench, OTHER)
    bench.deliver([OTHER], with_archive("not mine", sample("ok-lettre-adressage")))
    assert bench.documents(other) == []
    assert bench.rows(other)[-1].flags == Flag.SET_ASIDE
    assert _reasons(bench, other, "not mine") == [SetAsideReason.PATIENT_NOT_RECIPIENT.value]


def test_two_archives_in_one_message_are_set_aside(bench: Bench, patient) -> None:
    _mails, documents, _cases = _state(bench, patient)
    one = with_archive("double", sample("ok-lettre-adressage"))
    part = one[one.index(b"--frontier\r\nContent-Type: application/zip") : one.index(b"--frontier--")]
    bench.deliver([PATIENT], one.replace(b"--frontier--", part + b"--frontier--"))
    assert len(bench.documents(patient)) == documents
    assert _reasons(bench, patient, "double") == [SetAsideReason.SEVERAL_ARCHIVES.value]


def test_a_retry_files_nothing_twice(bench: Bench, patient) -> None:
    sent = with_archive("retried filing", sample("ok-two-documents"))
    bench.deliver([PATIENT], sent)
    before = _state(bench, patient), bench.count("log_entry"), bench.count("job"), bench.count("contact")
    bench.deliver([PATIENT], sent)
    assert (
        _state(bench, patient),
        bench.count("log_entry"),
        bench.count("job"),
        bench.count("contact"),
    ) == before


def test_filing_is_told_in_the_patients_log_and_by_a_notice(bench: Bench, patient) -> None:
    known = len(read_log(bench.store, patient.account, patient.space_root()))
    # one notice in 24 h: whatever came in the tests before is two days old
    jobs, then = bench.count("job"), datetime.now(UTC) + timedelta(days=2)
    bench.deliver([PATIENT], with_archive("told", sample("ok-two-documents")), now=then)
    events = read_log(bench.store, patient.account, patient.space_root())[known:]
    assert [each.event.kind for each in events] == [EventKind.DELIVERED, EventKind.FILED, EventKind.FILED]
    assert {each.event.who.handle for each in events} == {"camille@b.localhost"}
    assert bench.count("job") == jobs + 1
    with bench.store.database.read() as connection:
        job = bench.store.jobs.list_jobs(connection, patient.account_id)[-1]
    notice = bench.services.outbound.open_notice(job)
    assert str(notice.recipient) == "proche@example.org"
    for word in ("camille", "b.localhost", "told", "279035121518989", "PAT-TROIS"):
        assert word not in notice.subject + notice.text, "that something waits; never what, never from whom"


def test_a_documents_key_opens_nothing_else(bench: Bench, patient) -> None:
    bench.deliver([PATIENT], with_archive("keys", sample("ok-two-documents")))
    rows = bench.documents(patient)
    mail = bench.rows(patient)[-1]
    opened = 0
    with bench.store.database.read() as connection:
        blobs = {
            blob_id: items.find_blob(connection, patient.account_id, blob_id)
            for blob_id in [row.blob_id for row in rows] + [mail.blob_id]
        }
    for row in rows[:4]:
        key, _info = bench._document_key(patient, row)
        for blob_id, blob in blobs.items():
            try:
                octets = blob.octets
                decryptor = Decryptor(
                    key, ctx("blob", blob_id), lambda lo, hi, o=octets: o[lo:hi], len(octets)
                )
                decryptor.read(0, 1)
                opened += 1
                assert blob_id == row.blob_id
            except Corrupt:
                assert blob_id != row.blob_id
    assert opened == min(4, len(rows))


def test_what_correspondents_wrote_is_folded_into_conversations(bench: Bench) -> None:
    patient = open_with_password(bench, OTHER)
    now = datetime.now(UTC)
    known = len(list_received(bench.store, patient))
    letters = [
        message("first", Subject="Bonjour"),
        message("second", Reply_To="secretariat@b.localhost"),
        message("third", sender="noa@b.localhost"),
        message("last", Subject="[FIN] Au revoir", X_MSS_MES="FIN"),
    ]
    for letter in letters:
        sender = "noa@b.localhost" if b"noa@" in letter else "camille@b.localhost"
        bench.deliver([OTHER], letter, sender=sender, now=now)
    received = list_received(bench.store, patient)[known:]
    assert {each.facts.message_id for each in received} == {
        message_id(name) for name in ("first", "second", "third", "last")
    }
    assert {each.name for each in received} == {"Camille FICTIF"}
    conversations = {
        str(each.correspondent): each
        for each in fold_conversations(list_received(bench.store, patient), bench.services.trust.current)
    }
    assert set(conversations) == {"camille@b.localhost", "noa@b.localhost"}
    assert conversations["noa@b.localhost"].state is ConversationState.OPEN
    doctor = open_with_password(bench, DOCTOR)
    assert list_received(bench.store, doctor) == []
    assert doctor.account.kind is AccountKind.PER


def test_the_samples_of_this_list_are_all_there_is() -> None:
    assert not set(FILED) & set(ASIDE)


def test_summaries_name_the_archive(bench: Bench, patient) -> None:
    bench.deliver([PATIENT], with_archive("named", sample("ok-lettre-adressage")))
    item = bench.page(patient)[-1]
    assert [part.filename for part in summary_of(item).parts if part.filename] == ["IHE_XDM.ZIP"]
