"""Times as people read them: the zone is named, and its offset follows the season."""

from datetime import UTC, datetime

import pytest

from mailserver.model import local_time
from mailserver.model.local_time import UTC_CLOCK, is_zone, local_clock


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("zone", "when", "french", "english"),
    [
        (
            "Europe/Paris",
            at(2026, 11, 27, 12, 5),
            "27/11/2026 13:05 (heure de Paris, UTC+1)",
            "2026-11-27 13:05 (Paris time, UTC+1)",
        ),
        (
            "Europe/Paris",
            at(2026, 7, 1, 23, 30),
            "02/07/2026 01:30 (heure de Paris, UTC+2)",
            "2026-07-02 01:30 (Paris time, UTC+2)",
        ),
        (
            "Pacific/Marquesas",
            at(2026, 1, 1, 0, 0),
            "31/12/2025 14:30 (heure de Marquesas, UTC-9:30)",
            "2025-12-31 14:30 (Marquesas time, UTC-9:30)",
        ),
        (
            "Europe/Athens",
            at(2026, 1, 1, 0, 0),
            "01/01/2026 02:00 (heure d'Athens, UTC+2)",
            "2026-01-01 02:00 (Athens time, UTC+2)",
        ),
        ("UTC", at(2026, 1, 1, 0, 0), "01/01/2026 00:00 (UTC)", "2026-01-01 00:00 (UTC)"),
    ],
)
def test_said_in_both_languages(zone: str, when: int, french: str, english: str) -> None:
    clock = local_clock(zone)
    assert (clock.in_french(when), clock.in_english(when)) == (french, english)


@pytest.mark.parametrize(
    "name", ["", "Paris", "Europe", "../etc/passwd", "/etc/localtime", "Europe/Paris\n", "x" * 200]
)
def test_what_is_no_zone(name: str) -> None:
    assert not is_zone(name)
    assert local_clock(name) is UTC_CLOCK


def test_a_machine_without_zones_tells_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts all the same, and says in which zone its times are."""
    monkeypatch.setattr(local_time, "_find_zone", lambda _name: None)
    monkeypatch.setattr(local_time, "available_timezones", set)
    assert is_zone("Europe/Paris")
    assert not is_zone("../x")
    assert local_clock("Europe/Paris") is UTC_CLOCK
