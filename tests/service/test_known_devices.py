"""A browser's token: for the addresses it was made for, for half a year, and nothing else is known by it (S9)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.secret import Secret
from mailserver.model.address import parse_address
from mailserver.service.known_devices import LIFE_SECONDS, KnownDevices
from mailserver.store.row_macs import RowMacs

NOW = datetime(2026, 6, 1, tzinfo=UTC)
FIRST, SECOND = "camille@a.localhost", "c.fictif@a.localhost"
DEVICES = KnownDevices(RowMacs(Secret(bytes(32))))
TOKEN = DEVICES.new_token(map(parse_address, (FIRST, SECOND)), NOW)


def is_known(login: str, token: str, now: datetime = NOW, devices: KnownDevices = DEVICES) -> bool:
    return devices.standing_of(login, token, now) is Standing.KNOWN


@pytest.mark.parametrize("login", [FIRST, SECOND, "CAMILLE@A.LOCALHOST"])
def test_known_by_each_address(login: str) -> None:
    assert is_known(login, TOKEN)


@pytest.mark.parametrize("login", ["other@a.localhost", "camille@b.localhost", "", "no address"])
def test_nobody_else_is_known(login: str) -> None:
    assert not is_known(login, TOKEN)


def test_half_a_year() -> None:
    assert is_known(FIRST, TOKEN, NOW + timedelta(seconds=LIFE_SECONDS - 1))
    assert not is_known(FIRST, TOKEN, NOW + timedelta(seconds=LIFE_SECONDS))


def test_another_operator_knows_nothing_of_it() -> None:
    assert not is_known(FIRST, TOKEN, devices=KnownDevices(RowMacs(Secret(b"\1" * 32))))


def test_two_tokens_have_nothing_in_common_and_hold_no_address() -> None:
    other = DEVICES.new_token([parse_address(FIRST)], NOW)
    assert other[:21] != TOKEN[:21]
    assert "camille" not in other


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from("ABCxyz019-_!é\0"))
def test_any_change_of_its_head_is_noticed(at: int, letter: str) -> None:
    changed = TOKEN[:at] + letter + TOKEN[at + 1 :]
    if at < 32:  # the head; after it, one altered mark of two leaves the other
        assert is_known(FIRST, changed) == (changed == TOKEN)
    assert not is_known("other@a.localhost", changed)


@given(st.text(max_size=300))
def test_garbage_is_a_stranger(token: str) -> None:
    assert not is_known(FIRST, token)


def test_many_addresses_and_long_tokens() -> None:
    many = [parse_address(f"a{number}@a.localhost") for number in range(20)]
    token = DEVICES.new_token(many, NOW)
    assert is_known("a7@a.localhost", token)
    assert not is_known("a8@a.localhost", token)
    assert not is_known(FIRST, TOKEN + "AAAA" * 100)
