"""Accounts as an administrator makes them: keys through custody, every act in the account's own log (K4, L1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.audit.events import EventKind, ObjectKind
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.roots import FIRST_EPOCH
from mailserver.crypto.secret import Secret, random_id
from mailserver.crypto.slots import (
    ARGON2_DEFAULT,
    Argon2Parameters,
    SlotKind,
    SlotScope,
    new_app_password,
)
from mailserver.model.account import BIRTH_MAILBOXES, AccountKind, AccountState
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Conflict, Malformed, NotFound
from mailserver.model.ids import AccountId, MailboxId
from mailserver.model.patient import Ins
from mailserver.service.access_log import PreparedEntry, add_entries, prepare_entry
from mailserver.service.account_slots import (
    APP_PASSWORD_DAYS,
    PasswordSlots,
    app_password_slot,
    judge_password,
    slot_row,
    term_of,
)
from mailserver.service.administrator import administrator_act
from mailserver.service.box_members import BoxMembers, seal_member
from mailserver.service.directory import Directory, Profile
from mailserver.service.keys import release_keys
from mailserver.service.notice_texts import NoticeKind
from mailserver.service.notices import Notices
from mailserver.store import web_rows
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.mailboxes import MailboxRow, add_mailbox
from mailserver.store.members import MemberRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What is asked for. ``second_factor`` is a TOTP secret (base32); the app password lasts ``days``."""

    kind: AccountKind
    address: Address
    profile: Profile
    ins: Ins | None = None
    members: tuple[Address, ...] = ()
    password: Secret | None = None
    has_app_password: bool = True
    second_factor: str | None = None
    days: int = APP_PASSWORD_DAYS


@dataclass(frozen=True, slots=True)
class MadeAccount:
    account_id: AccountId
    app_password: str | None


