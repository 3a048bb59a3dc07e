"""Holds the trust list in force (S13): signature checked each time, never older than the one held, last good kept.

The last good list lies in the data folder as it was received, signature included, and is verified again when read: a
file that someone altered trusts nobody. A new file that is bad changes nothing and is reported. Readers take
``current`` (one reference, swapped whole); one thread calls ``load`` and ``refresh``, with ``now`` from outside.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from mailserver.crypto.xmldsig import DOCUMENT_BYTES, PinnedSigner, verify_enveloped
from mailserver.model.errors import Conflict, Malformed, PliError, Unavailable
from mailserver.policy.trust_list import AGE_LIMIT, NOBODY, TrustDiff, TrustList, diff, parse_trust_list

GOOD_COPY = "trust-list.xml"
_CLOCK_TOLERANCE = timedelta(minutes=10)
# errors that time alone may cure: the same file is tried again
_PASSING = frozenset(
    {"trust-list-from-future", "xml-signer-expired", "trust-list-disk", "trust-list-unreadable"}
)


@dataclass(frozen=True, slots=True)
class Refresh:
    """What one look at the file gave: a change, an error with the old list kept, or neither."""

    change: TrustDiff | None = None
    error: PliError | None = None


class TrustStore:
    """The list in force, from ``source`` (a file that the operator or the fetcher replaces) and the good copy."""

    def __init__(
        self,
        folder: Path,
        source: Path,
        pinned: PinnedSigner,
        *,
        age_limit: timedelta = AGE_LIMIT,
        keeps: bool = True,
    ) -> None:
        """``keeps``: this one keeps the good copy and its changes are told; one process at a time (a worker)."""
        self._good_copy = folder / GOOD_COPY
        self._source = source
        self._pinned = pinned
        self._age_limit = age_limit
        self.keeps = keeps
        self.opening = Refresh()
        self._current = NOBODY
        self._seen: tuple[int, int, int] | None = None

    @property
    def current(self) -> TrustList:
        """The last good list; one that trusts nobody before the first."""
        return self._current

    def load(self, now: datetime) -> Refresh:
        """At start: the last good copy, then the source file. The report is the source's, or the copy's if bad."""
        kept = self._load_good_copy(now)
        report = self.refresh(now)
        is_silent = report.change is None and report.error is None
        self.opening = kept if kept.error is not None and is_silent else report
        return self.opening

    def refresh(self, now: datetime) -> Refresh:
        """Read the source file if it has changed since the last look. Keeps the list in force on any error."""
        try:
            state = self._source.stat()
        except OSError:
            return Refresh(error=Malformed("trust-list-unreadable"))
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        if seen == self._seen:
            return Refresh()
        try:
            change = self.replace_list(_read(self._source), now)
        except PliError as error:
            if error.code not in _PASSING:
                self._seen = seen
            return Refresh(error=error)
        self._seen = seen
        return Refresh(change=change)

    def replace_list(self, signed: bytes, now: datetime) -> TrustDiff:
        """Put a signed list in force and keep it on disk; give what changed.

        Raises Malformed or Denied (see ``verify_enveloped``), Malformed("trust-list-from-future"),
        Conflict("trust-list-older") when older than the one held, Unavailable("trust-list-disk") when it cannot be
        kept: the list in force then stays.
        """
        new = self._verify(signed, now)
        if new.generated_at < self._current.generated_at:
            raise Conflict("trust-list-older")
        change = diff(self._current, new)
        if new != self._current and self.keeps:
            try:
                _write_durably(self._good_copy, signed)
            except OSError as error:
                raise Unavailable("trust-list-disk") from error
        self._current = new
        return change

    def _load_good_copy(self, now: datetime) -> Refresh:
        if not self._good_copy.exists():
            return Refresh()
        try:
            self._current = self._verify(_read(self._good_copy), now)
        except PliError as error:
            return Refresh(error=error)
        return Refresh()

    def _verify(self, signed: bytes, now: datetime) -> TrustList:
        parsed = parse_trust_list(verify_enveloped(signed, self._pinned, now), self._age_limit)
        # accepted, such a list would bar every later one
        if parsed.generated_at > now + _CLOCK_TOLERANCE:
            raise Malformed("trust-list-from-future")
        return parsed


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(DOCUMENT_BYTES + 1)
    except OSError as error:
        raise Malformed("trust-list-unreadable") from error


def _write_durably(path: Path, data: bytes) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.new")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
