"""Guessing is slowed down (S9): failed logins by address, network and account, shared by IMAP, SMTP, the web and the API.

In memory, of one process, bounded; the account's name is kept only as a salted hash. Nothing is ever refused here:
an attempt waits, so that nobody can lock a person out. What is unknown and what exists cost the same (K22). Attempts
under way count too, so that many at once do not all pass before the first has failed.
"""

import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from mailserver.model.network import network_of

MOST_KEYS = 100_000
FORGET_SECONDS = 1800.0
"""A failure weighs half after this time."""
_STEP_SECONDS = 0.25

__all__ = ["Throttle", "network_of"]


@dataclass(frozen=True, slots=True)
class _Budget:
    """How many failures are free, the longest wait, and how many may be under way before they weigh as failures."""

    free: int
    most_seconds: float
    at_once: int


class _Kind(Enum):
    ADDRESS = _Budget(4, 15.0, 8)  # a practice or a ward that comes to work has one address
    NETWORK = _Budget(40, 8.0, 32)
    ACCOUNT = _Budget(8, 4.0, 0)  # short: a stranger's guesses delay the holder's own login, and no more


class Throttle:
    """``clock`` gives monotonic seconds. Safe to use from one thread (the event loop).

    ``on_failure`` gets the login and the network of each failure that names somebody (L1).
    """

    def __init__(
        self, clock: Callable[[], float], on_failure: Callable[[str, str], None] | None = None
    ) -> None:
        self._clock = clock
        self._on_failure = on_failure
        self._salt = os.urandom(16)
        self._failures: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._under_way: Counter[bytes] = Counter()

    @contextmanager
    def attempt(self, peer: str, login: str, *, is_known: bool = False) -> Iterator[float]:
        """One attempt from its beginning to its end: gives the seconds that it waits first. Note how it ended inside.

        ``is_known``: from a browser that this login is known to come from, which has a budget of its own.
        """
        keys = self._keys(peer, login, is_known=is_known)
        seconds = max(self._delay(kind, key) for kind, key in keys)
        names = [key for _kind, key in keys]
        self._under_way.update(names)
        try:
            yield seconds
        finally:
            for name in names:
                self._under_way[name] -= 1
                if not self._under_way[name]:
                    del self._under_way[name]

    def delay_seconds(self, peer: str, login: str) -> float:
        """How long the next attempt from ``peer`` on ``login`` waits before it is looked at."""
        return max(self._delay(kind, key) for kind, key in self._keys(peer, login))

    def note_failure(self, peer: str, login: str, *, is_known: bool = False) -> None:
        """Count a failed attempt against its address, network and account; of a known browser, against itself."""
        now = self._clock()
        for _kind, key in self._keys(peer, login, is_known=is_known):
            self._failures[key] = (self._weight(key, now) + 1, now)
            self._failures.move_to_end(key)
        while len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)
        if login and self._on_failure is not None:
            self._on_failure(login, network_of(peer))

    def note_success(self, peer: str, login: str) -> None:
        """A right secret clears the account's and the address's count; the network's stays."""
        for kind, key in self._keys(peer, login):
            if kind is not _Kind.NETWORK:
                self._failures.pop(key, None)

    def _delay(self, kind: _Kind, key: bytes) -> float:
        budget = kind.value
        at_once = max(0, self._under_way.get(key, 0) - budget.at_once)
        over = self._weight(key, self._clock()) + at_once - budget.free
        return 0.0 if over <= 0 else min(budget.most_seconds, _STEP_SECONDS * 2.0 ** min(over, 16))

    def _weight(self, key: bytes, now: float) -> float:
        weight, since = self._failures.get(key, (0.0, now))
        return float(weight * 0.5 ** ((now - since) / FORGET_SECONDS))

    def _keys(self, peer: str, login: str, *, is_known: bool = False) -> tuple[tuple[_Kind, bytes], ...]:
        """What an attempt counts against; an attempt that names nobody counts against no account."""
        if is_known:
            return ((_Kind.ACCOUNT, self._key("known", login.strip().casefold())),)
        by_place = (
            (_Kind.ADDRESS, self._key("address", peer)),
            (_Kind.NETWORK, self._key("network", network_of(peer))),
        )
        account = login.strip().casefold()
        return (*by_place, (_Kind.ACCOUNT, self._key("account", account))) if account else by_place

    def _key(self, kind: str, text: str) -> bytes:
        octets = f"{kind}|{text}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(octets, digest_size=16, salt=self._salt).digest()
