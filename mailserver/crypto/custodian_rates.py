"""How often the custodian hardens passwords, by the standing of who asks, and releases keys; what its journal keeps of it.

Whoever asks (a worker) may guess at no more than this speed, and an attack writes a few lines, not one a guess.
Not thread-safe: the custodian holds its lock.
"""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailserver.model.errors import OverLimit

COUNT_SECONDS = 600
"""The journal says how often passwords were hardened at most once in this time."""
MANY = 20
"""From this many on in one span, an account has a line of its own."""
LINES, LINES_SECONDS = 10, 60
_MOST_ACCOUNTS = 50_000


class Standing(StrEnum):
    """Who asks, as far as a worker knows: a browser that this person logged in with before, or anybody."""

    STRANGER = "stranger"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class HardenLimit:
    """Token buckets: ``burst`` at once, then ``per_second``, for one account and for all together."""

    burst: int
    per_second: float
    burst_of_all: int
    per_second_of_all: float


HARDEN_LIMITS = {
    Standing.STRANGER: HardenLimit(250, 0.9, 1800, 180.0),
    Standing.KNOWN: HardenLimit(50, 0.1, 200, 20.0),
}
"""Far above what a person types. Strangers cannot spend what is kept for known browsers, so that their guesses lock
nobody out (S9). A worker in somebody's hands may call itself both: then what it has is the sum.
"""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class HardenRate:
    """Takes a token per call, of the buckets that ``standing`` has for itself. A full bucket is not kept, so that
    names made up at random fill no memory.
    """

    def __init__(self, limits: Mapping[Standing, HardenLimit] = HARDEN_LIMITS) -> None:
        self._limits = limits
        self._all = {standing: _Bucket(limit.burst_of_all, 0.0) for standing, limit in limits.items()}
        self._buckets: dict[tuple[Standing, bytes], _Bucket] = {}

    def take(self, account: bytes, standing: Standing, now: datetime) -> None:
        """Raises OverLimit("harden-rate")."""
        limit, in_all, at = self._limits[standing], self._all[standing], now.timestamp()
        if len(self._buckets) >= _MOST_ACCOUNTS:
            self._forget_full(at)
        bucket = self._buckets.setdefault((standing, account), _Bucket(limit.burst, at))
        _fill(bucket, limit.burst, limit.per_second, at)
        _fill(in_all, limit.burst_of_all, limit.per_second_of_all, at)
        if min(bucket.tokens, in_all.tokens) < 1:
            raise OverLimit("harden-rate")
        bucket.tokens -= 1
        in_all.tokens -= 1

    def _forget_full(self, at: float) -> None:
        kept = {}
        for (standing, account), bucket in self._buckets.items():
            limit = self._limits[standing]
            _fill(bucket, limit.burst, limit.per_second, at)
            if bucket.tokens < limit.burst:
                kept[standing, account] = bucket
        self._buckets = kept


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


class LineCap:
    """Of what one subject does again and again: a few lines a minute, and one that counts the others when it is over."""

    def __init__(self, most: int = LINES) -> None:
        self._most = most
        self._counts: Counter[bytes] = Counter()
        self._since: datetime | None = None

    def note(self, subject: bytes, now: datetime) -> list[tuple[bytes, int]]:
        """The lines to write now: (subject, 0) is this act's own, (subject, n) says that there were n more."""
        lines = []
        if self._since is None or abs((now - self._since).total_seconds()) >= LINES_SECONDS:
            lines = self.end()
            self._since = now
        self._counts[subject] += 1
        if self._counts[subject] <= self._most:
            lines.append((subject, 0))
        return lines

    def end(self) -> list[tuple[bytes, int]]:
        """What was counted and not told yet."""
        found = [(each, count - self._most) for each, count in self._counts.items() if count > self._most]
        self._counts.clear()
        return found


@dataclass(frozen=True, slots=True)
class ReleaseLimit:
    """At most ``count`` releases per account in any ``window``."""

    count: int = 60
    window: timedelta = timedelta(hours=1)


RELEASE_LIMIT = ReleaseLimit()
MAIL_LIMIT = ReleaseLimit(count=600)
"""Mail roots for logins: several clients of one account, each with a few connections, that come back often."""


class ReleaseCounts:
    """When keys of each account were released, as far back as the window."""

    def __init__(self, limit: ReleaseLimit) -> None:
        self._limit = limit
        self._times: dict[str, deque[datetime]] = {}

    def demand(self, account: str, now: datetime) -> None:
        """Raises OverLimit("release-rate")."""
        times = self._times.get(account, deque())
        while times and times[0] <= now - self._limit.window:
            times.popleft()
        if len(times) >= self._limit.count:
            raise OverLimit("release-rate")

    def note(self, account: str, now: datetime) -> None:
        self._times.setdefault(account, deque()).append(now)
