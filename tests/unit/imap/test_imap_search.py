"""Search planning and decision over small candidates."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import pytest

from mailserver.imap.framing import RawCommand
from mailserver.imap.parse import parse_command
from mailserver.imap.search import fold, plan_search
from mailserver.imap.view import MailboxView, Vanished
from mailserver.mime.envelope import build_envelope
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.summary import HeaderSummary
from mailserver.mime.summary_wire import SummaryView, format_summary
from mailserver.model.account import Flag

DAY = date(2026, 2, 1)


def key(text):
    return parse_command(RawCommand((b"a SEARCH " + text,)))[1].key


def view():
    flags = [0, Flag.SEEN, Flag.SEEN | Flag.DELETED, 1 << 16]
    return MailboxView([2, 4, 6, 8], flags, [1, 2, 3, 4], keywords=("mine",))


def never(*_):
    raise AssertionError("opened too much")


NOW = 1_770_000_000
SECONDS = (DAY - date(1970, 1, 1)).days * 86400 + 3600


@dataclass(frozen=True)
class Cheap:
    """Columns only; what is sealed must not be asked for."""

    number: int = 2
    flags: int = Flag.SEEN
    modseq: int = 7
    is_recent: bool = True
    received_at: int = SECONDS
    saved_at: int = SECONDS + 86400
    email_id: bytes = bytes(range(16))

    def __getattr__(self, name):
        assert name.startswith("_"), f"opened too much: {name}"
        raise AttributeError(name)


HEAD = HeaderBlock("Subject: Été\r\nFrom: A <a@b.localhost>\r\n\r\n".encode())
MADE = HeaderSummary(
    100, 50, build_envelope(HEAD).octets, b"", b"", (), (), date=datetime.fromtimestamp(SECONDS, UTC)
)


@dataclass(frozen=True)
class Summary(Cheap):
    made: HeaderSummary = MADE
    day: date | None = DAY

    @property
    def summary(self):
        return SummaryView(format_summary(self.made))

    def subject(self):
        return "Compte rendu d'Été"

    def sent_day(self):
        return self.day


class Undated(Summary):
    """Its day is so far from those asked for that the Date field stays closed."""

    def sent_day(self):
        never()


@dataclass(frozen=True)
class Full(Summary):
    def header_field(self, name):
        return ["oui"] if name == "x-a" else []

    def text(self, with_header):
        return fold("Subject: cœur\r\ncorps" if with_header else "corps")


CHEAP, SUMMARY, FULL = Cheap(), Summary(), Full()


def plan(text):
    return plan_search(key(text), view(), NOW)


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
        (b"SAVEDON 2-Feb-2026", CHEAP, True),
        (b"SAVEDBEFORE 2-Feb-2026", CHEAP, False),
        (b"SAVEDSINCE 2-Feb-2026", CHEAP, True),
        (b"SAVEDATESUPPORTED", CHEAP, True),
        (b"YOUNGER 86400", replace(CHEAP, received_at=NOW - 86400), True),
        (b"YOUNGER 86400", replace(CHEAP, received_at=NOW - 86401), False),
        (b"OLDER 86400", replace(CHEAP, received_at=NOW - 86400), True),
        (b"OLDER 86400", replace(CHEAP, received_at=NOW - 86399), False),
        (b"EMAILID M000102030405060708090a0b0c0d0e0f", CHEAP, True),
        (b"EMAILID M000102030405060708090a0b0c0d0e00", CHEAP, False),
        (b"EMAILID M000102030405060708090A0B0C0D0E0F", CHEAP, False),
        (b"EMAILID F000102030405060708090a0b0c0d0e0f", CHEAP, False),
        (b"NOT EMAILID x", CHEAP, True),
        (b"THREADID T1", CHEAP, False),
        (b"NOT THREADID T1", CHEAP, True),
        (b"LARGER 100", SUMMARY, False),
        (b"SMALLER 101", SUMMARY, True),
        (b"MODSEQ 7", CHEAP, True),
        (b"MODSEQ 8", CHEAP, False),
        (b"NOT 1:2", CHEAP, False),
        (b"NOT 3:4", CHEAP, True),
        (b"NOT 1,3", CHEAP, True),
        (b"NOT UID 4", CHEAP, False),
        (b"OR SUBJECT x ON 1-Feb-2026", CHEAP, True),
        (b"NOT (SUBJECT x BEFORE 1-Feb-2026)", CHEAP, True),
        (b"OR SUBJECT x LARGER 5", SUMMARY, True),
        (b"NOT (SUBJECT x LARGER 500)", SUMMARY, True),
        (b"SENTON 1-Feb-2026", SUMMARY, True),
        (b"SENTBEFORE 1-Feb-2026", SUMMARY, False),
        (b"SENTSINCE 1-Feb-2026", replace(SUMMARY, day=None), False),
        (b"SENTSINCE 1-Feb-2026", replace(SUMMARY, made=replace(MADE, date=None), day=None), False),
        (b"SENTON 1-Feb-2026", replace(SUMMARY, day=date(2026, 1, 31)), False),
        (b"SENTON 31-Jan-2026", replace(SUMMARY, day=date(2026, 1, 31)), True),
        (b"SENTBEFORE 30-Jan-2026", Undated(), False),
        (b"SENTSINCE 30-Jan-2026", Undated(), True),
        (b"SENTBEFORE 3-Feb-2026", Undated(), True),
        (b"SUBJECT ete", SUMMARY, True),
        (b'HEADER Subject ""', SUMMARY, True),
        (b'HEADER To ""', SUMMARY, False),
        (b'HEADER From ""', SUMMARY, True),
        (b"FROM B.LOCAL", SUMMARY, True),
        (b"TO x", SUMMARY, False),
        (b"HEADER X-A OUI", FULL, True),
        (b'HEADER X-B ""', FULL, False),
        (b"BODY coeur", FULL, False),
        (b"TEXT coeur", FULL, True),
    ],
)
def test_is_match(text, candidate, found):
    tests = [test for test in (plan(text).cheap_test(), plan(text).deep_test()) if test is not None]
    assert all(test(candidate) for test in tests) is found


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
    assert (plan(text).narrow(view()), plan(text).rounds) == (places, 0)


def test_narrow_leaves_vanished_out():
    mailbox = view()
    mailbox.apply([Vanished(4)], hold_expunges=True)
    assert plan_search(key(b"SEEN"), mailbox, NOW).narrow(mailbox) == [2]


@pytest.mark.parametrize(
    ("text", "rounds", "parts"),
    [
        (b"SEEN 1", 0, (0, 0, 0)),
        (b"LARGER 5 SUBJECT x", 1, (0, 2, 0)),
        (b"OLDER 5 SAVEDON 1-Feb-2026 EMAILID x THREADID x", 1, (4, 0, 0)),
        (b"SENTON 1-Feb-2026 ON 1-Feb-2026", 1, (1, 1, 0)),
        (b"HEADER X-A b SUBJECT x", 2, (0, 1, 1)),
        (b"NOT BODY x", 1, (0, 0, 1)),
        (b"OR SEEN (ALL TEXT x)", 1, (0, 0, 1)),
    ],
)
def test_split(text, rounds, parts):
    found = plan(text)
    assert found.rounds == rounds
    assert (len(found.columns), len(found.summary), len(found.message)) == parts


@pytest.mark.parametrize(
    ("one", "other"),
    [("ÉTÉ", "ete"), ("STRASSE", "straße"), ("ﬁn", "FIN"), ("Œdème", "oedeme"), ("ABC", "abc")],
)
def test_fold(one, other):
    assert fold(one) == fold(other)
