"""How many connections there are at once: in all, from one network, from one place (S4). Event loop only.

Who is refused is told to the operator in one line a minute at most, by network: a flood must not fill the log.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from mailserver.model.network import network_of, place_of

TOLD_SECONDS = 60.0
_PLACES_OF_A_NETWORK = 4


@dataclass(frozen=True, slots=True)
class Caps:
    """Most connections at once. A network (/24 or /48) may have what four places have."""

    in_all: int
    of_place: int


class Crowd:
    """Counts who is in. ``name`` is the listener's, for the operator's log; ``clock`` gives monotonic seconds."""

    def __init__(
        self, caps: Caps, name: str, logger: logging.Logger, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._caps = caps
        self._name = name
        self._logger = logger
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._in_all = 0
        self._refused = 0
        self._told_at = -TOLD_SECONDS

    def __len__(self) -> int:
        return self._in_all

    def may_enter(self, peer: str) -> bool:
        """Whether one more from ``peer`` has room. A refusal is counted for the log."""
        place, network = self._keys(peer)
        caps = self._caps
        has_room = (
            self._in_all < caps.in_all
            and self._counts[place] < caps.of_place
            and self._counts[network] < _PLACES_OF_A_NETWORK * caps.of_place
        )
        if not has_room:
            self._note_refused(peer)
        return has_room

    def enter(self, peer: str) -> None:
        self._in_all += 1
        self._counts.update(self._keys(peer))

    def leave(self, peer: str) -> None:
        """Once for each ``enter``; who has no connection left is not kept."""
        self._in_all -= 1
        for key in self._keys(peer):
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def _keys(self, peer: str) -> tuple[str, str]:
        return f"place {place_of(peer)}", f"network {network_of(peer)}"

    def _note_refused(self, peer: str) -> None:
        self._refused += 1
        now = self._clock()
        if now - self._told_at < TOLD_SECONDS:
            return
        fields = {"listener": self._name, "network": network_of(peer), "count": self._refused}
        self._logger.warning("too many connections, refused", extra=fields)
        self._refused, self._told_at = 0, now
