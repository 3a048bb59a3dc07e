"""A new web password, or another second factor, for an account that exists: by an administrator through custody, or a
password by its own holder.

Every change ends the account's web sessions, is an entry in its log, and is told to the address and the number that
it has, all in one transaction. What mail clients use (app passwords, tokens) is left as it is.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, Origin, ParameterName
from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import SlotKind
from mailserver.model.account import AccountState
from mailserver.model.address import Address
from mailserver.model.errors import Denied, NotFound
from mailserver.model.ids import SlotId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.account_slots import PasswordSlots, judge_password
from mailserver.service.administrator import administrator_act
from mailserver.service.directory import Directory
from mailserver.service.keys import OpenAccount, load_custody_slot, release_keys
from mailserver.service.mail_permit import actor_of
from mailserver.service.notice_texts import NoticeKind
from mailserver.service.notices import Notices
from mailserver.service.web_codes import Factor
from mailserver.store import web_rows
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit

_PASSWORD_ACT = "web-password"  # noqa: S105 # the name of an act
Write = Callable[[Connection], None]


class LoginResets:
    """Blocks. Acts by address raise NotFound("account"), and Denied for a shared box or a disabled account."""

    def __init__(
        self, store: Store, directory: Directory, notices: Notices, passwords: PasswordSlots
    ) -> None:
        self._store = store
        self._directory = directory
        self._custody = passwords.custody
        self._notices = notices
        self._passwords = passwords

    def reset_password(self, address: Address, password: Secret, now: datetime) -> bool:
        """A password in place of the one there was, if any; whether the person could be told. Raises Malformed("password-short"), ("password-long"),
        Denied("custody-slot") when only the holder's own secrets open the account.
        """
        judge_password(password.reveal().decode())
        row = self._load(address)
        keys = release_keys(
            self._custody, load_custody_slot(self._store, row.account_id), "account web-password"
        )
        act = administrator_act(now, EventKind.KEY_CHANGED, ObjectKind.SLOT, _PASSWORD_ACT)
        return self._replace_password(row, (keys, password), act)

    def change_password(
        self, account: OpenAccount, new: tuple[AccountKeys, Secret], origin: Origin, now: datetime
    ) -> None:
        """By the holder: what the password of until now opened, and the new one. Raises Malformed as
        ``reset_password``, Denied("login") when another has come in its place meanwhile: an administrator's stays.
        """
        judge_password(new[1].reveal().decode())
        what = AuditObject(ObjectKind.SLOT, parameters=((ParameterName.ACT, _PASSWORD_ACT),))
        act = AuditEvent(EventKind.KEY_CHANGED, now, actor_of(account), what, origin)
        self._replace_password(account.account, new, act, account.slot_id)

    def reset_second_factor(self, address: Address, totp_secret: str | None, now: datetime) -> bool:
        """Codes of another application from now on; with None, codes that are sent; whether the person could be told. Raises Denied("no-second-factor")
        when there is nowhere to send them to.
        """
        row = self._load(address)
        if totp_secret is None and self._contact_is_missing(row):
            raise Denied("no-second-factor")
        sealed = totp_secret and self._directory.seal_second_factor(row.account_id, totp_secret)
        name = "second-factor-codes" if totp_secret is None else "second-factor-application"
        act = administrator_act(now, EventKind.KEY_CHANGED, ObjectKind.SLOT, name)

        def write(connection: Connection) -> None:
            current = self._store.accounts.load_account(connection, row.account_id)
            self._store.accounts.replace_account(connection, replace(current, second_factor=sealed or None))
            # tries and steps are those of the application that is gone
            web_rows.delete_code(connection, row.account_id, Factor.APPLICATION.value)

        self._custody.note_act("account second-factor")
        return self._commit(row, write, act, NoticeKind.FACTOR_CHANGED)

    def _contact_is_missing(self, row: AccountRow) -> bool:
        return self._notices.find_contact(self._directory.open_profile(row), is_code=True) is None

    def _replace_password(
        self,
        row: AccountRow,
        new: tuple[AccountKeys, Secret],
        act: AuditEvent,
        opened_by: SlotId | None = None,
    ) -> bool:
        """``opened_by``: what must still open the account."""
        at = int(act.when.timestamp())
        slot = replace(self._passwords.seal(row, *new), created_at=at)

        def write(connection: Connection) -> None:
            olds = self._password_slots(connection, row)
            if opened_by is not None and opened_by not in {old.slot_id for old in olds}:
                raise Denied("login")
            for old in olds:
                self._store.accounts.delete_slot(connection, row.account_id, old.slot_id)
            self._store.accounts.add_slot(connection, slot)

        return self._commit(row, write, act, NoticeKind.PASSWORD_CHANGED)

    def _password_slots(self, connection: Connection, row: AccountRow) -> list[SlotRow]:
        return self._store.accounts.find_slots(connection, row.account_id, kind=SlotKind.PASSWORD.value)

    def _commit(self, row: AccountRow, write: Write, act: AuditEvent, kind: NoticeKind) -> bool:
        entry, told = prepare_entry(row, act), self._notices.change_jobs(row, kind, act.when)

        def run(connection: Connection) -> None:
            write(connection)
            web_rows.delete_sessions(connection, row.account_id)
            if told:
                self._store.jobs.add_jobs(connection, told)
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(row.account_id, run, shreds=True))
        return bool(told)

    def _load(self, address: Address) -> AccountRow:
        with self._store.database.read() as connection:
            row = self._directory.find_account(connection, address)
        if row is None:
            raise NotFound("account")
        if row.kind.is_shared:
            raise Denied("shared-box-has-members")
        if row.state is not AccountState.ACTIVE:
            raise Denied("account-disabled")
        return row
