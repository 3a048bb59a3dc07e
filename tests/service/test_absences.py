"""Absent people's accounts answer by themselves: once, in the Unit of the delivery, and nobody else's business is in it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from harness.canary import find_traces
from harness.log_reading import read_log
from harness.smtp_harness import log_lines
from service.delivery_peers import ORIGIN, SECONDS, SENDER, Bench, make_bench, message, open_with_password
from sqlalchemy import update

from mailserver.app.housekeeping import Housekeeping
from mailserver.audit.events import EventKind
from mailserver.crypto.blob import Decryptor
from mailserver.crypto.ctx import ctx
from mailserver.mime.composer import Letter
from mailserver.mime.trace import Hop
from mailserver.model.absence import Absence
from mailserver.model.account import AccountKind
from mailserver.model.address import parse_address
from mailserver.model.errors import Corrupt, Denied, Malformed, NotFound, Unavailable
from mailserver.service import absence_replies
from mailserver.service.delivery import Outcome
from mailserver.service.keys import OpenAccount
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.store import items, schema
from mailserver.store.jobs import JobRow

DOCTOR, COLLEAGUE, PATIENT = "alix@a.localhost", "lou@a.localhost", "279035121518989@a.localhost"
REMOTE_PATIENT = "146026322000196@b.localhost"
PASSWORD = "un mot de passe long"
PLACED, FOLDED = Outcome.PLACED, Outcome.FOLDED
NOW = datetime.now(UTC)
TODAY = NOW.date()


def away(
    text: str = "En congé.", *, days: int = 3, start: date = TODAY, colleague: str = COLLEAGUE
) -> Absence:
    to = parse_address(colleague) if colleague else None
    return Absence(start, start + timedelta(days=days), text, to, "appelez le secrétariat")


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    bench = make_bench(tmp_path)
    bench.node.add(DOCTOR, name="Dr Alix DEMO", password=PASSWORD)
    bench.node.add(COLLEAGUE, name="Dr Lou DEMO", password=PASSWORD)
    yield bench
    bench.node.close()


@pytest.fixture
def doctor(bench: Bench) -> OpenAccount:
    return open_with_password(bench, DOCTOR)


def leave(bench: Bench, account: OpenAccount, absence: Absence | None = None, now: datetime = NOW) -> None:
    bench.services.absence_settings.change(account, absence or away(), ORIGIN, now)


def receive(bench: Bench, number: object, *, to: str = DOCTOR, sender: str = SENDER, **more) -> list[Outcome]:
    """From the other operator's Camille to the doctor, by name."""
    now = more.pop("now", NOW)
    octets = message(number, sender=sender, **({"To": to} | more))
    return bench.deliver([to], octets, sender=sender, now=now)


def submit(bench: Bench, account: OpenAccount, number: object, *, to: str = DOCTOR, is_told: bool = False):
    """From one of ours, as a mail client or, when told, as the web pages hand it in."""
    submission, sender = bench.services.submission, account.addresses[0]
    octets = message(number, sender=str(sender), To=to)
    _decision, destination = submission.decide_recipient(parse_address(to), 0, NOW)
    assert destination is not None
    intake = submission.begin(Hop("client", "127.0.0.1", "a.localhost", "ESMTPSA", "x1"), sender, NOW)
    try:
        intake.write(octets)
        intake.finish()
        envelope = SubmittedEnvelope(sender, (destination,), ORIGIN, is_told=is_told)
        verdict = submission.accept(account, envelope, intake, NOW)
        assert verdict.decision.accepted, verdict.decision
        return [future.result(SECONDS) for future in verdict.commits]
    finally:
        intake.close()


def jobs_of(bench: Bench) -> list[JobRow]:
    with bench.store.database.read() as connection:
        return bench.store.jobs.list_jobs(connection)


def sent_by(bench: Bench, job: JobRow) -> str:
    """What the gateway will send."""
    order = bench.services.outbound.open_relay(job)
    with bench.store.database.read() as connection:
        blob = items.find_blob(connection, job.account_id, job.blob_id)
    octets = blob.octets
    decryptor = Decryptor(
        order.data_key, ctx("blob", blob.blob_id), lambda lo, hi: octets[lo:hi], blob.stored_bytes
    )
    return decryptor.read(order.skip_bytes, order.size_bytes).decode()


def inbox(bench: Bench, account: OpenAccount) -> list[str]:
    return [bench.read(account, item).decode() for item in bench.page(account)]


