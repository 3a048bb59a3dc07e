"""The name that stands beside an address in mail that we compose (ECO.2.2.7, ``facts/mssante`` §3.2).

A professional: ``<Titre>_<Prenom>_<NOM>_<Entité>``, of which first name and NOM are compulsory; a service or an
application: its functional name; a patient: the name as it is.
"""

from mailserver.model.account import AccountKind
from mailserver.service.directory import Profile

TITLES = frozenset({"dr", "pr", "m", "mme", "mlle", "me", "docteur", "professeur"})


def format_label(kind: AccountKind, profile: Profile) -> str:
    """The label; the plain name where first name and NOM cannot be told apart by their capitals."""
    if kind is not AccountKind.PER:
        return profile.name
    words = profile.name.replace("_", " ").split()
    titles = words[:1] if words and words[0].rstrip(".").casefold() in TITLES else []
    rest = words[len(titles) :]
    first = next((rank for rank, word in enumerate(rest) if _is_capitals(word)), len(rest))
    given, family = rest[:first], rest[first:]
    if not given or not family or not all(map(_is_capitals, family)):
        return profile.name
    structure = " ".join(profile.structure.replace("_", " ").split())
    parts = (" ".join(titles), " ".join(given), " ".join(family), structure)
    return "_".join(part for part in parts if part)


def _is_capitals(word: str) -> bool:
    return word.isupper() and not word.endswith(".")
