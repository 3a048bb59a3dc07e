"""App passwords after the first: made through custody with a scope and an end, listed, revoked (K4).

Each act is in the account's own log; a list is shown once the log says that somebody asked for it.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, ParameterName
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.slots import SlotKind, SlotScope, new_app_password
from mailserver.model.account import AccountState
from mailserver.model.address import Address
from mailserver.model.errors import Denied, NotFound
from mailserver.model.ids import SlotId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.account_slots import APP_PASSWORD_DAYS, app_password_slot, term_of
from mailserver.service.administrator import SERVER, administrator_act
from mailserver.service.directory import Directory
from mailserver.service.keys import load_custody_slot, release_keys
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit

KEPT_DAYS = 30
"""So long after its end one is still listed: whoever looks why a mail client stopped sees it."""
ROUND_SLOTS = 1000
_DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True)
class AppPasswordInfo:
    """What is known of an app password: never the secret. ``ends_at`` is None for one made before there were ends."""

    slot_id: SlotId
    scope: SlotScope
    made_at: datetime
    ends_at: datetime | None

    def is_over(self, now: datetime) -> bool:
        return self.ends_at is not None and self.ends_at <= now


class AppPasswords:
    """The acts of an administrator on the app passwords of one account. Each raises NotFound("account")."""

    def __init__(self, store: Store, directory: Directory, custody: CustodianVerbs) -> None:
        self._store = store
        self._directory = directory
        self._custody = custody

    def add_app_password(
        self, address: Address, scope: SlotScope, now: datetime, days: int = APP_PASSWORD_DAYS
    ) -> tuple[str, AppPasswordInfo]:
        """A further one, and its text, which is shown once. Raises Denied for a shared box or a disabled account."""
        row = self._load(address)
        if row.kind.is_shared:
            raise Denied("shared-box-has-members")
        if row.state is not AccountState.ACTIVE:
            raise Denied("account-disabled")
        custody = load_custody_slot(self._store, row.account_id)
        keys = release_keys(self._custody, custody, "account app-password")
        text = new_app_password()
        slot = app_password_slot(self._store, row, keys, (text, scope), term_of(int(now.timestamp()), days))
        made = _info(slot)
        # one of scope api opens the person's space: their log tells it apart
        act = "api-password-made" if scope is SlotScope.API else "app-password-made"
        entry = prepare_entry(row, _act(now, EventKind.SLOT_ADDED, act, made))

        def run(connection: Connection) -> None:
            self._store.accounts.add_slot(connection, slot)
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(row.account_id, run))
        return text, made

    def list_app_passwords(self, address: Address, now: datetime) -> list[AppPasswordInfo]:
        """Every one, the oldest first, those that are over too."""
        row = self._load(address)
        act = administrator_act(now, EventKind.ADMINISTRATOR_ACT, ObjectKind.ACCOUNT, "app-passwords-listed")
        entry = prepare_entry(row, act)
        self._store.writer.commit(
            Unit(row.account_id, lambda connection: add_entries(connection, self._store.macs, [entry]))
        )
        return [_info(slot) for slot in self._slots(row)]

    def revoke_app_password(self, address: Address, slot_id: bytes, now: datetime) -> None:
        """Shred one: its connections end, and its owner reads it in the log. Raises NotFound("app-password")."""
        row = self._load(address)
        slot = next((each for each in self._slots(row) if each.slot_id == slot_id), None)
        if slot is None:
            raise NotFound("app-password")
        entry = prepare_entry(row, _act(now, EventKind.SLOT_REMOVED, "app-password-revoked", _info(slot)))

        def run(connection: Connection) -> None:
            self._store.accounts.delete_slot(connection, row.account_id, slot.slot_id)
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(row.account_id, run, shreds=True))

    def remove_ended(self, now: datetime) -> int:
        """Shred those that ended ``KEPT_DAYS`` ago, so that lists show what matters; how many. Their owners' logs say so.

        Several workers may do it at once: who comes second finds nothing. Raises Unavailable.
        """
        removed = 0
        while (more := self._remove_round(now)) == ROUND_SLOTS:
            removed += more
        return removed + more

    def _remove_round(self, now: datetime) -> int:
        accounts, before = self._store.accounts, int(now.timestamp()) - KEPT_DAYS * _DAY_SECONDS
        with self._store.database.read() as connection:
            ended = accounts.list_ended(connection, SlotKind.APP_PASSWORD.value, before, ROUND_SLOTS)
            owners = {
                each: accounts.load_account(connection, each) for each in {slot.account_id for slot in ended}
            }
        return sum(self._remove_ended(owners[slot.account_id], slot, now) for slot in ended)

    def _remove_ended(self, row: AccountRow, slot: SlotRow, now: datetime) -> bool:
        what = AuditObject(ObjectKind.APP_PASSWORD, parameters=_parameters("app-password-ended", _info(slot)))
        entry = prepare_entry(row, AuditEvent(EventKind.SLOT_REMOVED, now, SERVER, what))

        def run(connection: Connection) -> bool:
            try:
                self._store.accounts.load_slot(connection, row.account_id, slot.slot_id)
            except NotFound:
                return False
            self._store.accounts.delete_slot(connection, row.account_id, slot.slot_id)
            add_entries(connection, self._store.macs, [entry])
            return True

        return self._store.writer.commit(Unit(row.account_id, run, shreds=True))

    def _slots(self, row: AccountRow) -> list[SlotRow]:
        kind = SlotKind.APP_PASSWORD.value
        with self._store.database.read() as connection:
            return self._store.accounts.find_slots(connection, row.account_id, kind=kind)

    def _load(self, address: Address) -> AccountRow:
        with self._store.database.read() as connection:
            row = self._directory.find_account(connection, address)
        if row is None:
            raise NotFound("account")
        return row


def _act(now: datetime, kind: EventKind, act: str, which: AppPasswordInfo) -> AuditEvent:
    (_act_name, *more) = _parameters(act, which)
    return administrator_act(now, kind, ObjectKind.APP_PASSWORD, act, *more)


def _parameters(act: str, which: AppPasswordInfo) -> tuple[tuple[ParameterName, str], ...]:
    more = [(ParameterName.ACT, act), (ParameterName.FINGERPRINT, which.slot_id.hex())]
    if which.ends_at is not None:
        more.append((ParameterName.UNTIL, which.ends_at.date().isoformat()))
    return tuple(more)


def _info(slot: SlotRow) -> AppPasswordInfo:
    ends_at = None if slot.expires_at is None else datetime.fromtimestamp(slot.expires_at, UTC)
    made_at = datetime.fromtimestamp(slot.created_at, UTC)
    return AppPasswordInfo(slot.slot_id, SlotScope(slot.scope), made_at, ends_at)
