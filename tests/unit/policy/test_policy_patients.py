"""What the table of cases (``test_patient_table``) does not show: bounds, dates, who shares a contact."""

from datetime import UTC, datetime

import pytest

from mailserver.crypto.x509 import parse_dn
from mailserver.model.address import parse_address, parse_domain
from mailserver.model.errors import Malformed
from mailserver.policy.conversation import (
    CLOSED_MESSAGES,
    Conversation,
    ConversationState,
    ReceivedFacts,
    receive_message,
)
from mailserver.policy.decision import ACCEPT, Reason, refuse
from mailserver.policy.patient_rules import (
    PatientFacts,
    Pharmacies,
    ReplyState,
    decide_patient,
    parse_pharmacies,
    reply_state,
)
from mailserver.policy.trust_list import TrustedDomain, TrustList

DOCTOR, SECRETARY = parse_address("doctor@north.demo.example"), parse_address("secretary@north.demo.example")
TRUSTED = TrustList(
    datetime(2026, 3, 2, tzinfo=UTC), (TrustedDomain(parse_domain("north.demo.example"), parse_dn("CN=a")),)
)
OPEN, ALL = ConversationState
PLAIN, FIN, END_ALL = {}, {"end_mark": "FIN"}, {"subject": "[FIN]"}


def day(number):
    return datetime(2026, 3, number, tzinfo=UTC)


def after(*received):
    known = None
    for number, changes in enumerate(received, 1):
        at = day(min(number, 28))
        facts = {"message_id": f"<{number}@a>", "sender": DOCTOR, "subject": "Results", "received_at": at}
        known = receive_message(known, ReceivedFacts(**facts | changes), TRUSTED)
    return known


@pytest.mark.parametrize(
    ("received", "state", "ended_at"),
    [
        ([PLAIN], OPEN, None),
        ([FIN], OPEN, None),
        ([PLAIN, FIN], OPEN, None),
        ([PLAIN, END_ALL], ALL, day(2)),
        ([PLAIN, END_ALL, FIN], ALL, day(2)),
        ([PLAIN, END_ALL, END_ALL], ALL, day(3)),
        ([PLAIN, END_ALL, PLAIN], OPEN, None),
    ],
)
def test_when_an_exchange_was_ended(received, state, ended_at):
    known = after(*received)
    assert (known.state, known.ended_at) == (state, ended_at)


def test_the_end_mark_may_be_folded():
    assert after({"end_mark": "\tFIN "}).is_closed_for("<1@a>")


def test_marks_are_bounded():
    known = after(PLAIN, *[FIN] * (CLOSED_MESSAGES + 3))
    assert len(known.closed_messages) == CLOSED_MESSAGES
    assert known.is_closed_for(f"<{CLOSED_MESSAGES + 4}@a>")


def test_two_correspondents_with_one_contact():
    closed = Conversation(DOCTOR, ALL, reply_to=SECRETARY)
    opened = Conversation(parse_address("other@north.demo.example"), OPEN, reply_to=SECRETARY)
    facts = PatientFacts(True, False, SECRETARY, 1, conversations=(closed, opened))
    assert decide_patient(facts) == ACCEPT


def test_the_limit_is_an_argument():
    facts = PatientFacts(False, True, DOCTOR, 11, limit_bytes=10)
    assert decide_patient(facts) == refuse(Reason.MESSAGE_TOO_LARGE_FOR_PATIENT)


def test_nobody_is_a_pharmacy_by_default():
    assert not Pharmacies().is_listed(DOCTOR)
    listed = parse_pharmacies(["Doctor@North.demo.example"])
    assert listed.is_listed(DOCTOR)
    assert not listed.is_listed(SECRETARY)
    assert parse_pharmacies(["North.Demo.example"]).is_listed(SECRETARY)
    with pytest.raises(Malformed):
        parse_pharmacies(["not an address@"])


@pytest.mark.parametrize(
    "reason", [Reason.UNKNOWN_RECIPIENT, Reason.DISABLED_ACCOUNT, Reason.RECIPIENT_DOMAIN_UNLISTED]
)
def test_a_contact_that_is_gone_blocks_the_answer(reason):
    assert reply_state(refuse(reason), refuse(reason)) is ReplyState.REPLY_BLOCKED
    assert reply_state(None, refuse(reason)) is ReplyState.REPLY_BLOCKED
