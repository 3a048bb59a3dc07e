"""Failed logins wait the longer the more there were, and nobody is ever locked out."""

from collections.abc import Callable
from contextlib import ExitStack, suppress

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


def waits(throttle: Throttle, count: int, login: Callable[[int], str], **more: bool) -> list[float]:
    """What attempts that all begin before the first has ended wait."""
    with ExitStack() as stack:
        return [stack.enter_context(throttle.attempt(PEER, login(n), **more)) for n in range(count)]


def test_a_burst_on_many_accounts_waits_before_any_has_failed() -> None:
    throttle = Throttle(Clock())
    seconds = waits(throttle, 150, lambda number: f"user{number}")
    assert seconds == sorted(seconds)
    assert seconds[:12] == [0.0] * 12, "people of one address who come at once do not wait"
    assert set(seconds[25:]) == {15.0}
    assert waits(throttle, 1, str) == [0.0], "who has ended counts no more"
    assert not throttle._under_way


def test_a_burst_on_one_account_waits() -> None:
    throttle = Throttle(Clock())
    seconds = waits(throttle, 40, lambda _number: "holder@a.localhost")
    assert seconds[:8] == [0.0] * 8
    assert seconds[14] >= 4.0
    assert max(seconds) == 15.0, "they are of one address too"


def test_an_attempt_that_breaks_is_over() -> None:
    throttle = Throttle(Clock())
    with suppress(ValueError), throttle.attempt(PEER, "a"):
        raise ValueError
    assert not throttle._under_way


def test_a_known_browser_does_not_wait_for_strangers_and_has_its_own_budget() -> None:
    throttle = Throttle(Clock())
    for number in range(200):
        throttle.note_failure(PEER, "holder@a.localhost")
        throttle.note_failure(PEER, f"user{number}")
    with throttle.attempt(PEER, "holder@a.localhost", is_known=True) as seconds:
        assert seconds == 0.0
    for _turn in range(12):
        throttle.note_failure(PEER, "holder@a.localhost", is_known=True)
    with throttle.attempt(OTHER, "Holder@a.localhost", is_known=True) as seconds:
        assert seconds > 0
    with throttle.attempt(OTHER, "else@a.localhost", is_known=True) as seconds:
        assert seconds == 0.0


def test_networks() -> None:
    assert network_of("192.0.2.7") == "192.0.2.0/24"
    assert network_of("2001:db8:1:2::3") == "2001:db8:1::/48"
    assert network_of("::ffff:192.0.2.7") == "192.0.2.0/24"
    assert network_of("fe80::1%eth0") == "fe80::/48"
    assert network_of("not an address") == ""


def test_each_failure_that_names_somebody_is_told() -> None:
    """For the log (L1): who was named, and the network it came from; an attempt that names nobody is not told."""
    told: list[tuple[str, str]] = []
    throttle = Throttle(lambda: 0.0, lambda login, network: told.append((login, network)))
    throttle.note_failure("192.0.2.7", "camille@a.localhost")
    throttle.note_failure("192.0.2.8", "")
    throttle.note_failure("2001:db8::1", "camille@a.localhost", is_known=True)
    throttle.note_success("192.0.2.7", "camille@a.localhost")
    assert told == [("camille@a.localhost", "192.0.2.0/24"), ("camille@a.localhost", "2001:db8::/48")]
