"""Which annotations fit beside a mailbox."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.model.errors import OverLimit
from mailserver.service.annotations import MOST_ENTRIES, TOTAL_BYTES, VALUE_BYTES, change_entries


def test_set_and_taken_away() -> None:
    entries = change_entries((), {"/private/b": b"2", "/private/a": b"1", "/private/c": None})
    assert entries == (("/private/a", b"1"), ("/private/b", b"2"))
    assert change_entries(entries, {"/private/a": None, "/private/b": b""}) == (("/private/b", b""),)


def test_what_the_standard_asks_for_fits() -> None:
    """RFC 5464 §4.1: ten entries of 1024 octets."""
    many = {f"/private/{number}": b"x" * 1024 for number in range(10)}
    assert dict(change_entries((), many)) == many


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"/private/a": b"x" * (VALUE_BYTES + 1)}, "annotation-size"),
        ({f"/private/{number}": b"" for number in range(MOST_ENTRIES + 1)}, "annotation-count"),
        (
            {f"/private/{n}": b"x" * VALUE_BYTES for n in range(TOTAL_BYTES // VALUE_BYTES)},
            "annotation-count",
        ),
    ],
)
def test_what_does_not_fit(changes: dict[str, bytes | None], code: str) -> None:
    with pytest.raises(OverLimit) as refused:
        change_entries((), changes)
    assert refused.value.code == code


values = st.dictionaries(st.text("ab/", max_size=3), st.none() | st.binary(max_size=3), max_size=5)


@given(values, values)
def test_as_a_dictionary_would(first: dict[str, bytes | None], second: dict[str, bytes | None]) -> None:
    entries = change_entries(change_entries((), first), second)
    assert dict(entries) == {name: value for name, value in {**first, **second}.items() if value is not None}
    assert list(entries) == sorted(entries)
