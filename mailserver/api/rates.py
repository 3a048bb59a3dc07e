"""How many requests one app password may make: a steady rate with a burst, counted in memory, by each process."""

from collections import OrderedDict
from collections.abc import Callable

from mailserver.model.errors import OverLimit

BURST = 30
SECONDS_EACH = 0.5
"""Two a second in the long run."""
MOST_KEYS = 100_000


class RequestRates:
    """``clock`` gives monotonic seconds. For one thread (the event loop)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._full_at: OrderedDict[bytes, float] = OrderedDict()
        """When each app password will have its whole burst again."""

    def count(self, key: bytes) -> None:
        """One request more. Raises OverLimit("request-rate"), and then it does not count."""
        now = self._clock()
        full_at = max(now, self._full_at.get(key, now)) + SECONDS_EACH
        if full_at - now > BURST * SECONDS_EACH:
            raise OverLimit("request-rate")
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        while len(self._full_at) > MOST_KEYS:
            self._full_at.popitem(last=False)
