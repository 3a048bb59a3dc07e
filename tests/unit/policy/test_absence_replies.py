"""Who gets an automatic reply from an absent person: one line is one case, the next needs no Python."""

from datetime import UTC, date, datetime

import pytest

from mailserver.audit.wording import Language
from mailserver.mime.answer_marks import is_bulk, list_named
from mailserver.mime.headers import HeaderBlock
from mailserver.model.absence import Absence
from mailserver.model.address import parse_address
from mailserver.policy.absence_rules import ReplyFacts, ReplyReason, decide_reply
from mailserver.policy.absence_wording import SUBJECT, format_recipient_words, format_reply_text
from mailserver.service.header_facts import read_header_facts

OWN = ("alix@north.example", "a.demo@north.example")
SENDER = "noa@south.example"
TO = "To: Alix <alix@north.example>"
ABSENCE = Absence(date(2026, 12, 1), date(2026, 12, 5))
MONDAY = "2026-12-02T09:00"

# when | return path | headers, each after a bar | reason
CASES = f"""
{MONDAY} | {SENDER} | {TO} | due
2026-12-01T00:00 | {SENDER} | {TO} | due
2026-12-05T23:59 | {SENDER} | {TO} | due
2026-11-30T23:59 | {SENDER} | {TO} | not-away
2026-12-06T00:00 | {SENDER} | {TO} | not-away
{MONDAY} | {SENDER} | To: x@south.example | Cc: y@south.example, A DEMO <A.Demo@North.example> | due
{MONDAY} | {SENDER} | Resent-To: alix@north.example | due
{MONDAY} | {SENDER} | To: "alix@north.example" <x@south.example> | not-named
{MONDAY} | {SENDER} | To: undisclosed-recipients:; | not-named
{MONDAY} | {SENDER} | Subject: Bcc | not-named
{MONDAY} | 279035121518989@south.example | {TO} | due
{MONDAY} |  | {TO} | null-sender
{MONDAY} | {SENDER} | {TO} | Auto-Submitted: auto-replied | automatic
{MONDAY} | {SENDER} | {TO} | Auto-Submitted: auto-generated; x=y | automatic
{MONDAY} | {SENDER} | {TO} | Auto-Submitted: no | due
{MONDAY} | {SENDER} | {TO} | Auto-Submitted: NO (typed) | automatic
{MONDAY} | {SENDER} | {TO} | Content-Type: multipart/report; report-type=delivery-status | automatic
{MONDAY} | {SENDER} | {TO} | Precedence: Bulk | bulk
{MONDAY} | {SENDER} | {TO} | Precedence: list | bulk
{MONDAY} | {SENDER} | {TO} | Precedence: junk | bulk
{MONDAY} | {SENDER} | {TO} | Precedence: first-class | due
{MONDAY} | {SENDER} | {TO} | List-Id: <news.south.example> | bulk
{MONDAY} | {SENDER} | {TO} | List-Unsubscribe: <https://south.example/> | bulk
{MONDAY} | {SENDER} | {TO} | X-Auto-Response-Suppress: DR, OOF | bulk
{MONDAY} | {SENDER} | {TO} | X-Auto-Response-Suppress: All | bulk
{MONDAY} | {SENDER} | {TO} | X-Auto-Response-Suppress: DR, RN | due
{MONDAY} | MAILER-DAEMON@south.example | {TO} | nobody
{MONDAY} | postmaster@south.example | {TO} | nobody
{MONDAY} | no-reply@south.example | {TO} | nobody
{MONDAY} | noreply-lab@south.example | {TO} | nobody
{MONDAY} | ne-pas-repondre@south.example | {TO} | nobody
{MONDAY} | ne_pas_répondre@south.example | {TO} | nobody
{MONDAY} | do-not-reply@south.example | {TO} | nobody
{MONDAY} | owner-news@south.example | {TO} | nobody
{MONDAY} | news-request@south.example | {TO} | nobody
{MONDAY} | news-bounces@south.example | {TO} | nobody
{MONDAY} | noa.noreply@south.example | {TO} | due
{MONDAY} | Alix@north.example | {TO} | own
{MONDAY} | a.demo@north.example | {TO} | own
"""


def facts_of(sender: str, lines: list[str], *, is_told: bool = False) -> ReplyFacts:
    head = "".join(f"{line}\r\n" for line in [f"From: {sender}", *lines]).encode()
    block = HeaderBlock(head)
    return ReplyFacts(
        ABSENCE,
        tuple(map(parse_address, OWN)),
        parse_address(sender) if sender else None,
        list_named(block),
        read_header_facts(block).is_automatic,
        is_bulk(block),
        is_told,
    )


@pytest.mark.parametrize("case", CASES.strip().splitlines())
def test_each_case(case: str) -> None:
    when, sender, *lines, reason = (part.strip() for part in case.split("|"))
    now = datetime.fromisoformat(when).replace(tzinfo=UTC)
    assert decide_reply(facts_of(sender, lines), now) is ReplyReason(reason)


def test_who_was_shown_the_absence_is_not_told_again() -> None:
    now = datetime.fromisoformat(MONDAY).replace(tzinfo=UTC)
    assert decide_reply(facts_of(SENDER, [TO], is_told=True), now) is ReplyReason.TOLD


def test_the_reply_comes_from_the_address_that_was_written_to() -> None:
    assert facts_of(SENDER, [f"To: {OWN[1]}"]).addressed == parse_address(OWN[1])


FULL = Absence(
    date(2026, 12, 1), date(2026, 12, 5), "Je suis en congé.", parse_address(SENDER), "appelez le secrétariat"
)


@pytest.mark.parametrize("is_for_patient", [False, True])
def test_the_reply_says_all_in_both_languages(*, is_for_patient: bool) -> None:
    text = format_reply_text("Dr Alix DEMO", FULL, is_for_patient=is_for_patient)
    french, english = text.split("\n--\n")
    for half in (french, english):
        assert "Dr Alix DEMO" in half
        assert SENDER in half
        assert "appelez le secrétariat" in half
        assert ("15 (SAMU)" in half) is is_for_patient
    assert "du 01/12/2026 au 05/12/2026 inclus" in french
    assert "from 2026-12-01 to 2026-12-05" in english
    assert text.count("Je suis en congé.") == 1
    assert "\n\n\n" not in text


def test_an_absence_without_texts_has_no_empty_sentence() -> None:
    text = format_reply_text("Cardiologie", ABSENCE, is_for_patient=False)
    assert ": \n" not in text
    assert "urgence" not in text.lower()


def test_words_at_rcpt_are_ascii_lines() -> None:
    lines = format_recipient_words(FULL, Language.ENGLISH)
    assert lines[0].startswith("Recipient away from 2026-12-01 to 2026-12-05")
    assert lines[1].startswith("Destinataire absent du 01/12/2026 au 05/12/2026 inclus.")
    assert all(SENDER in line and "appelez le secretariat" in line for line in lines[:2])
    assert lines[2] == "Je suis en conge."
    odd = Absence(FULL.first_day, FULL.last_day, "漢字\nligne", parse_address("é@south.example"), "漢字")
    assert all(line.isascii() and line.isprintable() for line in format_recipient_words(odd, Language.FRENCH))


def test_the_subject_ends_no_exchange_and_names_nobody() -> None:
    assert "[FIN]" not in SUBJECT
    assert "XDM/" not in SUBJECT
