"""The rules of patients where mail comes in and goes out: by SMTP from peers and from our own accounts."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from service.delivery_peers import (
    ORIGIN,
    SENDER,
    Bench,
    make_bench,
    message,
    message_id,
    open_with_password,
    with_archive,
)
from unit.documents.xdm_archives import sample

from mailserver.mime.trace import Hop
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.model.patient import Ins
from mailserver.policy.decision import Reason
from mailserver.policy.patient_rules import PATIENT_MESSAGE_BYTES, ReplyState, parse_pharmacies
from mailserver.policy.wording import wording_for
from mailserver.service.correspondence import NEW_THREAD
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.service.web_contacts import WebContacts

PATIENT, CHILD = "279035121518989@a.localhost", "255069999904221@a.localhost"
ELSEWHERE = "146026322000196@b.localhost"
DOCTOR, PHARMACY, CHEMIST = "doc@a.localhost", "pharmacie@a.localhost", "chemist@a.localhost"
PASSWORD = "un mot de passe long"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = make_bench(tmp_path_factory.mktemp("patient-mail"))
    bench.node.add_patient(PATIENT)
    bench.node.add_patient(CHILD, Ins("1.2.250.1.213.1.4.10", "255069999904221"), name="Enfant PAT-TROIS")
    for address in (DOCTOR, CHEMIST):
        bench.node.add(address, password=PASSWORD)
    yield bench
    bench.node.close()


def submit(bench: Bench, sender: str, recipients: list[str], octets: bytes, stated_bytes: int = 0) -> Reason:
    """By SMTP: RCPTs, DATA, and the reason of the first refusal."""
    submission, now = bench.services.submission, datetime.now(UTC)
    account, author = open_with_password(bench, sender), parse_address(sender)
    destinations = []
    for rank, each in enumerate(recipients):
        decision, found = submission.decide_recipient(parse_address(each), rank, now, stated_bytes)
        if found is None:
            return decision.reason
        destinations.append(found)
    intake = submission.begin(Hop("client", "127.0.0.1", "a.localhost", "ESMTPSA", "x1"), author, now)
    try:
        intake.write(octets)
        intake.finish()
        envelope = SubmittedEnvelope(author, tuple(destinations), ORIGIN)
        verdict = submission.accept(account, envelope, intake, now)
        for commit in verdict.commits:
            commit.result(60)
        return verdict.decision.reason
    finally:
        intake.close()


def sized(number: object, size: int, sender: str = SENDER) -> bytes:
    head = message(number, sender=sender, body=b"")
    return head + b"x" * (size - len(head))


def contacts(bench: Bench, patient: str = PATIENT) -> dict[str, ReplyState]:
    listed = WebContacts(bench.services.submission).list_contacts(
        open_with_password(bench, patient), datetime.now(UTC)
    )
    return {str(each.person.address): each.state for each in listed}


def test_a_professional_of_ours_opens_the_conversation_by_smtp(bench: Bench) -> None:
    answer = message("answer", sender=CHILD, In_Reply_To=message_id("open"))
    assert submit(bench, CHILD, [DOCTOR], answer) is Reason.PATIENT_NEVER_CONTACTED
    assert submit(bench, DOCTOR, [CHILD], message("open", sender=DOCTOR)) is Reason.ACCEPTED
    assert submit(bench, CHILD, [DOCTOR], answer) is Reason.ACCEPTED
    assert contacts(bench, CHILD)[DOCTOR] is ReplyState.NEW_MESSAGE


def test_what_wants_no_answer_by_either_spelling(bench: Bench) -> None:
    for spelling in ("X_MSS_MES", "X-MSS-MES"):
        number = f"fin {spelling}"
        raw = message(number).replace(b"Subject:", f"{spelling}: FIN\r\nSubject:".encode())
        bench.deliver([PATIENT], raw)
        answer = message(f"to {number}", sender=PATIENT, In_Reply_To=message_id(number))
        assert submit(bench, PATIENT, [SENDER], answer) is Reason.MESSAGE_CLOSED


def test_an_encoded_subject_with_a_space_is_no_end(bench: Bench) -> None:
    noa = "noa@b.localhost"
    bench.deliver([PATIENT], message("spaced", sender=noa, Subject="=?utf-8?q?_=5BFIN=5D?="), sender=noa)
    assert contacts(bench)[noa] is ReplyState.NEW_MESSAGE
    bench.deliver([PATIENT], message("ended", sender=noa, Subject="=?utf-8?q?=5BFIN=5D?="), sender=noa)
    assert contacts(bench)[noa] is ReplyState.REPLY_BLOCKED


def test_no_patient_writes_to_another_operators_patient(bench: Bench) -> None:
    bench.deliver([PATIENT], message("known"))
    for recipients in ([ELSEWHERE], [SENDER, ELSEWHERE], [SENDER, CHILD]):
        raw = message("mixed", sender=PATIENT)
        assert submit(bench, PATIENT, recipients, raw) is Reason.PATIENT_TO_PATIENT


def test_another_operators_patient_writes_to_professionals_only(bench: Bench) -> None:
    """Whom they may write to there is their operator's to judge: it alone knows who wrote to them."""
    raw = message("foreign", sender=ELSEWHERE)
    assert bench.accept([DOCTOR], raw, sender=ELSEWHERE).decision.accepted
    verdict = bench.accept([DOCTOR, PATIENT], message("foreign 2", sender=ELSEWHERE), sender=ELSEWHERE)
    assert (verdict.decision.reason, str(verdict.named)) == (Reason.PATIENT_TO_PATIENT, PATIENT)


