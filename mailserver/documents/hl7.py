"""HL7 version 2 composites as ebRIM slots carry them (IHE ITI TF-3 §4.2.3.1.7): CX, XCN, XON, DTM.

Reading is liberal in what is absent and exact in what is kept: a part that does not have its shape is empty, never
guessed. A patient id is a number **and** the OID that assigned it; either missing makes it incomplete.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone

_OID = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]*)){1,40}")
_TIME = re.compile(
    r"(?P<year>[0-9]{4})(?P<month>[0-9]{2})?(?P<day>[0-9]{2})?(?P<hour>[0-9]{2})?(?P<minute>[0-9]{2})?"
    r"(?P<second>[0-9]{2})?(?:\.[0-9]{1,6})?(?P<sign>[+-])?(?P<zone>[0-9]{4})?"
)


@dataclass(frozen=True, slots=True)
class PatientId:
    """Assigning OID and number, as written; either may be empty. ``raw`` is the whole field, for inspection only."""

    oid: str
    number: str
    raw: str = field(default="", compare=False)

    @property
    def is_complete(self) -> bool:
        return bool(self.oid and self.number)

    def __repr__(self) -> str:
        return "PatientId(…)"


@dataclass(frozen=True, slots=True)
class Person:
    """A professional: national or local id with its OID, and names; any may be empty."""

    identifier: str = ""
    oid: str = ""
    family: str = ""
    given: str = ""


@dataclass(frozen=True, slots=True)
class Institution:
    """A structure: its name, its id and the OID that assigned it; any may be empty."""

    name: str = ""
    identifier: str = ""
    oid: str = ""


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote: a person, on behalf of institutions, with role and speciality as written."""

    person: Person = Person()
    institutions: tuple[Institution, ...] = ()
    role: str = ""
    specialty: str = ""


def is_oid(text: str) -> bool:
    return _OID.fullmatch(text) is not None


def parse_patient_id(text: str) -> PatientId:
    """``number^^^&OID&ISO^type`` (CX). Parts out of place are dropped, so that the id shows as incomplete."""
    components = text.split("^")
    return PatientId(_authority(components, 3), components[0].strip(), text)


def parse_person(text: str) -> Person:
    """``id^family^given^…`` with the authority in the ninth component (XCN); a bare text is a family name."""
    components = text.split("^")
    if len(components) == 1:
        return Person(family=text.strip())
    identifier, family, given = (*components, "", "")[:3]
    return Person(identifier.strip(), _authority(components, 8), family.strip(), given.strip())


def parse_institution(text: str) -> Institution:
    """``name^^^^^&OID&ISO^^^^id`` (XON)."""
    components = text.split("^")
    identifier = components[9].strip() if len(components) > 9 else ""
    return Institution(components[0].strip(), identifier, _authority(components, 5))


def find_time(text: str) -> datetime | None:
    """A DTM or a CDA TS as UTC (without offset it is UTC already, TF-3 §4.2.3.1.7), or None if it is not a date.

    A date without time is its midnight.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None or (match["sign"] is None) != (match["zone"] is None):
        return None
    year, month, day, hour, minute, second = (match[name] for name in _TIME_PARTS)
    zone = UTC
    try:
        if match["zone"] is not None:
            shift = timedelta(hours=int(match["zone"][:2]), minutes=int(match["zone"][2:]))
            zone = timezone(-shift if match["sign"] == "-" else shift)
        moment = datetime(
            int(year),
            int(month or 1),
            int(day or 1),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=zone,
        )
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def find_date(text: str) -> date | None:
    """The calendar day of a TS, as written (no shift between zones), or None."""
    digits = text.strip()[:8]
    if len(digits) < 8 or not (digits.isascii() and digits.isdigit()):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


_TIME_PARTS = ("year", "month", "day", "hour", "minute", "second")


def _authority(components: list[str], index: int) -> str:
    """The OID of a HD sub-composite ``namespace&OID&ISO``, or nothing."""
    if len(components) <= index:
        return ""
    parts = components[index].split("&")
    oid = parts[1].strip() if len(parts) > 1 else ""
    return oid if is_oid(oid) else ""
