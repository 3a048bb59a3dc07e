"""A letter with documents from one operator to a patient's space at another, and what its sender learns: the receipt
travels back through both queues.
"""

import email
import email.policy
import logging
from datetime import UTC, datetime, timedelta

import pytest
from harness.web_node import PASSWORD, make_peers
from service.delivery_peers import ORIGIN, with_archive
from unit.documents.xdm_archives import sample
from unit.mime.mime_messages import scan

from mailserver.crypto.secret import random_id
from mailserver.crypto.x509 import certificate_facts, der_from_pem
from mailserver.documents.reasons import MdnCode
from mailserver.mime.notices import find_notice
from mailserver.mime.summary_wire import parse_summary
from mailserver.mime.trace import Hop
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.model.notice import NoticeState
from mailserver.model.patient import Ins
from mailserver.service import integration_receipts
from mailserver.service.delivery_reports import answered
from mailserver.service.receive import PeerEnvelope
from mailserver.service.relay import RelayQueue
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.service.timelines import Timelines
from mailserver.store import schema
from mailserver.store.jobs import Lane

DOCTOR = "camille@b.localhost"
PATIENT, OTHER = "279035121518989@a.localhost", "255069999904221@a.localhost"
ASKED = {"Disposition_Notification_To": f"Camille FICTIF <{DOCTOR}>"}
NUMBER = "un"
MESSAGE_ID = f"<{NUMBER}@b.localhost>"


class Operators:
    """Theirs (b) writes, ours (a) has the patients."""

    def __init__(self, folder):
        self.ours, self.theirs = make_peers(folder)
        self.ours.add_patient(PATIENT)
        self.ours.add_patient(OTHER, Ins("1.2.250.1.213.1.4.10", "255069999904221"), name="Autre PERSONNE")
        made = self.theirs.add(DOCTOR, password=PASSWORD)
        self.doctor = self.theirs.open(DOCTOR, made.app_password)
        self.now = datetime.now(UTC)

    def close(self):
        self.ours.close()
        self.theirs.close()

    def write(self, octets, to, sender=DOCTOR):
        submission, sender = self.theirs.services.submission, parse_address(sender)
        intake = submission.begin(Hop("poste", "127.0.0.1", "b.localhost", "ESMTPSA", "x"), sender, self.now)
        intake.write(octets)
        intake.finish()
        _decision, destination = submission.decide_recipient(parse_address(to), 0, self.now)
        envelope = SubmittedEnvelope(sender, (destination,), ORIGIN)
        verdict = submission.accept(self.doctor, envelope, intake, self.now)
        intake.close()
        assert verdict.decision.accepted, verdict.decision
        for commit in verdict.commits:
            commit.result()

    def carry(self, source, target):
        """What waits in one operator's queue goes to the other's MX; the octets of each message."""
        services, carried = source.services, []
        queue = RelayQueue(services.store, services.outbound, services.reports, random_id())
        for row in queue.lease(self.now, 20):
            if row.lane is Lane.NOTICE:
                continue
            outgoing = queue.open_message(row)
            octets = outgoing.read(0, outgoing.size_bytes)
            self._receive(source, target, outgoing.order, octets)
            queue.settle(row, answered(250, "2.0.0 taken"), self.now)
            carried.append(octets)
        return carried

    def _receive(self, source, target, order, octets):
        reception = target.services.reception
        dn = certificate_facts(der_from_pem((source.folder / "tls" / "operator.pem").read_bytes())).dn
        decision, recipient = reception.decide_recipient(order.recipient, 0, self.now)
        assert recipient is not None, decision
        intake = reception.begin(Hop("mx", "127.0.0.1", "mx", "ESMTPS", "x"), order.sender, self.now)
        intake.write(octets)
        intake.finish()
        verdict = reception.accept(PeerEnvelope(dn, order.sender, (recipient,)), intake, self.now)
        intake.close()
        assert verdict.decision.accepted, verdict.decision
        for commit in verdict.commits:
            commit.result()

    def inbox(self):
        services, account = self.theirs.services, self.doctor
        box = services.mailboxes.load_by_role(account, Role.INBOX)
        permit = services.permits.permit(account, ORIGIN, self.now)
        found = []
        for opened in services.messages.page(account, box.mailbox_id, [(1, 1 << 31)]):
            size = parse_summary(opened.summary).size_bytes
            found.append(services.messages.reader(account, opened, size, permit).read(0, size))
        return found

    def heard(self):
        account = self.theirs.services.keys.open_with_password(DOCTOR, PASSWORD)[0]
        (timeline,) = Timelines(self.theirs.services.store).find_sent(account, MESSAGE_ID)
        return timeline.recipients[0].heard

    def count(self, table):
        with self.ours.services.store.database.read() as connection:
            return len(connection.execute(table.select()).all())

    def jobs(self):
        with self.ours.services.store.database.read() as connection:
            rows = self.ours.services.store.jobs.list_jobs(connection)
        return [row for row in rows if row.lane is Lane.RELAY]


