"""The subject of a message that carries an XDM archive: ``XDM/1.0/DDM+<label> <NAME> <first> <date>`` (ECO.2.1.3).

The person in it is a hint for the eye; the patient is found from METADATA.XML alone (ECO.2.1.2). A reader hides the
technical prefix (ECO.3.1.3).
"""

import re
from dataclasses import dataclass, field
from datetime import date

from mailserver.documents.codes import load_document_types

_MARKER = re.compile(r"XDM/1\.0/DDM(?:\+DICOM-ZIP)?[+ ]?\s*", re.IGNORECASE)
_LEADS = re.compile(
    r"(?P<leads>(?:\s*(?:(?:re|fw|fwd|tr|rép|réf)\s*:|\[(?:KO Intégration système !|Erreur d'intégration !)\]"
    r"|\[(?P<code>[0-9]{1,3})\]))*)\s*",
    re.IGNORECASE,
)
_COUNT = re.compile(r"[0-9]{1,4} documents(?= |$)")
_DATE = re.compile(r"(?P<day>[0-9]{2})/(?P<month>[0-9]{2})/(?P<year>[0-9]{4})")
_LABEL_CHARACTERS = 40
MAX_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class XdmSubject:
    """``failure_code`` is the number of an integration failure (900…), 0 otherwise. Names are guesses, maybe empty."""

    label: str
    family: str = field(repr=False)
    given: str = field(repr=False)
    birth_date: date | None = field(repr=False)
    failure_code: int


def find_xdm_subject(subject: str) -> XdmSubject | None:
    """The parts of a decoded subject that bears the marker, or None.

    A known label (a type's, cut at 40 characters, or ``N documents``) is cut off; otherwise the names are the last
    two words.
    """
    marked = _split(subject)
    if marked is None:
        return None
    _, code, text = marked
    label = _known_label(text)
    words = text[len(label) :].split()
    birth_date = _find_birth_date(words[-1]) if words else None
    if words and _DATE.fullmatch(words[-1]):
        words.pop()
    if not label and len(words) > 2:
        label, words = " ".join(words[:-2]), words[-2:]
    if len(words) < 2:
        return XdmSubject(text, "", "", None, code)
    capitals = next((rank for rank, word in enumerate(words) if word != word.upper()), len(words))
    cut = min(max(capitals, 1), len(words) - 1)
    return XdmSubject(label, " ".join(words[:cut]), " ".join(words[cut:]), birth_date, code)


def display_subject(subject: str) -> str:
    """The subject without its technical prefix; leads (Re:, failure tags) stay; other subjects are unchanged."""
    marked = _split(subject)
    if marked is None:
        return subject
    return " ".join(part for part in (marked[0], marked[2]) if part)


def _split(subject: str) -> tuple[str, int, str] | None:
    """Leads, failure code and the text behind the marker."""
    leads = _LEADS.match(subject[:MAX_CHARACTERS])
    if leads is None:
        return None
    marker = _MARKER.match(subject, leads.end())
    if marker is None:
        return None
    return (
        leads["leads"].strip(),
        int(leads["code"] or 0),
        " ".join(subject[marker.end() : MAX_CHARACTERS].split()),
    )


def _known_label(text: str) -> str:
    """The longest known label that ``text`` begins with, as written there, or nothing."""
    count = _COUNT.match(text)
    labels = (row.code.label[:_LABEL_CHARACTERS].rstrip() for row in load_document_types().rows.values())
    folded = text.casefold()
    known = (label for label in labels if folded.startswith(f"{label.casefold()} "))
    return count[0] if count else text[: max((len(label) for label in known), default=0)]


def _find_birth_date(word: str) -> date | None:
    match = _DATE.fullmatch(word)
    if match is None:
        return None
    try:
        return date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:
        return None
