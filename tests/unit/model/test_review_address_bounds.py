"""Addresses from strangers: bounded before IDNA, and no lone surrogate gets past Malformed."""

import pytest

from mailserver.model.address import Address, DomainName, parse_address, parse_domain
from mailserver.model.errors import Malformed


@pytest.mark.parametrize("text", ["é" * 256, ".".join(["é" * 5] * 60), ".".join(["é" * 50] * 5000)])
def test_a_long_name_never_reaches_idna(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reached = []

    class Watched(str):
        __slots__ = ()

        def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
            reached.append(encoding)
            return super().encode(encoding, errors)

        def removesuffix(self, suffix: str, /) -> "Watched":
            return Watched(super().removesuffix(suffix))

    with pytest.raises(Malformed) as refused:
        parse_domain(Watched(text))
    assert (refused.value.code, reached) == ("domain-syntax", [])


@pytest.mark.parametrize("local", ["\ud800", "a\udfff", "é\udc80", "\ud800" * 10_000])
def test_a_lone_surrogate_is_malformed(local: str) -> None:
    for call in (
        lambda: parse_address(f"{local}@a.localhost"),
        lambda: Address(local, DomainName("a.localhost")),
    ):
        with pytest.raises(Malformed) as refused:
            call()
        assert refused.value.code == "address-syntax"
    with pytest.raises(Malformed) as refused:
        parse_address(f"a@{local}.localhost")
    assert refused.value.code == "domain-syntax"


def test_names_at_the_bounds_still_pass() -> None:
    longest = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(longest) == 253
    assert parse_domain(longest + ".").name == longest
    assert parse_domain("hôpital.example").name == "xn--hpital-ixa.example"
    assert parse_address("é" * 32 + "@a.localhost").local == "é" * 32
    with pytest.raises(Malformed):
        parse_address("é" * 33 + "@a.localhost")
