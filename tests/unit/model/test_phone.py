"""Numbers as people type them."""

import pytest

from mailserver.model.errors import Malformed
from mailserver.model.phone import has_prefix, parse_phone


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("+33 6 12 34 56 78", "+33612345678"),
        ("06.12.34.56.78", "+33612345678"),
        ("0612345678", "+33612345678"),
        ("0033 612345678", "+33612345678"),
        ("+1 (202) 555-0100", "+12025550100"),
        ("06\u00a012\u202f34 56 78", "+33612345678"),
    ],
)
def test_numbers(typed, number):
    assert parse_phone(typed) == number


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "612345678",
        "06123",
        "+0612345678",
        "+33six",
        "+123456789012345678",
        "0612345678\0",
        "٠٦١٢٣٤٥٦٧٨",
        "1" * 9999,
    ],
)
def test_what_is_none(typed):
    with pytest.raises(Malformed):
        parse_phone(typed)


@pytest.mark.parametrize(
    ("prefixes", "is_in"),
    [
        (["+33"], True),
        (["+262", "+33"], True),
        (["+336"], True),
        (["+"], True),
        (["+34", "+3"], True),
        (["+337"], False),
        ([], False),
    ],
)
def test_beginnings(prefixes, is_in):
    assert has_prefix("+33612345678", prefixes) is is_in
