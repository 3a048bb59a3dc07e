"""The pages' texts: one catalogue per language, French where nothing else is asked for. Dates in words, in the operator's zone."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from importlib import resources

from mailserver.audit.wording import Language

_MEBIBYTE = 1024 * 1024
_NO_BREAK = "\N{NO-BREAK SPACE}"
_SPACED_BEFORE = ("»", ":", ";", "–")


@dataclass(frozen=True, slots=True)
class Words:
    """One language. ``words("inbox.title")`` is its text; a key that is missing is a KeyError, and a test."""

    language: Language
    texts: dict[str, str]
    zone: tzinfo

    def __call__(self, key: str, **values: object) -> str:
        return self.texts[key].format(**values) if values else self.texts[key]

    def count(self, key: str, number: int) -> str:
        """``key.none`` where there is one, ``key.one`` or ``key.many``, with the number in it."""
        if number == 0 and f"{key}.none" in self.texts:
            return self(f"{key}.none")
        return self(f"{key}.{'one' if number == 1 else 'many'}", number=number)

    def unbroken(self, sentence: str) -> str:
        """The sentence with its marks kept on the line of the word that they belong to, as French has them."""
        for mark in _SPACED_BEFORE:
            sentence = sentence.replace(f" {mark}", f"{_NO_BREAK}{mark}")
        return sentence.replace("« ", f"«{_NO_BREAK}")

    def day(self, when: datetime) -> str:
        return self._date("date.day", when)

    def moment(self, when: datetime) -> str:
        return self._date("date.moment", when)

    def hour(self, when: datetime) -> str:
        return self._date("date.hour", when)

    def month(self, when: datetime) -> str:
        return self._date("date.month", when)

    def date_of(self, day: date) -> str:
        """A day that is the same everywhere."""
        return self.day(datetime(day.year, day.month, day.day, 12, tzinfo=self.zone))

    def _date(self, key: str, when: datetime) -> str:
        local = when.astimezone(self.zone)
        return self(
            key,
            weekday=self.texts["date.weekdays"].split(" ")[local.weekday()],
            day=self.texts["date.first"] if local.day == 1 else str(local.day),
            month=self.texts["date.months"].split(" ")[local.month - 1],
            year=local.year,
            hour=local.hour,
            minute=f"{local.minute:02d}",
        )

    def size(self, size_bytes: int) -> str:
        """A size as people say it."""
        if size_bytes < _MEBIBYTE:
            return self("size.kilo", number=max(1, round(size_bytes / 1024)))
        number = f"{size_bytes / _MEBIBYTE:.1f}".replace(".", self.texts["size.comma"])
        return self("size.mega", number=number)


@cache
def load_words(language: Language, zone: tzinfo = UTC) -> Words:
    """The catalogue of a language, read once; dates are told in ``zone``."""
    folder = resources.files(__package__).joinpath("catalogues")
    texts: dict[str, str] = json.loads(folder.joinpath(f"{language.value}.json").read_text(encoding="utf-8"))
    return Words(language, texts, zone)
