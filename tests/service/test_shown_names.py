"""A display name cannot be taken for an address, nor turn the one beside it round (S8)."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.mime.summary import DisplayAddress
from mailserver.service.shown_names import plain_name, plain_person


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Dr Camille FICTIF", "Dr Camille FICTIF"),
        ("  Hôpital\tdu  Parc ", "Hôpital du Parc"),
        ("د. كاميل", "د. كاميل"),
        ("Dr Martin \u202e", "Dr Martin"),
        ("\u202dDr\u200b Martin\u2069", "Dr Martin"),
        ("Dr\u00adMartin\u061c\ufeff", "Dr Martin"),
        ("Dr\nMartin\u2028Paris\0", "Dr Martin Paris"),
        ("dr.martin@hopital.example", ""),
        ("Dr Martin (dr.martin\ufe6bhopital.example)", ""),
        ("dr.martin\uff20hopital.example", ""),
        ("dr.martin\u200b@\u200bhopital.example", ""),
        ("", ""),
    ],
)
def test_names(name: str, shown: str) -> None:
    assert plain_name(name) == shown


@given(st.text())
def test_no_name_holds_a_hidden_sign_or_an_at(name: str) -> None:
    shown = plain_name(name)
    assert not any(unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for char in shown)
    assert "@" not in unicodedata.normalize("NFKC", shown)
    assert plain_name(shown) == shown


def test_the_address_is_plain_too() -> None:
    shown = plain_person(DisplayAddress("Dr Martin\u202e", "a\u202e@b.example"))
    assert (shown.name, shown.address) == ("Dr Martin", "a @b.example")