def test_patient_and_professional_on_one_message(bench: Bench) -> None:
    assert bench.deliver([PATIENT, DOCTOR], message("both"))
    raw = message("both out", sender=DOCTOR)
    assert submit(bench, DOCTOR, [PATIENT, CHEMIST, SENDER, ELSEWHERE], raw) is Reason.ACCEPTED


def test_a_childs_archive_is_not_filed_with_the_parent(bench: Bench) -> None:
    child = open_with_password(bench, CHILD)
    bench.deliver([CHILD], with_archive("of the parent", sample("ok-lettre-adressage")))
    assert bench.documents(child) == []


@pytest.mark.parametrize(
    ("beyond", "reason"), [(0, Reason.ACCEPTED), (1, Reason.MESSAGE_TOO_LARGE_FOR_PATIENT)]
)
def test_twenty_five_megabytes(bench: Bench, beyond: int, reason: Reason) -> None:
    size = PATIENT_MESSAGE_BYTES + beyond
    verdict = bench.accept([DOCTOR, PATIENT], sized(f"size {beyond}", size))
    assert verdict.decision.reason is reason
    for commit in verdict.commits:
        commit.result(60)
    assert submit(bench, DOCTOR, [ELSEWHERE], sized(f"out {beyond}", size, DOCTOR)) is reason


def test_a_stated_size_is_refused_for_the_patient_alone(bench: Bench) -> None:
    reception, now = bench.services.reception, datetime.now(UTC)
    size = PATIENT_MESSAGE_BYTES + 1
    verdicts = [
        reception.decide_recipient(parse_address(each), 0, now, size)[0].reason for each in (DOCTOR, PATIENT)
    ]
    assert verdicts == [Reason.ACCEPTED, Reason.MESSAGE_TOO_LARGE_FOR_PATIENT]
    # of ours, what travels may be smaller than what is handed in
    decision, _destination = bench.services.submission.decide_recipient(
        parse_address(ELSEWHERE), 0, now, size
    )
    assert decision.accepted


def test_who_is_no_patient_here_is_told_so_at_rcpt(bench: Bench) -> None:
    number = f"185012A001001{97 - int('1850119001001') % 97:02d}"
    gone = f"{number.lower()}@a.localhost"
    reception, now = bench.services.reception, datetime.now(UTC)
    reason = lambda text: reception.decide_recipient(parse_address(text), 0, now)[0].reason
    assert reason(gone) is Reason.UNKNOWN_PATIENT
    assert reason("279035121518980@a.localhost") is Reason.UNKNOWN_PATIENT, "a wrong key"
    assert reason("nobody@a.localhost") is Reason.UNKNOWN_RECIPIENT
    bench.node.add_patient(gone, Ins("1.2.250.1.213.1.4.10", number), name="Partie LOIN")
    bench.services.administration.disable_account(parse_address(gone), now)
    assert reason(gone) is Reason.CLOSED_PATIENT
    for each in (Reason.UNKNOWN_PATIENT, Reason.CLOSED_PATIENT, Reason.MESSAGE_TOO_LARGE_FOR_PATIENT):
        assert "patient" in wording_for(each).french


@pytest.fixture
def with_pharmacies(bench: Bench) -> Iterator[Bench]:
    submission = bench.services.submission
    before = submission._limits
    listed = parse_pharmacies([PHARMACY, CHEMIST, "b.localhost"])
    submission._limits = replace(before, pharmacies=listed)
    yield bench
    submission._limits = before


