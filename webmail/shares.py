"""What one account, or one network, may have under way at once, so that it does not take what is there for all (S4)."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from mailserver.model.errors import OverLimit


class Shares:
    """At most ``most`` of each holder; on the event loop only. Who has none is not kept. ``code`` names the refusal."""

    def __init__(self, most: int, code: str) -> None:
        self._most = most
        self._code = code
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def take(self, holder: Hashable) -> Iterator[None]:
        """One more, until the block ends. Raises OverLimit, with the code."""
        if self._taken[holder] >= self._most:
            raise OverLimit(self._code)
        self._taken[holder] += 1
        try:
            yield
        finally:
            self._taken[holder] -= 1
            if not self._taken[holder]:
                del self._taken[holder]
