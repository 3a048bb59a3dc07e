"""Date fields: RFC 5322 §3.3 read tolerantly, and written."""

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NUMBERS = {name.encode(): number for number, name in enumerate(_MONTHS, 1)}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# [day-of-week ","] day month year hour ":" minute [":" second] zone (RFC 5322 §3.3, §4.3)
_DATE = re.compile(
    rb"(?:[A-Za-z]{3,9}\s*,?\s*)?([0-9]{1,2})[\s-]+([A-Za-z]{3})[A-Za-z]{0,6}\.?[\s-]+([0-9]{2,4})\s+"
    rb"([0-9]{1,2})\s*[:.]\s*([0-9]{2})(?:\s*[:.]\s*([0-9]{2}))?(?:\s*([+-][0-9]{4}|[A-Za-z]{1,5}))?"
)
_COMMENT = re.compile(rb"\([^()]{0,200}\)")
# obs-zone of RFC 5322 §4.3, in hours; any other name means unknown, which is -0000
_ZONES = {b"EST": -5, b"EDT": -4, b"CST": -6, b"CDT": -5, b"MST": -7, b"MDT": -6, b"PST": -8, b"PDT": -7}
_FIELD_BYTES = 256


def find_date(value: bytes) -> datetime | None:
    """The instant of a Date value as aware UTC, or None when it cannot be read."""
    value = value[:_FIELD_BYTES]
    match = _DATE.match((value if value.find(b"(") < 0 else _COMMENT.sub(b" ", value)).strip())
    if match is None:
        return None
    day, month_name, year, hour, minute, second, zone = match.groups()
    month = _MONTH_NUMBERS.get(month_name.lower())
    if month is None:
        return None
    try:
        local = datetime(
            _full_year(year),
            month,
            int(day),
            int(hour),
            int(minute),
            min(int(second or b"0"), 59),  # a leap second is shown as the one before it
            tzinfo=_zone(zone),
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _full_year(digits: bytes) -> int:
    """RFC 5322 §4.3: 00-49 is 20xx, 50-99 and three digits count from 1900."""
    year = int(digits)
    if len(digits) == 2:
        return year + (2000 if year < 50 else 1900)
    return year + 1900 if len(digits) == 3 else year


@lru_cache(maxsize=64)
def _zone(zone: bytes | None) -> timezone:
    if zone is None or zone[:1] not in b"+-":
        return timezone(timedelta(hours=_ZONES.get((zone or b"").upper(), 0)))
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
    return timezone(-offset if zone[:1] == b"-" else offset)


def format_date(now: datetime) -> str:
    """``date-time`` of RFC 5322 §3.3, in the zone that ``now`` carries; never localised."""
    offset = "+0000" if now.tzinfo is UTC else now.strftime("%z")[:5] or "+0000"
    month = _MONTHS[now.month - 1].capitalize()
    return f"{_DAYS[now.weekday()]}, {now.day:02d} {month} {now.year:04d} {_clock(now)} {offset}"


def _clock(now: datetime) -> str:
    return f"{now.hour:02d}:{now.minute:02d}:{now.second:02d}"
