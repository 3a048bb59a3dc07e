"""An absence's own limits, and its one form as octets."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mailserver.model.absence import (
    EMERGENCY_BYTES,
    MOST_DAYS,
    TEXT_BYTES,
    Absence,
    format_absence,
    parse_absence,
    read_absence,
)
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed

FIRST = date(2026, 12, 1)


def test_days_are_whole_and_utc() -> None:
    absence = Absence(FIRST, FIRST)
    start, end = datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)
    assert absence.ends_at == end
    moments = [start - timedelta(seconds=1), start, end - timedelta(seconds=1), end]
    assert [absence.is_on(each) for each in moments] == [False, True, True, False]
    assert [absence.is_over(each) for each in moments] == [False, False, False, True]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"last_day": FIRST - timedelta(days=1)}, "away-days"),
        ({"last_day": FIRST + timedelta(days=MOST_DAYS)}, "away-days"),
        ({"first_day": date.max, "last_day": date.max}, "away-days"),
        ({"text": "x" * (TEXT_BYTES + 1)}, "away-text"),
        ({"text": "é" * (TEXT_BYTES // 2 + 1)}, "away-text"),
        ({"text": "a\0b"}, "away-text"),
        ({"text": "a\u202eb"}, "away-text"),
        ({"text": "a\ud800b"}, "away-text"),
        ({"emergency": "x" * (EMERGENCY_BYTES + 1)}, "away-emergency"),
        ({"emergency": "a\nb"}, "away-emergency"),
    ],
)
def test_what_is_no_absence(fields: dict[str, object], code: str) -> None:
    with pytest.raises(Malformed, match=code):
        Absence(**({"first_day": FIRST, "last_day": FIRST} | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "absence",
    [
        Absence(FIRST, FIRST),
        Absence(FIRST, FIRST + timedelta(days=9), "Un\nDeux é", parse_address("lou@b.example"), "le 01 02"),
    ],
)
def test_octets_and_back(absence: Absence) -> None:
    raw = format_absence(absence)
    assert parse_absence(raw) == absence
    assert not raw.endswith(b" "), "class S"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "away-syntax"),
        (b"\xff", "away-syntax"),
        (b"[]", "away-syntax"),
        (b"[" * 100_000, "away-syntax"),
        (b'{"from": 1}', "away-syntax"),
        (b'{"since": "2026-12-01"}', "away-syntax"),
        (b"{}", "away-days"),
        (b'{"from": "2026-12-01", "until": "demain"}', "away-days"),
        (b'{"from": "2026-12-01", "until": "2026-12-02", "colleague": "lou"}', "away-colleague"),
    ],
)
def test_octets_that_say_no_absence(raw: bytes, code: str) -> None:
    with pytest.raises(Malformed, match=code):
        parse_absence(raw)


def test_what_a_form_gives_is_tidied() -> None:
    found = read_absence(
        "2026-12-01 ", " 2026-12-02", "\r\nUn \r\nDeux\t!\r\n", " lou@b.example ", " a \n b "
    )
    assert (found.text, found.emergency) == ("Un\nDeux !", "a b")
    assert found.colleague == parse_address("lou@b.example")
