"""Failed logins of every edge, folded: one entry per account, network and hour, written later and off the login's path, so that
neither a flood nor a stopwatch learns anything (L1, K22). Counted in memory, bounded; flushed by the edge.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    EventResult,
    ObjectKind,
    Origin,
    ParameterName,
)
from mailserver.crypto.secret import random_id
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.directory import Directory
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.space_rows import add_delivery, has_delivery
from mailserver.store.store import Store
from mailserver.store.writer import Unit

MOST_KEYS = 10_000
_HOUR = 3600


@dataclass(frozen=True, slots=True)
class _Place:
    """Who was named, from which network, in which hour."""

    login: str
    network: str
    hour: int


class LoginFailures:
    """``note`` costs a dictionary entry; ``flush`` looks accounts up and writes."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory
        self._process = random_id().hex()
        self._counts: OrderedDict[_Place, int] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, login: str, network: str, now: datetime) -> None:
        """Count one failure on a full login, whether its account exists or not."""
        place = _Place(login.casefold(), network, int(now.timestamp()) // _HOUR)
        with self._lock:
            self._counts[place] = self._counts.get(place, 0) + 1
            if len(self._counts) > MOST_KEYS:
                self._counts.popitem(last=False)

    def flush(self, now: datetime, *, is_final: bool = False) -> int:
        """Write the hours that are over (``is_final``: all); the number of entries written. Raises Unavailable."""
        current = int(now.timestamp()) // _HOUR
        with self._lock:
            ripe = [(place, n) for place, n in self._counts.items() if is_final or place.hour < current]
            for place, _n in ripe:
                del self._counts[place]
        return sum(self._write(place, count, now) for place, count in ripe)

    def _write(self, place: _Place, count: int, now: datetime) -> bool:
        account = self._find(place.login)
        if account is None:
            return False
        what = AuditObject(ObjectKind.ACCOUNT, "", ((ParameterName.COUNT, str(count)),))
        nobody = Actor(ActorKind.UNIDENTIFIED, "")
        when = min(now, datetime.fromtimestamp((place.hour + 1) * _HOUR - 1, UTC))
        origin = Origin(place.network)
        event = AuditEvent(EventKind.LOGIN_FAILED, when, nobody, what, origin, result=EventResult.FAILED)
        entry = prepare_entry(account, event)
        mark = f"{self._process}|{place.network}|{place.hour}"
        fingerprint = self._store.macs.lookup("login-failed", mark)

        def run(connection: Connection) -> bool:
            if has_delivery(connection, account.account_id, fingerprint):
                return False
            add_delivery(connection, account.account_id, fingerprint, int(now.timestamp()))
            add_entries(connection, self._store.macs, [entry])
            return True

        return self._store.writer.commit(Unit(account.account_id, run))

    def _find(self, login: str) -> AccountRow | None:
        try:
            address = parse_address(login)
        except Malformed:
            return None
        with self._store.database.read() as connection:
            return self._directory.find_account(connection, address)
