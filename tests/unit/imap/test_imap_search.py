"""Search planning and decision over small candidates."""

from dataclasses import replace
from datetime import date

import pytest

from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import parse_command
from mailserver.imap.search import Candidate, Cost, fold, plan_search
from mailserver.imap.view import MailboxView, Vanished
from mailserver.model.account import Flag

DAY = date(2026, 2, 1)


def key(text):
    return parse_command(RawCommand((b"a SEARCH " + text,)))[1].key


def view():
    flags = [0, Flag.SEEN, Flag.SEEN | Flag.DELETED, 1 << 16]
    return MailboxView([2, 4, 6, 8], flags, [1, 2, 3, 4], keywords=("mine",))


def never(*_):
    raise AssertionError("opened too much")


CHEAP = Candidate(2, Flag.SEEN, 7, True, DAY, 100, never, never, never, never)
SUMMARY = replace(
    CHEAP,
    sent_day=lambda: DAY,
    summary_field={"subject": ["Compte rendu d'Été"], "to": []}.__getitem__,
)
FULL = replace(
    SUMMARY,
    header_field=lambda name: ["oui"] if name == "x-a" else [],
    text=lambda with_header: fold("Subject: cœur\r\ncorps" if with_header else "corps"),
)


@pytest.mark.parametrize(
    ("text", "candidate", "found"),
    [
        (b"ALL", CHEAP, True),
        (b"NOT ALL", CHEAP, False),
        (b"NOT SEEN", CHEAP, False),
        (b"NOT UNSEEN", CHEAP, True),
        (b"NOT KEYWORD other", CHEAP, True),
        (b"NOT UNKEYWORD other", CHEAP, False),
        (b"RECENT", CHEAP, True),
        (b"OLD", CHEAP, False),
        (b"BEFORE 2-Feb-2026", CHEAP, True),
        (b"BEFORE 1-Feb-2026", CHEAP, False),
        (b"ON 1-Feb-2026", CHEAP, True),
        (b"SINCE 1-Feb-2026", CHEAP, True),
        (b"SINCE 2-Feb-2026", CHEAP, False),
        (b"LARGER 100", CHEAP, False),
        (b"SMALLER 101", CHEAP, True),
        (b"MODSEQ 7", CHEAP, True),
        (b"MODSEQ 8", CHEAP, False),
        (b"NOT 1:2", CHEAP, False),
        (b"NOT 3:4", CHEAP, True),
        (b"NOT 1,3", CHEAP, True),
        (b"NOT UID 4", CHEAP, False),
        (b"OR SUBJECT x LARGER 5", CHEAP, True),
        (b"NOT (SUBJECT x LARGER 500)", CHEAP, True),
        (b"SENTON 1-Feb-2026", SUMMARY, True),
        (b"SENTBEFORE 1-Feb-2026", SUMMARY, False),
        (b"SENTSINCE 1-Feb-2026", replace(SUMMARY, sent_day=lambda: None), False),
        (b"SUBJECT ete", SUMMARY, True),
        (b'HEADER Subject ""', SUMMARY, True),
        (b"TO x", SUMMARY, False),
        (b"HEADER X-A OUI", FULL, True),
        (b'HEADER X-B ""', FULL, False),
        (b"BODY coeur", FULL, False),
        (b"TEXT coeur", FULL, True),
    ],
)
def test_is_match(text, candidate, found):
    assert plan_search(key(text), view()).is_match(candidate) is found


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (b"ALL", [0, 1, 2, 3]),
        (b"SEEN", [1, 2]),
        (b"SEEN UNDELETED", [1]),
        (b"SEEN UNSEEN", []),
        (b"KEYWORD mine", [3]),
        (b"KEYWORD other", []),
        (b"UNKEYWORD other 2:*", [1, 2, 3]),
        (b"UID 4:6 (3 SEEN)", [2]),
    ],
)
def test_narrow(text, places):
    plan = plan_search(key(text), view())
    assert (plan.narrow(view()), plan.is_decided) == (places, True)


def test_narrow_leaves_vanished_out():
    mailbox = view()
    mailbox.apply([Vanished(4)], hold_expunges=True)
    assert plan_search(key(b"SEEN"), mailbox).narrow(mailbox) == [2]


@pytest.mark.parametrize(
    ("text", "cost", "parts"),
    [
        (b"SEEN 1", Cost.COLUMNS, (0, 0, 0)),
        (b"LARGER 5 SUBJECT x", Cost.SUMMARY, (1, 1, 0)),
        (b"SENTON 1-Feb-2026 ON 1-Feb-2026", Cost.SUMMARY, (1, 1, 0)),
        (b"HEADER X-A b SUBJECT x", Cost.MESSAGE, (0, 1, 1)),
        (b"NOT BODY x", Cost.MESSAGE, (0, 0, 1)),
        (b"OR SEEN (ALL TEXT x)", Cost.MESSAGE, (0, 0, 1)),
    ],
)
def test_split(text, cost, parts):
    plan = plan_search(key(text), view())
    assert plan.cost is cost
    assert (len(plan.columns), len(plan.summary), len(plan.message)) == parts


@pytest.mark.parametrize(
    ("one", "other"),
    [("ÉTÉ", "ete"), ("STRASSE", "straße"), ("ﬁn", "FIN"), ("Œdème", "oedeme"), ("ABC", "abc")],
)
def test_fold(one, other):
    assert fold(one) == fold(other)
