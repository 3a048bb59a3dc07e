"""Whether this process can do its work, part by part (R6): looked at, not remembered from the start."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.model.errors import PliError
from mailserver.policy.trust_store import TrustStore
from mailserver.store import log_rows
from mailserver.store.store import Store

LATE_SECONDS = 120
"""Entries of the log that wait longer for their signature are late (K7)."""
_HOUR_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Readiness:
    """``has_store``: nothing can be served without it. The others take something away: mail with other operators, logins
    by password, what the custodian releases.
    """

    has_store: bool
    has_trust_list: bool
    has_custodian: bool
    is_log_in_time: bool

    @property
    def is_whole(self) -> bool:
        return self.has_store and self.has_trust_list and self.has_custodian and self.is_log_in_time


class ReadinessCheck:
    """``look`` blocks. It says that the log is late when two looks in a row find it so, like the log's keeper: an entry
    folded from an hour ago may come in just before one.
    """

    def __init__(self, store: Store, trust: TrustStore, custody: CustodianVerbs) -> None:
        self._store = store
        self._trust = trust
        self._custody = custody
        self._was_late = False

    def look(self, now: datetime) -> Readiness:
        """Raises nothing that is expected."""
        has_store, is_late = self._look_at_store(now)
        is_in_time = has_store and not (is_late and self._was_late)
        self._was_late = is_late
        hour = int(now.timestamp()) // _HOUR_SECONDS
        return Readiness(
            has_store,
            self._trust.current.find_refusal(now) is None,
            _answers(lambda: self._custody.hourly_key(hour)),
            is_in_time,
        )

    def _look_at_store(self, now: datetime) -> tuple[bool, bool]:
        """Whether it answers, and whether an entry waits too long."""
        try:
            with self._store.database.read() as connection:
                oldest = log_rows.find_oldest_pending(connection)
        except PliError:
            return False, False
        return True, oldest is not None and now.timestamp() - oldest > LATE_SECONDS


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except PliError:
        return False
    return True
