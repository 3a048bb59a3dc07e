"""One trust list of the configuration (S13): checked each time, never older than the one held, last good copy kept.

The last good list lies in the data folder as it was received, signature included, and is verified again when read: a
file that someone altered trusts nobody. A new file that is bad changes nothing and is reported. Readers take ``held``
(one reference, swapped whole); one thread calls ``load`` and ``refresh``, with ``now`` from outside.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mailserver.crypto.x509 import CertificateFacts
from mailserver.model.errors import Malformed, PliError
from mailserver.policy.trust_files import read_list_file, replace_durably
from mailserver.policy.trust_list import NOBODY, TrustDiff, TrustList, diff
from mailserver.policy.trust_steps import ListRule, SignedList, verify_list

MAIN = "main"
"""The name of the list that ``file`` in [trust] names; those of ``further`` have their own."""
GOOD_COPY = "trust-list.xml"
# errors that time alone may cure: the same file is tried again
_PASSING = frozenset(
    {"trust-list-from-future", "xml-signer-expired", "trust-list-disk", "trust-list-unreadable"}
)


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """Where a list comes from and what it must keep. ``url`` is empty when somebody else replaces ``file``."""

    file: Path
    rule: ListRule
    name: str = MAIN
    url: str = ""


@dataclass(frozen=True, slots=True)
class Refresh:
    """What one look at the file gave: a change, an error with the old list kept, or neither."""

    change: TrustDiff | None = None
    error: PliError | None = None


class TrustSource:
    """The list in force of one source, from its ``file`` (which the operator or the fetcher replaces) and the good copy."""

    def __init__(self, plan: SourcePlan, folder: Path, *, keeps: bool = True) -> None:
        """``keeps``: this one keeps the good copy, and what it finds is told; one process at a time (a worker)."""
        self.plan = plan
        self.keeps = keeps
        self.opening = Refresh()
        self._good_copy = folder / (GOOD_COPY if plan.name == MAIN else f"trust-list-{plan.name}.xml")
        self._held: SignedList | None = None
        self._seen: tuple[int, int, int] | None = None

    @property
    def current(self) -> TrustList:
        """The last good list; one that trusts nobody before the first."""
        return NOBODY if self._held is None else self._held.listed

    @property
    def signer(self) -> CertificateFacts | None:
        """Who signed the list held."""
        return None if self._held is None else self._held.signer

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
            state = self.plan.file.stat()
        except OSError:
            return Refresh(error=Malformed("trust-list-unreadable"))
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        if seen == self._seen:
            return Refresh()
        try:
            change = self.replace_list(read_list_file(self.plan.file), now)
        except PliError as error:
            if error.code not in _PASSING:
                self._seen = seen
            return Refresh(error=error)
        self._seen = seen
        return Refresh(change=change)

    def replace_list(self, signed: bytes, now: datetime) -> TrustDiff:
        """Put a signed list in force and keep it on disk; give what changed.

        Raises what ``verify_list`` does, and Unavailable("trust-list-disk") when it cannot be kept: the list in force
        then stays.
        """
        new = self.verify(signed, now)
        change = diff(self.current, new.listed)
        if new != self._held and self.keeps:
            replace_durably(self._good_copy, signed)
        self._held = new
        return change

    def verify(self, signed: bytes, now: datetime) -> SignedList:
        """Whether this source would take the list now. Raises what ``verify_list`` does."""
        return verify_list(signed, self.plan.rule, now, self.current)

    def _load_good_copy(self, now: datetime) -> Refresh:
        if not self._good_copy.exists():
            return Refresh()
        try:
            # the copy stands for itself: what is held already, if anything, does not judge it
            self._held = verify_list(read_list_file(self._good_copy), self.plan.rule, now)
        except PliError as error:
            return Refresh(error=error)
        return Refresh()
