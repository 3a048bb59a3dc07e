"""Absences as everybody who needs them reads them: class S, so that they can be told while their holder is away."""

import logging
from dataclasses import dataclass
from datetime import datetime

from mailserver.crypto.ctx import ctx
from mailserver.model.absence import Absence, format_absence, parse_absence
from mailserver.model.errors import Corrupt, PliError
from mailserver.model.ids import AbsenceId, AccountId
from mailserver.service.service_seals import ServiceSeals
from mailserver.store.absence_rows import AbsenceRow
from mailserver.store.database import Connection
from mailserver.store.store import Store

_PURPOSE = "absence"
logger = logging.getLogger("pli.absence")


@dataclass(frozen=True, slots=True)
class KnownAbsence:
    """``absence_id`` tells one absence of an account from the next: whoever was told of this one is told once."""

    absence_id: AbsenceId
    absence: Absence


class Absences:
    def __init__(self, store: Store, seals: ServiceSeals) -> None:
        self._store = store
        self._seals = seals

    def may_be_away(self, connection: Connection, account_id: AccountId, now: datetime) -> bool:
        """Whether there is anything to find out, asked where a connection is open anyway: it costs microseconds."""
        try:
            row = self._store.absences.find_absence(connection, account_id)
        except Corrupt:  # ``find_current`` says so in the log
            return True
        return row is not None and row.ends_at > now.timestamp()

    def find_absence(self, account_id: AccountId, now: datetime) -> KnownAbsence | None:
        """The account's absence, to come or in force. Raises Corrupt when its row was altered."""
        with self._store.database.read() as connection:
            row = self._store.absences.find_absence(connection, account_id)
        if row is None or row.ends_at <= now.timestamp():
            return None
        context = ctx(_PURPOSE, account_id, row.absence_id)
        return KnownAbsence(row.absence_id, parse_absence(self._seals.open(_PURPOSE, row.record, context)))

    def find_current(self, account_id: AccountId, now: datetime) -> KnownAbsence | None:
        """The one that is in force. What cannot be read is logged and not told: no mail waits for it."""
        try:
            known = self.find_absence(account_id, now)
        except PliError as error:
            logger.warning(
                "an absence cannot be read", extra={"account": account_id.hex(), "code": error.code}
            )
            return None
        return known if known is not None and known.absence.is_on(now) else None

    def seal_absence(self, account_id: AccountId, known: KnownAbsence) -> AbsenceRow:
        """The row to write."""
        absence_id, absence = known.absence_id, known.absence
        context = ctx(_PURPOSE, account_id, absence_id)
        sealed = self._seals.seal(_PURPOSE, format_absence(absence), context)
        return AbsenceRow(account_id, absence_id, int(absence.ends_at.timestamp()), sealed)
