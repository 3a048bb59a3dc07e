"""Replies and handshakes → results; results → what follows; results → words for the sender."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version

import pytest
from aiosmtplib.protocol import FlowControlMixin

from mailserver.audit.wording import Language
from mailserver.gateway.peer_connection import judge_handshake
from mailserver.mime.reports import DeliveryAction
from mailserver.model.ids import AccountId, JobId
from mailserver.policy.decision import Reason
from mailserver.policy.wording import format_reply, wording_for
from mailserver.service.delivery_reports import (
    WORDS_CHARACTERS,
    Cause,
    Fate,
    answered,
    clean_words,
    explanation_for,
    passing,
    refused,
    refused_by_policy,
)
from mailserver.service.relay import Plan, plan_next
from mailserver.store.jobs import JobRow, JobState, Lane

NOW = datetime(2026, 7, 6, 9, tzinfo=UTC)
HOUR = 3600


def job(lane=Lane.RELAY, *, attempts=0, delay_noticed=False, life=48 * HOUR):
    return JobRow(
        JobId(bytes(16)),
        AccountId(bytes(16)),
        lane,
        JobState.WAITING,
        "b.example",
        0,
        0,
        life,
        attempts,
        delay_noticed,
        0,
        None,
        b"",
    )


def test_the_pinned_client_still_has_what_we_lean_on():
    assert version("aiosmtplib") == "5.1.3"
    assert callable(FlowControlMixin._drain_helper)


@pytest.mark.parametrize(
    ("code", "text", "fate", "status"),
    [
        (250, "2.6.0 ok", Fate.DELIVERED, "2.6.0"),
        (250, "ok", Fate.DELIVERED, "2.0.0"),
        (421, "4.3.2 bye", Fate.PASSING, "4.3.2"),
        (451, "5.0.0 contradicts its code", Fate.PASSING, "4.0.0"),
        (550, "5.1.1 unknown", Fate.REFUSED, "5.1.1"),
        (550, "5.1.1unknown", Fate.REFUSED, "5.0.0"),
        (354, "out of place", Fate.PASSING, "4.0.0"),
        (999, "nonsense", Fate.PASSING, "4.0.0"),
    ],
)
def test_replies(code, text, fate, status):
    result = answered(code, text)
    assert (result.fate, result.status, result.reply_code) == (fate, status, code)
    assert text not in repr(result)


def test_words_are_one_short_line_of_ascii():
    assert clean_words("5.1.1 no\r\n5.1.1 <script>\x1b[0m é") == "5.1.1 no 5.1.1 <script> [0m"
    assert clean_words("x" * 999) == "x" * (WORDS_CHARACTERS - 4) + " ..."


def test_both_languages_of_our_own_replies_have_room():
    for reason in Reason:
        said = " ".join(
            line[4:] for line in format_reply(wording_for(reason), Language.FRENCH).decode().splitlines()
        )
        assert clean_words(said) == said


LATER = passing(Cause.UNREACHABLE)


@pytest.mark.parametrize(
    ("row", "result", "now", "plan"),
    [
        (job(), answered(250, ""), 0, Plan(JobState.DONE, report=DeliveryAction.RELAYED)),
        (job(), replace(answered(250, ""), is_reported_on=True), 0, Plan(JobState.DONE)),
        (job(Lane.NOTICE), answered(250, ""), 0, Plan(JobState.DONE)),
        (job(), answered(550, ""), 0, Plan(JobState.FAILED, report=DeliveryAction.FAILED)),
        (job(), LATER, 0, Plan(JobState.WAITING, 300)),
        (job(attempts=1), LATER, 300, Plan(JobState.WAITING, 900)),
        (job(attempts=2), LATER, 900, Plan(JobState.WAITING, 2100)),
        (job(attempts=3), LATER, 2100, Plan(JobState.WAITING, 4500)),
        (job(attempts=4), LATER, 4500, Plan(JobState.WAITING, 8700)),
        # the next try is not put past the hour when the sender is told
        (job(attempts=6), LATER, 12900, Plan(JobState.WAITING, 4 * HOUR)),
        (job(attempts=7), LATER, 4 * HOUR, Plan(JobState.WAITING, 18600, DeliveryAction.DELAYED)),
        (job(attempts=8, delay_noticed=True), LATER, 5 * HOUR, Plan(JobState.WAITING, 22200)),
        # nor past expiry
        (job(attempts=40, delay_noticed=True), LATER, 47 * HOUR, Plan(JobState.WAITING, 48 * HOUR)),
        (job(attempts=41), LATER, 48 * HOUR, Plan(JobState.FAILED, report=DeliveryAction.FAILED)),
        (job(Lane.NOTICE, life=600), LATER, 0, Plan(JobState.WAITING, 10)),
        (job(Lane.NOTICE, attempts=1, life=600), LATER, 10, Plan(JobState.WAITING, 40)),
        (job(Lane.NOTICE, attempts=9, life=600), LATER, 590, Plan(JobState.WAITING, 600)),
        (job(Lane.NOTICE, life=600), LATER, 600, Plan(JobState.FAILED)),
        (job(Lane.NOTICE, life=600), answered(550, ""), 0, Plan(JobState.FAILED)),
    ],
)
def test_what_follows(row, result, now, plan):
    assert plan_next(row, result, now) == plan


@pytest.mark.parametrize(
    ("reason", "fate"),
    [
        (Reason.WRONG_DN, Fate.REFUSED),
        (Reason.NO_TLS, Fate.REFUSED),
        (Reason.CERTIFICATE_EXPIRED, Fate.REFUSED),
        (Reason.TRUST_LIST_STALE, Fate.PASSING),
        (Reason.REVOCATION_UNKNOWN, Fate.PASSING),
        (Reason.HANDSHAKE_FAILED, Fate.PASSING),
    ],
)
def test_policy(reason, fate):
    result = refused_by_policy(reason)
    assert (result.fate, result.name) == (fate, reason.value)
    assert result.status[0] == ("5" if fate is Fate.REFUSED else "4")


def handshake_error(kind, reason, verify_code=None):
    error = kind(1, f"[SSL: {reason}] x")
    error.reason = reason
    if verify_code is not None:
        error.verify_code, error.verify_message = verify_code, "certificate has expired"
    return error


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (handshake_error(ssl.SSLError, "TLSV1_ALERT_UNKNOWN_CA"), "our-certificate"),
        (handshake_error(ssl.SSLEOFError, "UNEXPECTED_EOF_WHILE_READING"), "our-certificate"),
        (handshake_error(ssl.SSLError, "TLSV1_ALERT_PROTOCOL_VERSION"), "weak-tls"),
        (handshake_error(ssl.SSLError, "WRONG_VERSION_NUMBER"), "weak-tls"),
        (handshake_error(ssl.SSLError, "BAD_RECORD"), "handshake-failed"),
        (
            handshake_error(ssl.SSLCertVerificationError, "CERTIFICATE_VERIFY_FAILED", 10),
            "certificate-expired",
        ),
    ],
)
def test_handshakes(error, name):
    assert judge_handshake(error, NOW).name == name


@pytest.mark.parametrize(
    "result",
    [
        *(
            refused(cause)
            for cause in (Cause.NEEDS_8BIT, Cause.NEEDS_UTF8, Cause.NEEDS_REQUIRETLS, Cause.UNFIT_OCTETS)
        ),
        *(refused(cause) for cause in (Cause.REMOVED, Cause.HELD)),
        *(passing(cause) for cause in (Cause.NO_ROUTE, Cause.UNREACHABLE, Cause.LINK_LOST, Cause.INTERNAL)),
        passing(Cause.INTERRUPTED),
        *(refused_by_policy(reason) for reason in Reason if reason is not Reason.ACCEPTED),
        *(answered(code, f"{code // 100}.{kind}") for code in (450, 550) for kind in ("1.1", "2.2", "7.1")),
    ],
)
def test_every_end_has_a_cause_and_a_remedy_in_both_languages(result):
    why = explanation_for(result)
    assert all(text.endswith(".") for text in (why.why_fr, why.todo_fr, why.why_en, why.todo_en))
    assert why.why_fr != why.why_en


def test_a_closed_handshake_speaks_of_our_certificate():
    why = explanation_for(passing(Cause.OUR_CERTIFICATE))
    assert "certificat de votre opérateur" in why.why_fr
    assert "your operator's certificate" in why.why_en