@pytest.fixture
def operators(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLI_OPERATOR_PRODUCT_REFERENCE", "DEV935997")
        operators = Operators(tmp_path)
    yield operators
    operators.close()


def test_set_aside_and_the_sender_knows_why(operators, caplog):
    """The archive is about another patient than the one written to."""
    caplog.set_level(logging.DEBUG)
    archive = sample("ok-lettre-adressage")
    operators.write(with_archive(NUMBER, archive, Subject="XDM/1.0/DDM+CR CORSE", **ASKED), OTHER)
    operators.carry(operators.theirs, operators.ours)
    assert operators.count(schema.set_aside) == 1
    assert operators.heard().state is NoticeState.RELAYED, "that server makes no reports of delivery"
    (receipt,) = operators.carry(operators.ours, operators.theirs)
    heard = operators.heard()
    assert (heard.state, heard.code) == (NoticeState.FAILED, MdnCode.INS_DIFFERS)
    (mail,) = operators.inbox()
    assert mail.startswith(b"Return-Path: <>\r\n")
    parsed = email.message_from_bytes(mail, policy=email.policy.default)
    assert parsed["subject"] == "[KO Intégration système !][904] XDM/1.0/DDM+CR CORSE"
    assert parsed["from"] == OTHER
    assert parsed["x-mss-nil"] == "DEV935997"
    assert parsed["x-mss-codecda"] is None, "what comes back is no new document"
    text, _fields, original = parsed.iter_parts()
    assert "904" in text.get_content()
    assert "Vérifiez l'adresse et l'INS" in text.get_content()
    (attached,) = original.get_content().iter_attachments()
    assert attached.get_content() == archive
    assert b"Return-Path" not in receipt, "the original is as it was handed in"
    said = caplog.text + repr([record.__dict__ for record in caplog.records])
    for private in ("CORSE", "255069999904221", "camille", "un@b.localhost"):
        assert private not in said


def test_filed_and_the_sender_knows_it(operators):
    operators.write(with_archive(NUMBER, sample("ok-lettre-adressage"), **ASKED), PATIENT)
    operators.carry(operators.theirs, operators.ours)
    assert operators.count(schema.document) == 1
    operators.carry(operators.ours, operators.theirs)
    assert (operators.heard().state, operators.heard().code) == (NoticeState.PROCESSED, 0)
    operators.now += timedelta(hours=25)
    assert operators.theirs.services.overdue.tell_once(operators.now) == 0


@pytest.mark.parametrize(
    ("name", "code"),
    [("ko-hash-mismatch", 906), ("ko-patient-differs-cda-vs-metadata", 904), ("nist-lowercase-svn", 905)],
)
def test_each_reason_has_its_code(operators, name, code):
    operators.write(with_archive(NUMBER, sample(name), **ASKED), PATIENT)
    operators.carry(operators.theirs, operators.ours)
    (receipt,) = operators.carry(operators.ours, operators.theirs)
    found = find_notice(scan(receipt), lambda start, stop: receipt[start:stop])
    assert [(each.state, each.code) for each in found.news] == [(NoticeState.FAILED, code)]
    assert operators.heard().code == code


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Disposition_Notification_To": "autre@b.localhost"},
        {"Disposition_Notification_To": "camille@c.localhost"},
        ASKED | {"Auto_Submitted": "auto-generated"},
        ASKED | {"Auto_Submitted": "auto-replied"},
    ],
)
def test_no_receipt_that_was_not_asked_for(operators, headers):
    operators.write(with_archive(NUMBER, sample("ok-lettre-adressage"), **headers), OTHER)
    operators.carry(operators.theirs, operators.ours)
    assert operators.count(schema.set_aside) == 1
    assert operators.jobs() == []


