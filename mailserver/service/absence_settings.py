"""Saying that an account's messages are not read for some days: its holder, a member who administers the shared box, or
an administrator. Each change is in the account's own log (L1).
"""

from collections.abc import Callable
from datetime import datetime

from mailserver.audit.events import (
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    Origin,
    ParameterName,
)
from mailserver.crypto.secret import random_id
from mailserver.model.absence import Absence
from mailserver.model.account import AccountKind, Role
from mailserver.model.address import Address
from mailserver.model.errors import Corrupt, Denied, Malformed, NotFound
from mailserver.model.ids import AbsenceId
from mailserver.model.rights import Right
from mailserver.policy.decision import Decision
from mailserver.service.absences import Absences, KnownAbsence
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.administrator import administrator_act
from mailserver.service.correspondence import Destination
from mailserver.service.directory import Directory
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.store import absence_rows, mailboxes
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit

_SET, _ENDED = "away-set", "away-ended"


Judge = Callable[[Address, int, datetime], tuple[Decision, Destination | None]]
"""Whether an address can be written to: ``Submission.decide_recipient``."""


class AbsenceSettings:
    """``judge`` says whether the colleague can be written to."""

    def __init__(self, store: Store, directory: Directory, absences: Absences, judge: Judge) -> None:
        self._store = store
        self._directory = directory
        self._absences = absences
        self._decide_recipient = judge

    def find_absence(self, account: OpenAccount, now: datetime) -> Absence | None:
        """One's own, to come or in force. Raises Denied as ``change`` does, Corrupt."""
        self._demand(account)
        return self._find(account.account, now)

    def find_of(self, address: Address, now: datetime) -> Absence | None:
        """For an administrator. Raises NotFound("account"), Corrupt."""
        return self._find(self._load(address), now)

    def change(self, account: OpenAccount, absence: Absence | None, origin: Origin, now: datetime) -> None:
        """By the holder, or a member who administers the box's INBOX. None: back, or never away.

        Raises Denied("right") or Denied("away-patient"), Malformed("away-days") for one that is over already,
        Malformed("away-colleague") for one who cannot be written to.
        """
        self._demand(account)
        what = AuditObject(ObjectKind.SETTING, "absence", _parameters(absence))
        event = AuditEvent(EventKind.SETTING_CHANGED, now, actor_of(account), what, origin)
        self._write(account.account, absence, event, now)

    def change_of(self, address: Address, absence: Absence | None, now: datetime) -> None:
        """By an administrator. Raises NotFound("account"), and as ``change``."""
        row = self._load(address)
        (_name, act), *more = _parameters(absence)
        event = administrator_act(now, EventKind.ADMINISTRATOR_ACT, ObjectKind.SETTING, act, *more)
        self._write(row, absence, event, now)

    def _write(self, row: AccountRow, absence: Absence | None, event: AuditEvent, now: datetime) -> None:
        sealed = None
        if absence is not None:
            self._judge(row, absence, now)
            known = KnownAbsence(self._absence_id(row, now), absence)
            sealed = self._absences.seal_absence(row.account_id, known)
        entry = prepare_entry(row, event)

        def run(connection: Connection) -> None:
            if sealed is None:
                absence_rows.delete_absence(connection, row.account_id)
            else:
                self._store.absences.replace_absence(connection, sealed)
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(row.account_id, run))

    def _absence_id(self, row: AccountRow, now: datetime) -> AbsenceId:
        """A corrected absence is the same one: whoever was told of it is not told again."""
        try:
            known = self._absences.find_absence(row.account_id, now)
        except Corrupt:  # what was altered is replaced
            known = None
        return AbsenceId(random_id()) if known is None else known.absence_id

    def _judge(self, row: AccountRow, absence: Absence, now: datetime) -> None:
        if row.kind is AccountKind.PATIENT:
            raise Denied("away-patient")
        if absence.is_over(now):
            raise Malformed("away-days", "over")
        colleague = absence.colleague
        if colleague is None:
            return
        decision, destination = self._decide_recipient(colleague, 0, now)
        if destination is None or destination.is_patient:
            raise Malformed("away-colleague", decision.reason.value)
        if destination.account is not None and destination.account.account_id == row.account_id:
            raise Malformed("away-colleague", "own")

    def _demand(self, account: OpenAccount) -> None:
        if account.account.kind is AccountKind.PATIENT:
            raise Denied("away-patient")
        if account.member is not None:
            with self._store.database.read() as connection:
                inbox = mailboxes.load_by_role(connection, account.account_id, Role.INBOX)
            account.demand(inbox.mailbox_id, Right.ADMINISTER)

    def _find(self, row: AccountRow, now: datetime) -> Absence | None:
        known = self._absences.find_absence(row.account_id, now)
        return None if known is None else known.absence

    def _load(self, address: Address) -> AccountRow:
        with self._store.database.read() as connection:
            row = self._directory.find_account(connection, address)
        if row is None:
            raise NotFound("account")
        return row


def _parameters(absence: Absence | None) -> tuple[tuple[ParameterName, str], ...]:
    if absence is None:
        return ((ParameterName.ACT, _ENDED),)
    return ((ParameterName.ACT, _SET), (ParameterName.UNTIL, absence.last_day.isoformat()))
