"""Which of our languages a client asks for."""

from mailserver.audit.wording import Language

DEFAULT = Language.FRENCH


def choose_language(accepted: str) -> Language:
    """The best of Accept-Language (RFC 9110 §12.5.4) that we have words in; French when none is named."""
    best, best_weight = DEFAULT, 0.0
    for part in accepted[:200].split(","):
        tag, _, parameter = part.strip().partition(";")
        weight = _weight(parameter)
        name = tag.strip().lower().partition("-")[0]
        if name in set(Language) and weight > best_weight:
            best, best_weight = Language(name), weight
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        return min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0
