"""What one account may have under way at once, so that it does not take what is there for all (S4)."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from mailserver.model.errors import OverLimit
from mailserver.model.ids import AccountId


class Shares:
    """At most ``most`` of each account; on the event loop only. Who has none is not kept. ``code`` names the refusal."""

    def __init__(self, most: int, code: str) -> None:
        self._most = most
        self._code = code
        self._taken: Counter[AccountId] = Counter()

    @contextmanager
    def take(self, account_id: AccountId) -> Iterator[None]:
        """One more, until the block ends. Raises OverLimit, with the code."""
        if self._taken[account_id] >= self._most:
            raise OverLimit(self._code)
        self._taken[account_id] += 1
        try:
            yield
        finally:
            self._taken[account_id] -= 1
            if not self._taken[account_id]:
                del self._taken[account_id]
