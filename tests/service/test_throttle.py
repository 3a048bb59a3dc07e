"""Failed logins wait the longer the more there were, and nobody is ever locked out."""

from mailserver.service.throttle import MOST_KEYS, Throttle, network_of

PEER, OTHER = "192.0.2.7", "198.51.100.9"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_first_failures_are_free() -> None:
    throttle = Throttle(Clock())
    for _ in range(4):
        throttle.note_failure(PEER, "a")
    assert throttle.delay_seconds(PEER, "a") == 0


def test_delay_grows_and_is_bounded() -> None:
    throttle = Throttle(Clock())
    delays = []
    for _ in range(40):
        throttle.note_failure(PEER, "a")
        delays.append(throttle.delay_seconds(PEER, "a"))
    assert delays == sorted(delays)
    assert delays[5] > 0
    assert max(delays) == 15.0


def test_a_stranger_delays_the_holder_by_seconds_only() -> None:
    throttle = Throttle(Clock())
    for _ in range(1000):
        throttle.note_failure(PEER, "Holder@a.localhost")
    assert 0 < throttle.delay_seconds(OTHER, "holder@A.localhost") <= 4.0
    assert throttle.delay_seconds(OTHER, "else@a.localhost") == 0


def test_neighbours_share_their_network() -> None:
    throttle = Throttle(Clock())
    for last in range(60):
        throttle.note_failure(f"192.0.2.{last}", f"user{last}")
    assert throttle.delay_seconds("192.0.2.200", "new") > 0


def test_success_clears_and_time_forgets() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(12):
        throttle.note_failure(PEER, "a")
    throttle.note_success(PEER, "a")
    assert throttle.delay_seconds(PEER, "a") == 0
    for _ in range(12):
        throttle.note_failure(PEER, "b")
    clock.now += 12 * 3600
    assert throttle.delay_seconds(PEER, "b") == 0


def test_memory_is_bounded_and_holds_no_name() -> None:
    throttle = Throttle(Clock())
    for number in range(MOST_KEYS // 2):
        throttle.note_failure("", f"camille{number}@a.localhost")
    assert len(throttle._failures) <= MOST_KEYS
    assert not any(b"camille" in key for key in throttle._failures)


def test_networks() -> None:
    assert network_of("192.0.2.7") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("::ffff:192.0.2.7") == "192.0.2.0/24"
    assert network_of("fe80::1%eth0") == "fe80::/48"
    assert network_of("not an address") == ""
