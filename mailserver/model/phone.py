"""A telephone number in its international form (ITU-T E.164), as SMS providers want it."""

import re
from collections.abc import Sequence
from typing import NewType

from mailserver.model.errors import Malformed

PhoneNumber = NewType("PhoneNumber", str)
_SPACES = re.compile(r"[\s.\-()/\u00a0\u202f]+")
_INTERNATIONAL = re.compile(r"\+[1-9][0-9]{6,14}")
_FRENCH = re.compile(r"0([1-9][0-9]{8})")


def parse_phone(text: str) -> PhoneNumber:
    """``+33 6 12 34 56 78``, ``0033 6…`` or the French ``06 12 34 56 78``. Raises Malformed("phone-syntax")."""
    digits = _SPACES.sub("", text[:40])
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    if (french := _FRENCH.fullmatch(digits)) is not None:
        digits = f"+33{french[1]}"
    if not _INTERNATIONAL.fullmatch(digits):
        raise Malformed("phone-syntax")
    return PhoneNumber(digits)


def has_prefix(number: str, prefixes: Sequence[str]) -> bool:
    """Whether a number as ``parse_phone`` gives it begins with one of these, as ``+33``; ``+`` is every country."""
    return number.startswith(tuple(prefixes))
