"""Connections are counted by place, network and in all; a flood of refusals is a line a minute (S4)."""

import logging

import pytest

from mailserver.model.network import network_of, place_of
from mailserver.tls.crowd import TOLD_SECONDS, Caps, Crowd

LOGGER = logging.getLogger("pli.test")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def crowd_of(in_all: int, of_place: int, clock: Clock | None = None) -> Crowd:
    return Crowd(Caps(in_all, of_place), "web", LOGGER, clock or Clock())


def fill(crowd: Crowd, *peers: str) -> None:
    for peer in peers:
        assert crowd.may_enter(peer), peer
        crowd.enter(peer)


def test_one_place_has_its_share() -> None:
    crowd = crowd_of(100, 2)
    fill(crowd, "192.0.2.7", "192.0.2.7")
    assert not crowd.may_enter("192.0.2.7")
    assert crowd.may_enter("192.0.2.8")
    crowd.leave("192.0.2.7")
    assert crowd.may_enter("192.0.2.7")


def test_a_household_of_ipv6_is_one_place() -> None:
    crowd = crowd_of(100, 2)
    fill(crowd, "2001:db8:1:2::3", "2001:db8:1:2:ffff::4")
    assert not crowd.may_enter("2001:db8:1:2::5")
    assert crowd.may_enter("2001:db8:1:3::5")


def test_a_network_has_what_four_places_have() -> None:
    crowd = crowd_of(100, 1)
    fill(crowd, *(f"192.0.2.{last}" for last in range(4)))
    assert not crowd.may_enter("192.0.2.9")
    assert crowd.may_enter("198.51.100.9")


def test_all_together_are_bounded_and_who_left_is_forgotten() -> None:
    crowd = crowd_of(3, 3)
    peers = ("192.0.2.7", "198.51.100.9", "")
    fill(crowd, *peers)
    assert not crowd.may_enter("203.0.113.1")
    for peer in peers:
        crowd.leave(peer)
    assert (len(crowd), crowd._counts) == (0, {})


def test_a_flood_is_one_line_a_minute_without_an_address(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    crowd = crowd_of(100, 0, clock)
    with caplog.at_level(logging.INFO, "pli.test"):
        for _turn in range(500):
            assert not crowd.may_enter("192.0.2.7")
        assert [(each.count, each.network) for each in caplog.records] == [(1, "192.0.2.0/24")]
        clock.now += TOLD_SECONDS
        crowd.may_enter("192.0.2.7")
    assert [each.count for each in caplog.records] == [1, 500]
    assert not any("192.0.2.7" in str(vars(each)) for each in caplog.records)


@pytest.mark.parametrize(
    ("peer", "place", "network"),
    [
        ("192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/64", "fe80::/48"),
        ("not an address", "not an address", ""),
        ("", "", ""),
    ],
)
def test_places_and_networks(peer: str, place: str, network: str) -> None:
    assert (place_of(peer), network_of(peer)) == (place, network)
