"""The trust list in force: one signed list, or the union of several (a federation), each judged on its own (S13).

A list that is stale or empty contributes nobody; when none is in force nobody is trusted. The union is as old as its
oldest part, so that whoever asks between two looks is refused rather than trusted by a list that has just become stale.
"""

from collections.abc import Sequence
from datetime import datetime

from mailserver.policy.trust_list import NOBODY, TrustList, join_lists
from mailserver.policy.trust_source import Refresh, TrustSource


class TrustStore:
    """Readers take ``current`` (one reference, swapped whole); one thread calls ``load`` and ``refresh``."""

    def __init__(self, sources: Sequence[TrustSource]) -> None:
        self.sources = tuple(sources)
        self._parts: tuple[TrustList, ...] = ()
        self._current = NOBODY

    @property
    def current(self) -> TrustList:
        """What is in force since the last look; a list that trusts nobody before the first."""
        return self._current

    def load(self, now: datetime) -> tuple[Refresh, ...]:
        """At start: each source's last good copy, then its file."""
        reports = tuple(source.load(now) for source in self.sources)
        self._join(now)
        return reports

    def refresh(self, now: datetime) -> tuple[Refresh, ...]:
        """Look at each source; the reports are in their order."""
        reports = tuple(source.refresh(now) for source in self.sources)
        self._join(now)
        return reports

    def _join(self, now: datetime) -> None:
        lists = [source.current for source in self.sources]
        # when none is in force, the one that is only too old says why
        parts = [each for each in lists if each.find_refusal(now) is None] or sorted(lists, key=_is_empty)[:1]
        if len(parts) == len(self._parts) and all(map(_is_same, parts, self._parts)):
            return
        self._parts = tuple(parts)
        self._current = join_lists(self._parts)


def _is_empty(listed: TrustList) -> bool:
    return not listed.entries


def _is_same(one: TrustList, other: TrustList) -> bool:
    return one is other