def test_a_letter_without_documents_has_none(operators):
    octets = b"".join(
        [b"From: camille@b.localhost\r\nMessage-ID: <un@b.localhost>\r\nSubject: x\r\n",
         f"Disposition-Notification-To: {DOCTOR}\r\n\r\nBonjour\r\n".encode()]
    )  # fmt: skip
    operators.write(octets, PATIENT)
    operators.carry(operators.theirs, operators.ours)
    assert operators.jobs() == []


def test_a_retry_gives_one_receipt(operators):
    """The peer did not hear our 250 and comes again."""
    octets = with_archive(NUMBER, sample("ok-lettre-adressage"), **ASKED)
    operators.write(octets, PATIENT)
    sent = operators.carry(operators.theirs, operators.ours)
    order = type("Order", (), {"recipient": parse_address(PATIENT), "sender": parse_address(DOCTOR)})
    operators._receive(operators.theirs, operators.ours, order, sent[0])
    assert len(operators.jobs()) == 1


def test_a_large_original_comes_back_as_its_header(operators, monkeypatch):
    monkeypatch.setattr(integration_receipts, "WHOLE_BYTES", 1000)
    operators.write(with_archive(NUMBER, sample("ok-lettre-adressage"), **ASKED), OTHER)
    operators.carry(operators.theirs, operators.ours)
    (receipt,) = operators.carry(operators.ours, operators.theirs)
    assert b"IHE_XDM" not in receipt
    assert operators.heard().state is NoticeState.FAILED


def test_the_order_is_shredded_and_nothing_is_left(operators):
    operators.write(with_archive(NUMBER, sample("ok-lettre-adressage"), **ASKED), OTHER)
    operators.carry(operators.theirs, operators.ours)
    blobs = operators.count(schema.blob)
    operators.carry(operators.ours, operators.theirs)
    assert {row.order for row in operators.jobs()} == {b""}
    assert operators.count(schema.blob) == blobs - 1


@pytest.mark.parametrize(
    ("to", "state", "code"), [(PATIENT, NoticeState.PROCESSED, 0), (OTHER, NoticeState.FAILED, 904)]
)
def test_a_sender_of_the_same_operator(operators, monkeypatch, to, state, code):
    """The receipt is there at once, and once: a retry brings no other."""
    made = operators.ours.add("doc@a.localhost", password=PASSWORD)
    address = "doc@a.localhost"
    monkeypatch.setattr(operators, "theirs", operators.ours)
    operators.doctor = operators.ours.open(address, made.app_password)
    octets = with_archive(
        NUMBER, sample("ok-lettre-adressage"), From=address, Disposition_Notification_To=address
    )
    for _twice in range(2):
        operators.write(octets, to, sender=address)
    account = operators.ours.services.keys.open_with_password(address, PASSWORD)[0]
    (timeline,) = Timelines(operators.ours.services.store).find_sent(account, MESSAGE_ID)
    heard = timeline.recipients[0].heard
    assert (heard.state, heard.code) == (state, code)
    (mail,) = operators.inbox()
    assert mail.startswith(b"Return-Path: <>\r\n")
    assert operators.jobs() == []
    operators.now += timedelta(hours=25)
    assert operators.ours.services.overdue.tell_once(operators.now) == 0
