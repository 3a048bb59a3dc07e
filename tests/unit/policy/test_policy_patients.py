"""A patient and those who wrote to them: conversations and the decisions that follow."""

from datetime import UTC, datetime

import pytest

from mailserver.crypto.x509 import parse_dn
from mailserver.model.address import parse_address, parse_domain
from mailserver.policy.conversation import (
    CLOSED_MESSAGES,
    Conversation,
    ConversationState,
    ReceivedFacts,
    receive_message,
)
from mailserver.policy.decision import ACCEPT, Reason, refuse
from mailserver.policy.mail_rules import PATIENT_MESSAGE_BYTES, PatientFacts, decide_patient
from mailserver.policy.trust_list import TrustedDomain, TrustList

DOCTOR, SECRETARY = parse_address("doctor@north.demo.example"), parse_address("secretary@north.demo.example")
INTERNET = parse_address("doctor@mail.example")
TRUSTED = TrustList(
    datetime(2026, 3, 2, tzinfo=UTC), (TrustedDomain(parse_domain("north.demo.example"), parse_dn("CN=a")),)
)
OPEN, FOR_MESSAGE, ALL = ConversationState


def after(*received):
    known = None
    for number, changes in enumerate(received, 1):
        facts = {"message_id": f"<{number}@a>", "sender": DOCTOR, "subject": "Results"} | changes
        known = receive_message(known, ReceivedFacts(**facts), TRUSTED)
    return known


def answer(known, answered=None, to=DOCTOR, **rest):
    conversations = () if known is None else (known,)
    facts = PatientFacts(True, False, to, 1, conversations=conversations, answered=answered, **rest)
    decision = decide_patient(facts)
    assert decision == (ACCEPT if decision.accepted else refuse(decision.reason))
    return None if decision.accepted else decision.reason


FIN, END_ALL, PLAIN = {"end_mark": "FIN"}, {"subject": "[FIN]"}, {}


@pytest.mark.parametrize(
    ("received", "state", "answered", "reason"),
    [
        ([PLAIN], OPEN, "<1@a>", None),
        ([PLAIN], OPEN, None, None),
        ([FIN], FOR_MESSAGE, "<1@a>", Reason.MESSAGE_CLOSED),
        ([FIN], FOR_MESSAGE, None, Reason.MESSAGE_CLOSED),
        ([PLAIN, FIN], OPEN, "<2@a>", Reason.MESSAGE_CLOSED),
        ([PLAIN, FIN], OPEN, "<1@a>", None),
        ([PLAIN, FIN], OPEN, None, None),
        ([FIN, PLAIN], OPEN, "<1@a>", Reason.MESSAGE_CLOSED),
        ([FIN, PLAIN], OPEN, "<2@a>", None),
        ([PLAIN, END_ALL], ALL, "<1@a>", Reason.CONVERSATION_CLOSED),
        ([PLAIN, END_ALL], ALL, None, Reason.CONVERSATION_CLOSED),
        ([END_ALL], ALL, None, Reason.CONVERSATION_CLOSED),
        ([PLAIN, END_ALL, PLAIN], OPEN, "<3@a>", None),
        ([PLAIN, END_ALL, FIN], FOR_MESSAGE, "<1@a>", Reason.MESSAGE_CLOSED),
        ([END_ALL | FIN], ALL, None, Reason.CONVERSATION_CLOSED),
    ],
)
def test_ends_and_reopenings(received, state, answered, reason):
    known = after(*received)
    assert known.state is state
    assert answer(known, answered) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": " [FIN]"},
        {"subject": "[fin]"},
        {"subject": "Re: [FIN]"},
        {"subject": "[FIN] "},
        {"end_mark": "fin"},
        {"end_mark": "FIN."},
        {"end_mark": ""},
        {"end_mark": "FINI"},
    ],
)
def test_what_is_not_an_end(changes):
    assert answer(after(changes), "<1@a>") is None


def test_end_mark_may_be_folded():
    assert answer(after({"end_mark": "\tFIN "}), "<1@a>") is Reason.MESSAGE_CLOSED


def test_reply_to_in_a_trusted_domain_takes_the_senders_place():
    known = after({"reply_to": SECRETARY})
    assert known.contact == SECRETARY
    assert answer(known, to=SECRETARY) is None
    assert answer(known, to=DOCTOR) is Reason.PATIENT_NEVER_CONTACTED
    back = after({"reply_to": SECRETARY}, PLAIN)
    assert back.contact == DOCTOR


@pytest.mark.parametrize("reply_to", [INTERNET, DOCTOR, parse_address("Doctor@north.demo.example"), None])
def test_reply_to_that_changes_nothing(reply_to):
    known = after({"reply_to": reply_to})
    assert known.reply_to is None
    assert answer(known) is None


def test_two_correspondents_with_one_contact():
    closed = Conversation(DOCTOR, ALL, reply_to=SECRETARY)
    opened = Conversation(parse_address("other@north.demo.example"), OPEN, reply_to=SECRETARY)
    facts = PatientFacts(True, False, SECRETARY, 1, conversations=(closed, opened))
    assert decide_patient(facts) == ACCEPT


def test_marks_are_bounded():
    known = after(PLAIN, *[FIN] * (CLOSED_MESSAGES + 3))
    assert len(known.closed_messages) == CLOSED_MESSAGES
    assert known.is_closed_for(f"<{CLOSED_MESSAGES + 4}@a>")


def test_patient_writes_first():
    assert answer(None) is Reason.PATIENT_NEVER_CONTACTED
    assert answer(after(PLAIN), to=SECRETARY) is Reason.PATIENT_NEVER_CONTACTED


def test_case_of_an_address_does_not_matter():
    assert answer(after(PLAIN), to=parse_address("DOCTOR@north.demo.example")) is None


def test_receipts_pass_a_closed_conversation_only():
    assert answer(after(PLAIN, END_ALL), is_receipt=True) is None
    assert answer(after({"reply_to": SECRETARY}), to=DOCTOR, is_receipt=True) is None
    assert (
        answer(after({"reply_to": SECRETARY}, FIN | {"reply_to": SECRETARY}), to=SECRETARY, is_receipt=True)
        is None
    )
    assert answer(None, is_receipt=True) is Reason.PATIENT_NEVER_CONTACTED


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (PatientFacts(True, True, DOCTOR, 1, conversations=(after(PLAIN),)), Reason.PATIENT_TO_PATIENT),
        (PatientFacts(False, True, DOCTOR, PATIENT_MESSAGE_BYTES), None),
        (PatientFacts(False, True, DOCTOR, PATIENT_MESSAGE_BYTES + 1), Reason.MESSAGE_TOO_LARGE_FOR_PATIENT),
        (PatientFacts(False, True, DOCTOR, 11, limit_bytes=10), Reason.MESSAGE_TOO_LARGE_FOR_PATIENT),
        (PatientFacts(False, False, DOCTOR, PATIENT_MESSAGE_BYTES * 2), None),
        (PatientFacts(True, False, DOCTOR, PATIENT_MESSAGE_BYTES * 2, conversations=(after(PLAIN),)), None),
    ],
)
def test_patient_rules(facts, reason):
    assert decide_patient(facts) == (ACCEPT if reason is None else refuse(reason))
