"""What is remembered of a list's fetches between rounds, restarts and commands: one small JSON file each.

A record that cannot be read, or that is about another address, counts as none: the list is then fetched at once.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mailserver.model.errors import PliError
from mailserver.sync.https_fetch import NO_VALIDATORS, Validators

FIRST_RETRY = timedelta(minutes=1)
SPREAD = 0.1
"""A wait is up to this part shorter or longer, so that operators do not all call at the same second."""
RECORD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class FetchRecord:
    """Times are aware UTC. ``error`` is the last try's code, empty when it worked; ``failures`` those since then."""

    url: str
    tried_at: datetime | None = None
    fetched_at: datetime | None = None
    error: str = ""
    failures: int = 0
    digest: str = ""
    """SHA-256 of the octets that ``validators`` name."""
    validators: Validators = NO_VALIDATORS

    def after_success(self, now: datetime, octets: bytes | None, validators: Validators) -> "FetchRecord":
        """The list came, or (``octets`` None) is still the one that is here."""
        digest = self.digest if octets is None else hashlib.sha256(octets).hexdigest()
        return FetchRecord(self.url, now, now, digest=digest, validators=validators)

    def after_failure(self, now: datetime, error: PliError) -> "FetchRecord":
        """Validators go: whatever is there now, it was not taken."""
        failures = min(self.failures + 1, 1000)
        return replace(
            self, tried_at=now, error=error.code, failures=failures, digest="", validators=NO_VALIDATORS
        )

    def validators_for(self, octets: bytes) -> Validators:
        """What makes the next request conditional: nothing, unless these are the octets that were fetched."""
        return self.validators if hashlib.sha256(octets).hexdigest() == self.digest else NO_VALIDATORS

    def is_due(self, now: datetime, period: timedelta, jitter: float) -> bool:
        """Whether to try at ``now``; ``jitter`` is from 0 to 1. A clock that went back makes it due."""
        if self.tried_at is None or self.tried_at > now:
            return True
        return now - self.tried_at >= wait_after(self.failures, period, jitter)


def wait_after(failures: int, period: timedelta, jitter: float) -> timedelta:
    """The period; after failures one minute, two, four …, never over the period."""
    wait = period if failures == 0 else min(period, FIRST_RETRY * 2 ** min(failures - 1, 16))
    return wait * (1 - SPREAD + 2 * SPREAD * jitter)


def parse_record(octets: bytes, url: str) -> FetchRecord:
    """What ``format_record`` wrote about this address, or an empty record."""
    try:
        found = json.loads(octets)
        if found["url"] != url:
            return FetchRecord(url)
        return FetchRecord(
            url,
            _parse_time(found["tried_at"]),
            _parse_time(found["fetched_at"]),
            str(found["error"]),
            int(found["failures"]),
            str(found["digest"]),
            Validators(str(found["etag"]), str(found["last_modified"])),
        )
    except (ValueError, KeyError, TypeError):
        return FetchRecord(url)


def format_record(record: FetchRecord) -> bytes:
    """One JSON object, a line."""
    facts: dict[str, object] = {
        "url": record.url,
        "tried_at": _format_time(record.tried_at),
        "fetched_at": _format_time(record.fetched_at),
        "error": record.error,
        "failures": record.failures,
        "digest": record.digest,
        "etag": record.validators.etag,
        "last_modified": record.validators.last_modified,
    }
    return json.dumps(facts).encode() + b"\n"


def _parse_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _format_time(instant: datetime | None) -> str | None:
    return None if instant is None else instant.astimezone(UTC).isoformat()
