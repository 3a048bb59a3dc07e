"""Opening an account: a secret opens a slot, the slot gives the roots that the scope allows, to one connection only.

Unknown account, wrong secret and disabled account cost the same work and get the same words (K22): what is not in
the store is made up for by rows of nobody, whose MACs are checked in its place. A refusal leaves at a multiple of
``REFUSAL_SECONDS`` after the question, which covers what is left (a row more or less to fetch).
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from mailserver.crypto.ctx import ctx
from mailserver.crypto.custodian_logins import Proof
from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.roots import AccountKeys, Root
from mailserver.crypto.seal import PUBLIC_BYTES, SEAL_OVERHEAD_BYTES, KeyPair
from mailserver.crypto.secret import Secret, random_id, random_secret
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
from mailserver.model.account import AccountKind, AccountState
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Denied, Malformed, NotFound
from mailserver.model.ids import ID_BYTES, AccountId, MailboxId, SlotId
from mailserver.model.rights import EVERY_RIGHT, Right, Rights
from mailserver.service.directory import Directory, Profile, tag_mac
from mailserver.service.membership import Member
from mailserver.service.sealing import MailKeys
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.database import Connection
from mailserver.store.row_macs import RowMacs
from mailserver.store.store import Store

ARGON2_AT_ONCE = 4
REFUSAL_SECONDS = 0.008
_SIGNING_BYTES = 32
_SEALED_BYTES = 156
_NO_ADDRESS = parse_address("nobody@pli.invalid")


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
    member: Member | None = None
    """Set when the person behind this connection is not the account's own holder (K11)."""
    ends_at: int | None = None
    """The second when the server ends a connection: its app password's end, or the limit after a token."""

    def __repr__(self) -> str:
        return "OpenAccount(…)"

    @property
    def account_id(self) -> AccountId:
        return self.account.account_id

    def is_over(self, now: int) -> bool:
        """Whether the time of this connection is up."""
        return self.ends_at is not None and self.ends_at <= now

    def rights_in(self, mailbox_id: MailboxId) -> Rights:
        """What may be done in a mailbox of this account; its own holder may do everything."""
        return EVERY_RIGHT if self.member is None else self.member.rights.of(mailbox_id)

    def demand(self, mailbox_id: MailboxId, *needed: Right) -> None:
        """Raises Denied("right") unless every right is held; NotFound("mailbox") when the mailbox may not even be
        known to exist (RFC 4314 §6).
        """
        held = self.rights_in(mailbox_id)
        if not held.issuperset(needed):
            raise Denied("right") if Right.LOOKUP in held else NotFound("mailbox")

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
        self._nobody = _Nobody(store.macs)

    def open_with_app_password(
        self, login: str, secret: str, scopes: Sequence[SlotScope], now: int
    ) -> OpenAccount:
        """For IMAP, submission and API. Raises Denied("login") whatever was wrong."""
        with _refused_late():
            try:
                password = parse_app_password(secret)
            except Malformed:
                raise Denied("login") from None
            with self._store.database.read() as connection:
                index = tag_mac(self._store, password.tag)
                found = self._find(connection, login, SlotKind.APP_PASSWORD, index)
                slot = next((each for each in found.slots if _may_open(each, scopes, now)), self._nobody.slot)
                payload = Secret(open_slot(slot.header, slot.body, password.secret))
                if not found.is_open:
                    raise Denied("login")
                opened = self._open(connection, found.account, slot, payload)
            return replace(opened, ends_at=slot.expires_at)

    def open_with_custody(
        self, login: str, release: Callable[[SlotRow], Root | None], scope: SlotScope
    ) -> OpenAccount:
        """For what the custodian judges: ``release`` gives the mail root of a custody slot, or None where no key is
        needed. Raises what it raises, and Denied("login") whatever was wrong.
        """
        with _refused_late():
            with self._store.database.read() as connection:
                found = self._find(connection, login, SlotKind.CUSTODY, None)
            slot = found.slots[0] if found.is_open and found.slots else self._nobody.custody
            mail = release(slot)
            if slot is self._nobody.custody:
                raise Denied("login")
            with self._store.database.read() as connection:
                return self._opened(connection, found.account, (slot.slot_id, scope), mail, None)

    def open_with_password(
        self, login: str, password: str, standing: Standing = Standing.STRANGER
    ) -> tuple[OpenAccount, AccountKeys]:
        """For the web: Argon2id and the custodian's hardening (about 0.1 s). Raises Denied("login") whatever was wrong,
        OverLimit("harden-rate") when there were too many tries of this standing, whatever this one is.
        """
        with _refused_late():
            with self._store.database.read() as connection:
                found = self._find(connection, login, SlotKind.PASSWORD, None)
            slot = found.slots[0] if found.slots else self._nobody_with_password(login)
            header = parse_slot_header(slot.header)

            def harden(value: bytes) -> bytes:
                return self._custody.harden(slot.account_id, slot.slot_id, value, standing)

            with self._argon2:
                secret = password_secret(header, password, harden)
            keys = AccountKeys(Secret(open_slot(slot.header, slot.body, secret)))
            if not found.is_open:
                raise Denied("login")
            with self._store.database.read() as connection:
                return self._open(connection, found.account, slot, keys.amk), keys

    def open_with_roots(self, account_id: AccountId, slot_id: SlotId, mail: Root, space: Root) -> OpenAccount:
        """For a web session whose roots were unwrapped from its row. Raises Denied("login") when disabled."""
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, account_id)
            if account.state is not AccountState.ACTIVE:
                raise Denied("login")
            return self._opened(connection, account, (slot_id, SlotScope.WEB), mail, space)

    def _find(self, connection: Connection, login: str, kind: SlotKind, tag: bytes | None) -> "_Found":
        """An account and its slots of one kind, or nobody's. Each way makes the same three queries and checks the
        MACs of an address, an account and a slot: nobody's in place of those that are missing.
        """
        accounts, nobody = self._store.accounts, self._nobody
        account_id = accounts.find_by_address(connection, self._directory.address_mac(_address_of(login)))
        if account_id is None:
            nobody.check_address(self._store.macs)
        try:
            account = accounts.load_account(connection, account_id or nobody.account.account_id)
        except NotFound:
            nobody.check_account(self._store.macs)
            account = nobody.account
        slots = accounts.find_slots(connection, account.account_id, kind=kind.value, tag_mac=tag)
        if not slots:
            nobody.check_slot(self._store.macs)
        is_open = account is not nobody.account and account.state is AccountState.ACTIVE
        return _Found(account, slots, is_open)

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
        elif scope is SlotScope.API:
            space = Root(payload)
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

    def _nobody_with_password(self, login: str) -> SlotRow:
        """A slot that nothing opens: an unknown account costs the same Argon2 and the same custodian call. Its ids
        follow from the login, so that a limit on hardenings counts attempts on nobody as it counts the others.
        """
        ids = self._store.macs.lookup("nobody", _address_of(login).key)
        account_id, slot_id = ids[:ID_BYTES], ids[ID_BYTES : 2 * ID_BYTES]
        header = SlotHeader(
            account_id, slot_id, SlotKind.PASSWORD, SlotScope.WEB, random_id(), ARGON2_DEFAULT
        )
        return _slot_row(header, self._nobody.slot.body)


