"""What stands above the form of a message to somebody who is away, before anything is written."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from mailserver.service.shown_names import isolated, plain_name
from mailserver.service.web_answers import AwayPerson
from webmail.words import Words


@dataclass(frozen=True, slots=True)
class AwayNotice:
    """What stands above the form of a message to somebody who is away."""

    head: str
    text: str
    lines: tuple[str, ...]


def away_notices(people: Iterable[AwayPerson], words: Words) -> list[AwayNotice]:
    """One for each recipient who is away, before anything is written to them."""
    return [_notice(each, words) for each in people]


def _notice(away: AwayPerson, words: Words) -> AwayNotice:
    absence, name = away.absence, plain_name(away.person.name)
    who = isolated(name or str(away.person.address))
    lines = []
    if absence.colleague is not None:
        lines.append(words("away.colleague", who=isolated(str(absence.colleague))))
    if absence.emergency:
        lines.append(words("away.emergency", text=isolated(absence.emergency)))
    head = words("away.head", who=who, until=words.day(_noon(absence.last_day)))
    return AwayNotice(head, absence.text, tuple(lines))


def _noon(day: date) -> datetime:
    """A moment that is this day wherever the reader is."""
    return datetime.combine(day, time(12), UTC)
