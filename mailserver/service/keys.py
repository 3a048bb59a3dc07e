"""Opening an account: a secret opens a slot, the slot gives the roots that the scope allows, to one connection only.

Unknown account, wrong secret and disabled account cost the same work and get the same words (K22).
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from mailserver.crypto.ctx import ctx
from mailserver.crypto.custodian import CustodianVerbs
from mailserver.crypto.roots import AccountKeys, Root
from mailserver.crypto.secret import Secret, random_id
from mailserver.crypto.slots import (
    ARGON2_DEFAULT,
    SlotHeader,
    SlotKind,
    SlotScope,
    format_slot_header,
    open_slot,
    parse_app_password,
    parse_slot_header,
    password_secret,
    seal_slot,
)
from mailserver.model.account import AccountState
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Denied, Malformed, NotFound
from mailserver.model.ids import AccountId, SlotId
from mailserver.service.directory import Directory, Profile, tag_mac
from mailserver.service.sealing import MailKeys
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.database import Connection
from mailserver.store.store import Store

ARGON2_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account with the keys that its secret opened. Lives in one connection or one request, never in a row."""

    account: AccountRow
    profile: Profile
    addresses: tuple[Address, ...]
    slot_id: SlotId
    scope: SlotScope
    revocation: int
    mail: MailKeys | None
    space: Root | None

    def __repr__(self) -> str:
        return "OpenAccount(…)"

    @property
    def account_id(self) -> AccountId:
        return self.account.account_id

    def mail_keys(self) -> MailKeys:
        """Raises Denied("scope") when this connection may only send."""
        if self.mail is None:
            raise Denied("scope")
        return self.mail

    def space_root(self) -> Root:
        if self.space is None:
            raise Denied("scope")
        return self.space


class Keys:
    """Opens accounts. ``custody`` hardens passwords; app passwords need nothing but the database."""

    def __init__(self, store: Store, directory: Directory, custody: CustodianVerbs) -> None:
        self._store = store
        self._directory = directory
        self._custody = custody
        self._argon2 = threading.BoundedSemaphore(ARGON2_AT_ONCE)
        self._nobody = _slot_of_nobody()

    def open_with_app_password(
        self, login: str, secret: str, scopes: Sequence[SlotScope], now: int
    ) -> OpenAccount:
        """For IMAP, submission and API. Raises Denied("login") whatever was wrong."""
        try:
            password = parse_app_password(secret)
        except Malformed:
            raise Denied("login") from None
        with self._store.database.read() as connection:
            account = self._find_active(connection, login)
            slots: list[SlotRow] = []
            if account is not None:
                index = tag_mac(self._store, password.tag)
                kind = SlotKind.APP_PASSWORD.value
                slots = self._store.accounts.find_slots(
                    connection, account.account_id, kind=kind, tag_mac=index
                )
            slot = next((each for each in slots if _may_open(each, scopes, now)), self._nobody)
            try:
                payload = Secret(open_slot(slot.header, slot.body, password.secret))
            except Denied:
                raise Denied("login") from None
            assert account is not None
            return self._open(connection, account, slot, payload)

    def open_with_password(self, login: str, password: str) -> tuple[OpenAccount, AccountKeys]:
        """For the web: Argon2id and the custodian's hardening (about 0.1 s). Raises Denied("login")."""
        with self._store.database.read() as connection:
            account = self._find_active(connection, login)
            slots: list[SlotRow] = []
            if account is not None:
                slots = self._store.accounts.find_slots(
                    connection, account.account_id, kind=SlotKind.PASSWORD.value
                )
        slot = slots[0] if slots else self._nobody_with_password()
        header = parse_slot_header(slot.header)
        try:
            with self._argon2:
                secret = password_secret(
                    header, password, lambda value: self._custody.harden(slot.account_id, slot.slot_id, value)
                )
            keys = AccountKeys(Secret(open_slot(slot.header, slot.body, secret)))
        except Denied:
            raise Denied("login") from None
        if account is None:
            raise Denied("login")
        with self._store.database.read() as connection:
            return self._open(connection, account, slot, keys.amk), keys

    def open_with_roots(self, account_id: AccountId, slot_id: SlotId, mail: Root, space: Root) -> OpenAccount:
        """For a web session whose roots were unwrapped from its row. Raises Denied("login") when disabled."""
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, account_id)
            if account.state is not AccountState.ACTIVE:
                raise Denied("login")
            return self._opened(connection, account, (slot_id, SlotScope.WEB), mail, space)

    def _find_active(self, connection: Connection, login: str) -> AccountRow | None:
        try:
            account = self._directory.find_account(connection, parse_address(login))
        except (Malformed, NotFound):
            return None
        return account if account is not None and account.state is AccountState.ACTIVE else None

    def _open(
        self, connection: Connection, account: AccountRow, slot: SlotRow, payload: Secret
    ) -> OpenAccount:
        scope = SlotScope(slot.scope)
        mail: Root | None = None
        space: Root | None = None
        if scope in {SlotScope.WEB, SlotScope.CUSTODY}:
            keys = AccountKeys(payload)
            mail, space = keys.mail, keys.space
        elif scope in {SlotScope.IMAP, SlotScope.IMAP_SMTP}:
            mail = Root(payload)
        return self._opened(connection, account, (slot.slot_id, scope), mail, space)

    def _opened(
        self,
        connection: Connection,
        account: AccountRow,
        slot: tuple[SlotId, SlotScope],
        mail: Root | None,
        space: Root | None,
    ) -> OpenAccount:
        revocations = self._store.accounts.list_revocations(connection, [account.account_id])
        return OpenAccount(
            account,
            self._directory.open_profile(account),
            self._directory.list_addresses(connection, account.account_id),
            slot[0],
            slot[1],
            revocations[account.account_id],
            None if mail is None else MailKeys(mail, account.epoch),
            space,
        )

    def _nobody_with_password(self) -> SlotRow:
        """A slot that nothing opens: an unknown account costs the same Argon2 and the same custodian call."""
        header = SlotHeader(
            random_id(), random_id(), SlotKind.PASSWORD, SlotScope.WEB, random_id(), ARGON2_DEFAULT
        )
        raw = format_slot_header(header)
        account_id, slot_id = AccountId(header.account), SlotId(header.slot)
        body = self._nobody.body
        return SlotRow(account_id, slot_id, header.kind.value, header.scope.value, None, raw, body, 0, None)


def _may_open(slot: SlotRow, scopes: Sequence[SlotScope], now: int) -> bool:
    return slot.scope in {scope.value for scope in scopes} and (
        slot.expires_at is None or slot.expires_at > now
    )


def _slot_of_nobody() -> SlotRow:
    header = SlotHeader(random_id(), random_id(), SlotKind.APP_PASSWORD, SlotScope.IMAP_SMTP, random_id())
    body = seal_slot(header, Secret(random_id() + random_id()), bytes(32))
    raw = format_slot_header(header)
    kind, scope = header.kind.value, header.scope.value
    return SlotRow(AccountId(header.account), SlotId(header.slot), kind, scope, None, raw, body, 0, None)


def release_info(account_id: AccountId) -> bytes:
    """Context under which the custodian seals a released AMK to a session key."""
    return ctx("release", account_id)
