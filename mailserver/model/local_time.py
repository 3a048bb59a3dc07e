"""Times as people read them: in the operator's zone, which is named, with its distance from UTC."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}")
_VOWELS = "AEÉIOUYH"


@dataclass(frozen=True, slots=True)
class LocalClock:
    """``place`` names the zone to people: ``Paris``; empty for UTC."""

    zone: tzinfo
    place: str

    def in_french(self, at: int) -> str:
        """``27/11/2026 14:05 (heure de Paris, UTC+1)`` of a second since 1970."""
        local = self._local(at)
        linked = f"d'{self.place}" if self.place[:1] in _VOWELS else f"de {self.place}"
        zone = f"heure {linked}, {_offset(local)}" if self.place else "UTC"
        return f"{local:%d/%m/%Y %H:%M} ({zone})"

    def in_english(self, at: int) -> str:
        """``2026-11-27 14:05 (Paris time, UTC+1)``: the order that no English reader takes for another."""
        local = self._local(at)
        zone = f"{self.place} time, {_offset(local)}" if self.place else "UTC"
        return f"{local:%Y-%m-%d %H:%M} ({zone})"

    def _local(self, at: int) -> datetime:
        return datetime.fromtimestamp(at, UTC).astimezone(self.zone)


def _offset(local: datetime) -> str:
    away = local.utcoffset() or timedelta()
    hours, minutes = divmod(abs(int(away.total_seconds())) // 60, 60)
    sign = "-" if away < timedelta() else "+"
    return f"UTC{sign}{hours}" + (f":{minutes:02d}" if minutes else "")


UTC_CLOCK = LocalClock(UTC, "")


def is_zone(name: str) -> bool:
    """Whether this machine's time zone database has the name; one without a database knows no better."""
    return _find_zone(name) is not None or (_NAME.fullmatch(name) is not None and not available_timezones())


def local_clock(name: str) -> LocalClock:
    """The clock of a zone (``Europe/Paris``); UTC's where the machine has no data of it."""
    zone = _find_zone(name)
    if zone is None or name == "UTC":
        return UTC_CLOCK
    return LocalClock(zone, name.rpartition("/")[2].replace("_", " "))


def _find_zone(name: str) -> ZoneInfo | None:
    if _NAME.fullmatch(name) is None:
        return None
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # OSError: a folder of the database
        return None
