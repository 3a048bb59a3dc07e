"""How often the custodian hardens passwords: per account and in all, and what its journal keeps of it.

Whoever asks (a worker) may guess at no more than this speed, and an attack writes a few lines, not one a guess.
Not thread-safe: the custodian holds its lock.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from mailserver.model.errors import OverLimit

COUNT_SECONDS = 600
"""The journal says how often passwords were hardened at most once in this time."""
MANY = 20
"""From this many on in one span, an account has a line of its own."""
_MOST_ACCOUNTS = 50_000


@dataclass(frozen=True, slots=True)
class HardenLimit:
    """Token buckets: ``burst`` at once, then ``per_second``, for one account and for all together.

    Far above what a person types: a stranger's guesses are slowed down elsewhere and must not lock anybody out (S9).
    """

    burst: int = 300
    per_second: float = 1.0
    burst_of_all: int = 2000
    per_second_of_all: float = 200.0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class HardenRate:
    """Takes a token per call. A full bucket is not kept, so that names made up at random fill no memory."""

    def __init__(self, limit: HardenLimit) -> None:
        self._limit = limit
        self._all = _Bucket(limit.burst_of_all, 0.0)
        self._buckets: dict[bytes, _Bucket] = {}

    def take(self, account: bytes, now: datetime) -> None:
        """Raises OverLimit("harden-rate")."""
        limit, at = self._limit, now.timestamp()
        if len(self._buckets) >= _MOST_ACCOUNTS:
            self._forget_full(at)
        bucket = self._buckets.setdefault(account, _Bucket(limit.burst, at))
        _fill(bucket, limit.burst, limit.per_second, at)
        _fill(self._all, limit.burst_of_all, limit.per_second_of_all, at)
        if min(bucket.tokens, self._all.tokens) < 1:
            raise OverLimit("harden-rate")
        bucket.tokens -= 1
        self._all.tokens -= 1

    def _forget_full(self, at: float) -> None:
        limit = self._limit
        for bucket in self._buckets.values():
            _fill(bucket, limit.burst, limit.per_second, at)
        self._buckets = {
            account: bucket for account, bucket in self._buckets.items() if bucket.tokens < limit.burst
        }


def _fill(bucket: _Bucket, burst: int, per_second: float, at: float) -> None:
    """A clock that was put back gives nothing and takes nothing."""
    bucket.tokens = min(burst, bucket.tokens + max(0.0, at - bucket.at) * per_second)
    bucket.at = at


class HardenCounts:
    """What the journal will say: one line for all, and one for each account that was asked for often."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._refused = 0
        self._others = 0
        self._since: datetime | None = None

    def note(self, account: bytes, now: datetime, *, is_refused: bool) -> None:
        """Count one call."""
        self._since = self._since or now
        self._refused += is_refused
        if account in self._counts or len(self._counts) < _MOST_ACCOUNTS:
            self._counts[account] += 1
        else:
            self._others += 1

    def is_due(self, now: datetime) -> bool:
        """Whether the span is over; a clock that was put back ends it too."""
        return self._since is not None and abs((now - self._since).total_seconds()) >= COUNT_SECONDS

    def lines(self) -> Iterator[tuple[bytes, str]]:
        """(account or nothing, basis) of each line; call ``clear`` once they are written."""
        if self._since is None:
            return
        total = self._counts.total() + self._others
        yield b"", f"{total} calls, {len(self._counts)} accounts, {self._refused} refused"
        for account, count in self._counts.items():
            if count >= MANY:
                yield account, f"{count} calls"

    def clear(self) -> None:
        self._counts.clear()
        self._refused = self._others = 0
        self._since = None