def test_a_pharmacy_takes_a_first_message(with_pharmacies: Bench) -> None:
    bench = with_pharmacies
    bench.node.add(PHARMACY, AccountKind.ORG, has_app_password=False)
    raw = message("first", sender=CHILD)
    assert submit(bench, CHILD, [PHARMACY], raw) is Reason.ACCEPTED
    assert submit(bench, CHILD, ["paris@b.localhost"], raw) is Reason.ACCEPTED
    assert submit(bench, CHILD, [CHEMIST], raw) is Reason.PATIENT_NEVER_CONTACTED, "a person's own box"
    assert contacts(bench, CHILD)[PHARMACY] is ReplyState.NEW_MESSAGE
    assert contacts(bench, CHILD)[CHEMIST] is ReplyState.NO_REPLY


def test_a_contact_that_is_gone_is_inactive(bench: Bench) -> None:
    leaving = "leaving@a.localhost"
    bench.node.add(leaving, password=PASSWORD)
    assert submit(bench, leaving, [PATIENT], message("bye", sender=leaving)) is Reason.ACCEPTED
    assert contacts(bench)[leaving] is ReplyState.NEW_MESSAGE
    bench.services.administration.disable_account(parse_address(leaving), datetime.now(UTC))
    assert contacts(bench)[leaving] is ReplyState.REPLY_BLOCKED
    standing = bench.services.submission.correspondence(open_with_password(bench, PATIENT))
    decision, found = bench.services.submission.decide_mailing(
        standing, parse_address(leaving), NEW_THREAD, datetime.now(UTC)
    )
    assert (decision.reason, found) == (Reason.DISABLED_ACCOUNT, None)


MISMATCHES = {
    "codes-differ": {"X-MSS-CODECDA": "34112-3"},
    "ins-differs": {"X-MSS-CODECDA": "96349-6", "X-MSS-INS": "N"},
}


@pytest.mark.parametrize("word", MISMATCHES)
@pytest.mark.parametrize("recipient", [PATIENT, DOCTOR])
def test_headers_that_differ_are_logged_by_a_word(
    bench: Bench, caplog: pytest.LogCaptureFixture, word: str, recipient: str
) -> None:
    raw = with_archive(f"{word} {recipient[:3]}", sample("ok-lettre-adressage"), **MISMATCHES[word])
    with caplog.at_level(logging.WARNING, "pli.documents"):
        bench.deliver([recipient], raw)
    (record,) = [each for each in caplog.records if each.name == "pli.documents"]
    assert (record.getMessage(), record.code) == ("X-MSS headers differ", word)
    for private in ("279035121518989", "96349-6", "34112-3", "localhost"):
        assert private not in str(record.__dict__.get("code")) + record.getMessage()


def test_headers_that_agree_are_not_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    stated = {"X-MSS-CODECDA": "96349-6", "X-MSS-INS": "O"}
    bench.deliver([PATIENT, DOCTOR], with_archive("agree", sample("ok-lettre-adressage"), **stated))
    assert [each for each in caplog.records if each.name == "pli.documents"] == []


def test_a_mismatch_may_be_refused(bench: Bench) -> None:
    """Received and relayed; nothing of the message stays."""
    reception, submission = bench.services.reception, bench.services.submission
    before = reception._limits
    reception._limits = submission._limits = replace(before, refuses_mss_mismatch=True)
    try:
        doctor = open_with_password(bench, DOCTOR)
        known = len(bench.rows(doctor))
        for number, (word, stated) in enumerate(MISMATCHES.items()):
            raw = with_archive(f"refused {word}", sample("ok-lettre-adressage"), **stated)
            verdict = bench.accept([DOCTOR], raw)
            assert (verdict.decision.reason, list(verdict.commits)) == (Reason.MSS_MISMATCH, [])
            out = with_archive(f"out {word}", sample("ok-lettre-adressage"), sender=DOCTOR, **stated)
            jobs = bench.count("job")
            assert submit(bench, DOCTOR, ["noa@b.localhost"], out) is Reason.MSS_MISMATCH, number
            assert bench.count("job") == jobs
        assert len(bench.rows(doctor)) == known
        lying = with_archive("unread", sample("ko-hash-mismatch"), **MISMATCHES["codes-differ"])
        assert bench.accept([DOCTOR], lying).decision.accepted, "of what cannot be read nothing is known"
    finally:
        reception._limits = submission._limits = before