def test_a_remote_correspondent_is_answered_once(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    assert receive(bench, "one") == [PLACED]
    (job,) = jobs_of(bench)
    order = bench.services.outbound.open_relay(job)
    assert (order.sender, str(order.recipient)) == (None, SENDER)
    reply = sent_by(bench, job)
    head, body = reply.split("\r\n\r\n", 1)
    assert "From: Dr_Alix_DEMO <alix@a.localhost>\r\n" in head
    assert f"To: {SENDER}\r\n" in head
    assert "Auto-Submitted: auto-replied" in head
    assert "In-Reply-To: <one@b.localhost>" in head
    assert "References: <one@b.localhost>" in head
    assert "X-MSS-MES" not in head
    assert "Lettre one" not in reply, "the original's subject may name a patient"
    assert "Return-Path" not in head
    assert COLLEAGUE in body
    assert receive(bench, "two") == [PLACED]
    assert receive(bench, "one") == [FOLDED]
    assert jobs_of(bench) == [job]
    assert receive(bench, "three", sender="noa@b.localhost") == [PLACED]
    assert len(jobs_of(bench)) == 2, "another correspondent"


def test_who_is_not_away_says_nothing(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor, away(start=TODAY + timedelta(days=1)))
    receive(bench, "early")
    assert jobs_of(bench) == []
    receive(bench, "during", now=NOW + timedelta(days=1))
    assert len(jobs_of(bench)) == 1
    receive(bench, "late", sender="noa@b.localhost", now=NOW + timedelta(days=9))
    assert len(jobs_of(bench)) == 1
    bench.services.absence_settings.change(doctor, None, ORIGIN, NOW)
    receive(bench, "back", sender="milan@b.localhost", now=NOW + timedelta(days=1))
    assert len(jobs_of(bench)) == 1


def test_machines_are_not_answered(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    receive(bench, "auto", Auto_Submitted="auto-replied")
    receive(bench, "bulk", Precedence="bulk")
    receive(bench, "list", List_Id="<news.b.localhost>")
    receive(bench, "robot", sender="no-reply@b.localhost")
    receive(bench, "bcc", To="somebody@b.localhost")
    receive(bench, "report", Content_Type='multipart/report; boundary="x"')
    assert jobs_of(bench) == []


def test_another_absence_is_told_again_and_a_corrected_one_is_not(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    receive(bench, "one")
    leave(bench, doctor, away("En congé jusqu’à lundi."))
    receive(bench, "two")
    assert len(jobs_of(bench)) == 1
    bench.services.absence_settings.change(doctor, None, ORIGIN, NOW)
    leave(bench, doctor)
    receive(bench, "three")
    assert len(jobs_of(bench)) == 2


def test_a_patient_elsewhere_is_told_and_no_exchange_opens(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    receive(bench, "patient", sender=REMOTE_PATIENT)
    (job,) = jobs_of(bench)
    reply = sent_by(bench, job)
    assert "X-MSS-MES: FIN\r\n" in reply
    assert "15 (SAMU)" in reply


def test_somebody_here_is_answered_in_their_inbox(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    lou = open_with_password(bench, COLLEAGUE)
    assert submit(bench, lou, "one") == [PLACED, PLACED, PLACED]
    (reply,) = inbox(bench, lou)
    assert reply.startswith("Return-Path: <>\r\n")
    assert "Auto-Submitted: auto-replied\r\n" in reply
    assert "In-Reply-To: <one@b.localhost>" in reply
    assert jobs_of(bench) == []
    assert submit(bench, lou, "two") == [PLACED, PLACED]
    assert len(inbox(bench, lou)) == 1


def test_who_saw_it_before_sending_is_not_told_again(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    lou = open_with_password(bench, COLLEAGUE)
    assert submit(bench, lou, "one", is_told=True) == [PLACED, PLACED]
    assert inbox(bench, lou) == []


def test_two_absent_people_do_not_answer_one_another_for_ever(bench: Bench, doctor: OpenAccount) -> None:
    lou = open_with_password(bench, COLLEAGUE)
    leave(bench, doctor)
    leave(bench, lou, away(colleague=DOCTOR))
    assert submit(bench, lou, "one") == [PLACED, PLACED, PLACED]
    assert (len(inbox(bench, lou)), len(inbox(bench, doctor))) == (1, 1)
    assert jobs_of(bench) == []


def test_a_patient_here_who_uses_a_mail_client(bench: Bench, doctor: OpenAccount) -> None:
    """It opens no conversation, and no notice goes to the ordinary address."""
    bench.node.add_patient(PATIENT, contact="dominique@ordinaire.example")
    patient = open_with_password(bench, PATIENT)
    submit(bench, doctor, "hello", to=PATIENT)
    before = len(jobs_of(bench)), bench.count("contact")
    leave(bench, doctor)
    submit(bench, patient, "question")
    reply = inbox(bench, patient)[-1]
    assert "X-MSS-MES: FIN\r\n" in reply
    assert (len(jobs_of(bench)), bench.count("contact")) == before
    events = [entry.event for entry in read_log(bench.store, patient.account, patient.space_root())]
    assert any(each.kind is EventKind.DELIVERED and "absence" in each.what.words for each in events)


def test_a_crash_between_the_two_units_loses_and_doubles_nothing(bench: Bench, doctor: OpenAccount) -> None:
    """The reply's own Unit fails: the sender hears it, tries again, and gets it then."""
    leave(bench, doctor)
    lou = open_with_password(bench, COLLEAGUE)
    replies = bench.services.delivery._replies
    claim = replies.claim_here

    def fail(_connection, _reply):
        raise OSError

    replies.claim_here = fail
    try:
        with pytest.raises(Exception):  # whatever the writer makes of it
            submit(bench, lou, "one")
    finally:
        replies.claim_here = claim
    assert inbox(bench, lou) == []
    assert submit(bench, lou, "one") == [FOLDED, PLACED, FOLDED]
    assert submit(bench, lou, "one") == [FOLDED, FOLDED]
    assert len(inbox(bench, lou)) == 1
    assert len(inbox(bench, doctor)) == 1


def test_a_delivery_and_its_reply_are_one_transaction(bench: Bench, doctor: OpenAccount, monkeypatch) -> None:
    """What fails after the reply's job takes both back; the retry brings both, once."""
    leave(bench, doctor)
    add_entries = absence_replies.add_entries

    def fail(*_arguments: object) -> None:
        raise Unavailable("database")

    monkeypatch.setattr(absence_replies, "add_entries", fail)
    with pytest.raises(Unavailable):
        receive(bench, "one")
    assert (inbox(bench, doctor), jobs_of(bench)) == ([], [])
    monkeypatch.setattr(absence_replies, "add_entries", add_entries)
    assert [receive(bench, "one") for _time in range(3)] == [[PLACED], [FOLDED], [FOLDED]]
    assert (len(inbox(bench, doctor)), len(jobs_of(bench))) == (1, 1)


def test_so_many_replies_a_day(bench: Bench, doctor: OpenAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(absence_replies, "MOST_A_DAY", 2)
    leave(bench, doctor)
    for number in range(4):
        assert receive(bench, number, sender=f"p{number}@b.localhost") == [PLACED]
    assert len(jobs_of(bench)) == 2


def test_a_shared_box_is_away_too(bench: Bench) -> None:
    box = "service@a.localhost"
    bench.node.add(box, AccountKind.ORG, name="Cardiologie", members=(parse_address(COLLEAGUE),))
    bench.services.absence_settings.change_of(parse_address(box), away(colleague=DOCTOR), NOW)
    receive(bench, "one", to=box)
    (job,) = jobs_of(bench)
    assert "From: Cardiologie <service@a.localhost>" in sent_by(bench, job)


def test_a_member_who_administers_the_box_says_that_it_is_away(bench: Bench) -> None:
    """In the box's log under the person's name; another member may not."""
    members = (parse_address(COLLEAGUE), parse_address(DOCTOR))
    box = bench.node.add("service@a.localhost", AccountKind.ORG, name="Cardiologie", members=members)
    lou, alix = (open_with_password(bench, address) for address in (COLLEAGUE, DOCTOR))
    opened = [bench.services.boxes.open_box(each, box.account_id, ORIGIN, None) for each in (lou, alix)]
    leave(bench, opened[0], away(colleague=""))
    for act in (
        lambda: leave(bench, opened[1]),
        lambda: bench.services.absence_settings.find_absence(opened[1], NOW),
    ):
        with pytest.raises(Denied, match="right"):
            act()
    receive(bench, "one", to="service@a.localhost")
    assert len(jobs_of(bench)) == 1
    with pytest.raises(Denied):
        opened[0].space_root()
    assert bench.services.absence_settings.find_absence(opened[0], NOW) == away(colleague="")


def test_each_act_is_in_the_accounts_log(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    receive(bench, "one")
    bench.services.absence_settings.change_of(doctor.addresses[0], None, NOW)
    events = [entry.event for entry in read_log(bench.store, doctor.account, doctor.space_root())]
    set_, sent, ended = events[-3:]
    assert (set_.kind, set_.who.name, set_.what.words) == (
        EventKind.SETTING_CHANGED,
        "Dr Alix DEMO",
        "absence",
    )
    assert {"away-set", away().last_day.isoformat()} == {value for _name, value in set_.what.parameters}
    assert (sent.kind, sent.who.name) == (EventKind.SENT, "Serveur de messagerie")
    assert SENDER in dict(sent.what.parameters).values()
    assert (ended.kind, dict(ended.what.parameters)) == (
        EventKind.ADMINISTRATOR_ACT,
        {ended.what.parameters[0][0]: "away-ended"},
    )


@pytest.mark.parametrize(
    ("colleague", "detail"),
    [
        ("x@ailleurs.example", "recipient-domain-unlisted"),
        ("personne@a.localhost", "unknown-recipient"),
        (DOCTOR, "own"),
        (REMOTE_PATIENT, "accepted"),
    ],
)
def test_a_colleague_whom_nobody_may_write_to(
    bench: Bench, doctor: OpenAccount, colleague: str, detail: str
) -> None:
    with pytest.raises(Malformed) as refused:
        leave(bench, doctor, away(colleague=colleague))
    assert (refused.value.code, refused.value.detail) == ("away-colleague", detail)
    assert bench.services.absence_settings.find_absence(doctor, NOW) is None


def test_what_is_over_is_forgotten(bench: Bench, doctor: OpenAccount) -> None:
    leave(bench, doctor)
    receive(bench, "one")
    sweep = Housekeeping(bench.services).sweep_once
    sweep(away().ends_at - timedelta(seconds=1))
    assert (bench.count("absence"), bench.count("absence_reply")) == (1, 1)
    sweep(away().ends_at)
    assert (bench.count("absence"), bench.count("absence_reply")) == (0, 0)


def test_what_cannot_be_set(bench: Bench, doctor: OpenAccount) -> None:
    with pytest.raises(Malformed, match="away-days"):
        leave(bench, doctor, away(start=TODAY - timedelta(days=9)))
    bench.node.add_patient(PATIENT)
    with pytest.raises(Denied, match="away-patient"):
        leave(bench, open_with_password(bench, PATIENT))
    settings = bench.services.absence_settings
    for act in (lambda a: settings.find_of(a, NOW), lambda a: settings.change_of(a, None, NOW)):
        with pytest.raises(NotFound, match="account"):
            act(parse_address("personne@a.localhost"))


def test_an_altered_absence_says_nothing_and_stops_no_mail(bench: Bench, doctor: OpenAccount) -> None:
    """A database writer cannot speak in the doctor's name, nor keep their mail away."""
    leave(bench, doctor)
    with bench.store.database.write() as connection:
        connection.execute(update(schema.absence).values(ends_at=schema.absence.c.ends_at + 1))
    with log_lines() as log:
        assert receive(bench, "one") == [PLACED]
    assert "an absence cannot be read" in log.text
    assert "@" not in log.text
    assert jobs_of(bench) == []
    with pytest.raises(Corrupt):
        bench.services.absence_settings.find_absence(doctor, NOW)
    leave(bench, doctor)
    assert bench.services.absence_settings.find_absence(doctor, NOW) == away()


def test_a_reply_that_cannot_be_written_stops_no_mail(bench: Bench, doctor: OpenAccount, monkeypatch) -> None:
    def fail(*_arguments: object) -> Letter:
        raise Malformed("header-value")

    monkeypatch.setattr(absence_replies, "format_mail", fail)
    leave(bench, doctor)
    with log_lines() as log:
        assert receive(bench, "one") == [PLACED]
    assert "an automatic reply was not written" in log.text
    assert "@" not in log.text
    assert "Lettre" not in log.text


def test_nothing_of_it_lies_readable(bench: Bench, doctor: OpenAccount) -> None:
    words = ["marguerite-hélianthe", "poste-clématite", "confrere.saponaire"]
    bench.node.add(f"{words[2]}@a.localhost")
    text, emergency, colleague = words
    absence = Absence(TODAY, TODAY, text, parse_address(f"{colleague}@a.localhost"), emergency)
    leave(bench, doctor, absence)
    receive(bench, "one", sender="ecrivain.gentiane@b.localhost")
    assert text in sent_by(bench, jobs_of(bench)[0]).replace("=C3=A9", "é")
    assert bench.services.absence_settings.find_absence(doctor, NOW) == absence
    assert find_traces(bench.node.folder, [*words, "ecrivain.gentiane"]) == []