def _may_open(slot: SlotRow, scopes: Sequence[SlotScope], now: int) -> bool:
    return slot.scope in {scope.value for scope in scopes} and (
        slot.expires_at is None or slot.expires_at > now
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """``is_open`` is False for nobody and for a disabled account, whose slots open nothing."""

    account: AccountRow
    slots: list[SlotRow]
    is_open: bool


class _Nobody:
    """Rows that are in no store, of the usual sizes, with their MACs."""

    def __init__(self, macs: RowMacs) -> None:
        account_id = AccountId(random_id())
        self.account = AccountRow(
            account_id,
            AccountKind.PER,
            AccountState.DISABLED,
            0,
            1,
            random_id(),
            bytes(PUBLIC_BYTES),
            bytes(PUBLIC_BYTES),
            bytes(_SIGNING_BYTES),
            bytes(_SEALED_BYTES),
            None,
        )
        header = SlotHeader(account_id, random_id(), SlotKind.APP_PASSWORD, SlotScope.IMAP_SMTP, random_id())
        body = seal_slot(header, Secret(random_id() + random_id()), bytes(32))
        self.slot = replace(_slot_row(header, body), tag_mac=bytes(32))
        kept = SlotHeader(account_id, random_id(), SlotKind.CUSTODY, SlotScope.CUSTODY, random_id())
        self.custody = _slot_row(kept, bytes(SEAL_OVERHEAD_BYTES + 32))
        self._address = (bytes(32), account_id, bytes(_SEALED_BYTES))
        self._address_mac = macs.sign("address", self._address)
        self._account_mac = macs.sign("account", self.account.mac_fields())
        self._slot_mac = macs.sign("slot", self.slot.mac_fields())

    def check_address(self, macs: RowMacs) -> None:
        macs.check("address", self._address, self._address_mac)

    def check_account(self, macs: RowMacs) -> None:
        macs.check("account", self.account.mac_fields(), self._account_mac)

    def check_slot(self, macs: RowMacs) -> None:
        macs.check("slot", self.slot.mac_fields(), self._slot_mac)


def _slot_row(header: SlotHeader, body: bytes) -> SlotRow:
    account_id, slot_id = AccountId(header.account), SlotId(header.slot)
    raw = format_slot_header(header)
    return SlotRow(account_id, slot_id, header.kind.value, header.scope.value, None, raw, body, 0, None)


def _address_of(login: str) -> Address:
    """The address typed; one that nobody can have when it is none, so that it is looked up all the same."""
    try:
        return parse_address(login)
    except Malformed:
        return _NO_ADDRESS


@contextlib.contextmanager
def _refused_late() -> Iterator[None]:
    """Whatever was wrong becomes Denied("login"), at a multiple of ``REFUSAL_SECONDS``, in the caller's thread;
    whoever uses it holds no database connection by then.
    """
    started = time.monotonic()
    try:
        yield
    except Denied:
        wait_until(started)
        raise Denied("login") from None


def wait_until(started: float) -> None:
    """Sleep to the next multiple of ``REFUSAL_SECONDS`` after ``started``."""
    time.sleep(REFUSAL_SECONDS - (time.monotonic() - started) % REFUSAL_SECONDS)


def load_custody_slot(store: Store, account_id: AccountId) -> SlotRow:
    """Raises Denied("custody-slot") when the account is not in custody."""
    with store.database.read() as connection:
        slots = store.accounts.find_slots(connection, account_id, kind=SlotKind.CUSTODY.value)
    if not slots:
        raise Denied("custody-slot")
    return slots[0]


def release_keys(custody: CustodianVerbs, custody_slot: SlotRow, basis: str) -> AccountKeys:
    """An account's keys through custody, for an administrator's command (K4). Raises Denied, Unavailable."""
    session = random_secret()
    pair = KeyPair.from_seed(session)
    account_id = custody_slot.account_id
    sealed = custody.release(account_id, custody_slot.header, custody_slot.body, pair.public, basis)
    return AccountKeys(Secret(pair.open(sealed, release_info(account_id))))


def release_mail(custody: CustodianVerbs, custody_slot: SlotRow, proof: Proof) -> Root:
    """An account's mail root for a login by what the custodian judges (K7). Raises Denied, OverLimit, Unavailable."""
    pair = KeyPair.from_seed(random_secret())
    account_id = custody_slot.account_id
    sealed = custody.release_mail(account_id, custody_slot.header, custody_slot.body, pair.public, proof)
    return Root(Secret(pair.open(sealed, ctx("release-mail", account_id))))


def release_info(account_id: AccountId) -> bytes:
    """Context under which the custodian seals a released AMK to a session key."""
    return ctx("release", account_id)
