"""Absences: from which day to which an account's messages are not read, and what who writes meanwhile is told.

Days are UTC's and both belong to the absence. The texts are the account holder's own, for anybody who may write to
them: nothing about a patient belongs there.
"""

import json
import unicodedata
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed

TEXT_BYTES = 2048
EMERGENCY_BYTES = 512
MOST_DAYS = 366
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NAMES = ("from", "until", "text", "colleague", "emergency")


@dataclass(frozen=True, slots=True)
class Absence:
    """``colleague`` is who takes messages meanwhile; ``emergency`` is one line. Texts may be empty.

    Malformed ``away-days``, ``away-text``, ``away-emergency``.
    """

    first_day: date
    last_day: date
    text: str = ""
    colleague: Address | None = None
    emergency: str = ""

    def __post_init__(self) -> None:
        is_last = self.last_day == date.max  # no moment comes after it
        if is_last or not 0 <= (self.last_day - self.first_day).days < MOST_DAYS:
            raise Malformed("away-days")
        if not _is_plain(self.text.replace("\n", " "), TEXT_BYTES):
            raise Malformed("away-text")
        if not _is_plain(self.emergency, EMERGENCY_BYTES):
            raise Malformed("away-emergency")

    def __repr__(self) -> str:
        return f"Absence({self.first_day}, {self.last_day})"

    @property
    def ends_at(self) -> datetime:
        """The first moment after it."""
        return datetime.combine(self.last_day + timedelta(days=1), time(), UTC)

    def is_on(self, now: datetime) -> bool:
        return self.first_day <= now.astimezone(UTC).date() <= self.last_day

    def is_over(self, now: datetime) -> bool:
        return now >= self.ends_at


def format_absence(absence: Absence) -> bytes:
    """One JSON object; what is empty is left out."""
    fields = {
        "from": absence.first_day.isoformat(),
        "until": absence.last_day.isoformat(),
        "text": absence.text,
        "colleague": "" if absence.colleague is None else str(absence.colleague),
        "emergency": absence.emergency,
    }
    return json.dumps({name: text for name, text in fields.items() if text}, ensure_ascii=False).encode()


def parse_absence(raw: bytes) -> Absence:
    """The JSON object again, as people may write it too. Malformed ``away-…``."""
    try:
        fields = json.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("away-syntax") from error
    is_known = isinstance(fields, dict) and fields.keys() <= set(_NAMES)
    if not is_known or not all(isinstance(value, str) for value in fields.values()):
        raise Malformed("away-syntax")
    return read_absence(*(fields.get(name, "") for name in _NAMES))


def read_absence(first_day: str, last_day: str, text: str, colleague: str, emergency: str) -> Absence:
    """An absence from the texts of a form or a command: days as 2026-12-24. Malformed ``away-…``."""
    try:
        days = date.fromisoformat(first_day.strip()), date.fromisoformat(last_day.strip())
    except ValueError as error:
        raise Malformed("away-days") from error
    try:
        found = parse_address(colleague.strip()) if colleague.strip() else None
    except Malformed as error:
        raise Malformed("away-colleague", error.code) from error
    lines = "\n".join(line.rstrip() for line in text.replace("\t", " ").splitlines()).strip()
    return Absence(*days, lines, found, " ".join(emergency.split()))


def _is_plain(text: str, limit_bytes: int) -> bool:
    """Short enough, and without controls or invisible marks that turn a sentence round."""
    if len(text) > limit_bytes or any(unicodedata.category(char) in _HIDDEN for char in text):
        return False
    return len(text.encode()) <= limit_bytes