class Administration:
    """Makes, lists and disables accounts. ``argon2`` may be lowered to the floor for demonstrations and tests."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        custody: CustodianVerbs,
        argon2: Argon2Parameters = ARGON2_DEFAULT,
    ) -> None:
        self._store = store
        self._directory = directory
        self._custody = custody
        self._passwords = PasswordSlots(custody, argon2)
        self._members = BoxMembers(store, directory, custody)

    def add_account(self, new: NewAccount, now: datetime) -> MadeAccount:
        """Make an account with its keys, its mailboxes and its slots, in one transaction.

        1. The request is judged: domain, kind, identity, members. 2. The custodian makes the keys.
        3. Slots are sealed from the released AMK. 4. One Unit writes everything with its log entry.
        Raises Malformed ("password-short" under 9 characters, …), Conflict("address-taken"), NotFound("member").
        """
        self._judge(new)
        account_id = AccountId(random_id())
        made = self._custody.provision(account_id)
        row = AccountRow(
            account_id,
            new.kind,
            AccountState.ACTIVE,
            int(now.timestamp()),
            FIRST_EPOCH,
            random_id(),
            made.mail_public,
            made.space_public,
            made.signing_public,
            self._directory.seal_profile(account_id, new.profile),
            self._directory.seal_second_factor(account_id, new.second_factor) if new.second_factor else None,
        )
        custody = slot_row(row, made.custody_header, (SlotKind.CUSTODY, SlotScope.CUSTODY), made.custody_body)
        slots, members, app_password = self._slots(row, custody, new)
        event = administrator_act(now, EventKind.ADMINISTRATOR_ACT, ObjectKind.ACCOUNT, "account-made")
        entry = prepare_entry(row, event)
        self._write(new, row, ([custody, *slots], members), entry)
        return MadeAccount(account_id, app_password)

    def _judge(self, new: NewAccount) -> None:
        if not self._directory.is_ours(new.address.domain):
            raise Malformed("domain-not-ours")
        if (new.kind is AccountKind.PATIENT) != (new.ins is not None):
            raise Malformed("ins-needed" if new.ins is None else "ins-unexpected")
        if new.profile.contact_email and not _is_address(new.profile.contact_email):
            raise Malformed("contact-email")
        if new.password is not None:
            judge_password(new.password.reveal().decode())
        if new.members and not new.kind.is_shared:
            raise Malformed("members-unexpected")
        with self._store.database.read() as connection:
            if self._directory.find_account(connection, new.address) is not None:
                raise Conflict("address-taken")
            if new.ins is not None and self._directory.find_patient(connection, new.ins) is not None:
                raise Conflict("ins-taken")

    def _slots(
        self, row: AccountRow, custody: SlotRow, new: NewAccount
    ) -> tuple[list[SlotRow], list[MemberRow], str | None]:
        """Slots, members and the app password. The first member is responsible for the box."""
        wants_app_password = new.has_app_password and not new.kind.is_shared
        if new.password is None and not wants_app_password and not new.members:
            return [], [], None
        keys = release_keys(self._custody, custody, "account add")
        slots: list[SlotRow] = []
        members: list[MemberRow] = []
        for rank, address in enumerate(dict.fromkeys(new.members)):
            person = self._members.load_person(address)
            made = seal_member(self._directory, (row, keys), person, row.created_at, is_responsible=rank == 0)
            slots += made.slots
            members.append(made.row)
        if new.password is not None:
            slots.append(self._passwords.seal(row, keys, new.password))
        if not wants_app_password:
            return slots, members, None
        app_password = new_app_password()
        password = (app_password, SlotScope.IMAP_SMTP)
        slots.append(app_password_slot(self._store, row, keys, password, term_of(row.created_at, new.days)))
        return slots, members, app_password

    def _write(
        self,
        new: NewAccount,
        row: AccountRow,
        made: tuple[Sequence[SlotRow], Sequence[MemberRow]],
        entry: PreparedEntry,
    ) -> None:
        accounts, directory = self._store.accounts, self._directory
        slots, members = made

        def run(connection: Connection) -> None:
            accounts.add_account(connection, row)
            sealed = directory.seal_address(row.account_id, new.address)
            accounts.add_address(connection, row.account_id, directory.address_mac(new.address), sealed)
            if new.ins is not None:
                accounts.add_identity(connection, row.account_id, directory.ins_mac(new.ins))
            for slot in slots:
                accounts.add_slot(connection, slot)
            for member in members:
                self._store.members.add_member(connection, member)
            for mailbox in birth_mailboxes(row.account_id, row.created_at):
                add_mailbox(connection, mailbox)
            add_entries(connection, self._store.macs, [entry])

        try:
            self._store.writer.commit(Unit(row.account_id, run))
        except Conflict as error:
            raise Conflict("address-taken") from error

    def disable_account(self, address: Address, now: datetime) -> None:
        """No login, no delivery, no session from now on; what is stored stays."""
        row = self._load(address)
        disabled = replace(row, state=AccountState.DISABLED)
        entry = prepare_entry(
            row, administrator_act(now, EventKind.ADMINISTRATOR_ACT, ObjectKind.ACCOUNT, "account-disabled")
        )

        def run(connection: Connection) -> None:
            self._store.accounts.replace_account(connection, disabled)
            self._store.accounts.add_revocation(connection, row.account_id)
            web_rows.delete_sessions(connection, row.account_id)
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(row.account_id, run))

    def mark_client_settings(
        self,
        address: Address,
        change: Callable[[Profile], Profile],
        now: datetime,
    ) -> Profile:
        """What an account's mail clients are told and whether they are traced; from the next login on, and logged."""
        return self._mark_profile(self._load(address), change, "client-settings-changed", now)

    def load_contact(self, address: Address) -> Profile:
        """Where codes and notices go; once the custodian's journal says that it was looked at."""
        self._custody.note_act("account contact")
        return self._directory.open_profile(self._load(address))

    def mark_contact(
        self, address: Address, change: Callable[[Profile], Profile], notices: Notices, now: datetime
    ) -> Profile:
        """Where codes and notices go from now on; logged, and told to where they went."""
        row = self._load(address)
        told = notices.change_jobs(row, NoticeKind.CONTACT_CHANGED, now)
        return self._mark_profile(row, change, "contact-changed", now, told)

    def _mark_profile(
        self,
        row: AccountRow,
        change: Callable[[Profile], Profile],
        act_name: str,
        now: datetime,
        told: Sequence[JobRow] = (),
    ) -> Profile:
        profile = change(self._directory.open_profile(row))
        changed = replace(row, profile=self._directory.seal_profile(row.account_id, profile))
        act = administrator_act(now, EventKind.ADMINISTRATOR_ACT, ObjectKind.ACCOUNT, act_name)
        entry = prepare_entry(row, act)

        def run(connection: Connection) -> None:
            self._store.accounts.replace_account(connection, changed)
            if told:
                self._store.jobs.add_jobs(connection, told)
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(row.account_id, run))
        return profile

    def list_accounts(self) -> list[tuple[AccountRow, Profile, tuple[Address, ...]]]:
        """Every account with its profile and addresses, the oldest first; once the custodian's journal says so."""
        self._custody.note_act("account list")
        with self._store.database.read() as connection:
            return [
                (
                    row,
                    self._directory.open_profile(row),
                    self._directory.list_addresses(connection, row.account_id),
                )
                for row in list(self._store.accounts.list_accounts(connection))
            ]

    def _load(self, address: Address) -> AccountRow:
        with self._store.database.read() as connection:
            row = self._directory.find_account(connection, address)
        if row is None:
            raise NotFound("account")
        return row


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except Malformed:
        return False
    return True


def birth_mailboxes(account_id: AccountId, now: int) -> list[MailboxRow]:
    """The mailboxes that exist from the start; their names follow from their roles, so no record is sealed yet."""
    return [
        MailboxRow(account_id, MailboxId(random_id()), role, now, 1, 1, 0, 0, 0, 0, 1, 0, now, None)
        for _name, role in BIRTH_MAILBOXES
    ]
