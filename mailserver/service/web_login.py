"""Logging in on the web, in two steps: password, then a code. No session opens anything before both.

What fails says the same words after the same work whoever was named (K22). A success is in the account's log in the
same transaction as the session (L4); failures are folded (``login_failures``).
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.roots import AccountKeys
from mailserver.model.address import DomainName
from mailserver.model.errors import Denied, NotFound
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.keys import Keys, OpenAccount
from mailserver.service.known_devices import KnownDevices
from mailserver.service.mail_permit import actor_of
from mailserver.service.web_codes import Factor, SentCode, WebCodes
from mailserver.service.web_sessions import SessionCookie, WebSessions
from mailserver.store import web_rows
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit

LOGIN_CHARACTERS = 320
PASSWORD_CHARACTERS = 1024
PASSWORD_AND_MAIL = "password+mail"  # noqa: S105 # names of factors
PASSWORD_AND_SMS = "password+sms"  # noqa: S105 # as above
PASSWORD_AND_APPLICATION = "password+totp"  # noqa: S105 # as above
_FACTORS = {
    Factor.MAIL: PASSWORD_AND_MAIL,
    Factor.SMS: PASSWORD_AND_SMS,
    Factor.APPLICATION: PASSWORD_AND_APPLICATION,
}


@dataclass(frozen=True, slots=True)
class Awaited:
    """Whose second factor is awaited, and where it is to be found."""

    login: str
    sent: SentCode


@dataclass(frozen=True, slots=True)
class Started:
    """The password was right: the cookie of the pending session, and where the code is to be found."""

    cookie: SessionCookie
    sent: SentCode


@dataclass(frozen=True, slots=True)
class Finished:
    """Both factors were right: the cookie of the session, and the token by which this browser is known from now on."""

    cookie: SessionCookie
    device: str


class WebLogin:
    def __init__(
        self, store: Store, keys: Keys, sessions: WebSessions, codes: WebCodes, domains: Iterable[DomainName]
    ) -> None:
        self._store = store
        self._keys = keys
        self._sessions = sessions
        self._codes = codes
        self._devices = KnownDevices(store.macs)
        self._domain = min(domains).name

    def full_login(self, typed: str) -> str:
        """What a person typed as an address: an identifier alone belongs to our domain."""
        text = unicodedata.normalize("NFC", "".join(typed[:LOGIN_CHARACTERS].split()))
        return text if "@" in text else f"{text}@{self._domain}"

    def standing_of(self, typed: str, device: str, now: datetime) -> Standing:
        """Whether this browser was let in before as who is named now; ``device`` is its token, or empty."""
        return self._devices.standing_of(self.full_login(typed), device, now)

    def begin(
        self, typed: str, password: str, now: datetime, standing: Standing = Standing.STRANGER
    ) -> Started:
        """First step (0.1 s of Argon2). Raises Denied("login") whatever was wrong, OverLimit("harden-rate") whether it
        was right or not; once the password is right, Denied("no-second-factor") or OverLimit("codes").
        """
        account, keys = self._keys.open_with_password(
            self.full_login(typed), password[: PASSWORD_CHARACTERS + 1], standing
        )
        cookie, row = self._sessions.prepare_pending(account, keys, now)
        sent, write_code = self._codes.prepare(account.account, cookie.session_id, now)

        def run(connection: Connection) -> None:
            if not self._has_slot(connection, account):
                raise Denied("login")
            write_code(connection)
            self._store.web.add_session(connection, row)

        self._store.writer.commit(Unit(account.account_id, run))
        return Started(cookie, sent)

    def _has_slot(self, connection: Connection, account: OpenAccount) -> bool:
        """Whether the password still opens the account: another may have come while this one was stretched."""
        try:
            self._store.accounts.load_slot(connection, account.account_id, account.slot_id)
        except NotFound:
            return False
        return True

    def find_keys(self, account: OpenAccount, password: str, standing: Standing) -> AccountKeys | None:
        """What this account's password opens; None for any other (0.1 s of Argon2). Raises OverLimit("harden-rate")."""
        login = str(account.addresses[0])
        try:
            found, keys = self._keys.open_with_password(login, password[: PASSWORD_CHARACTERS + 1], standing)
        except Denied:
            return None
        return keys if found.account_id == account.account_id else None

    def find_awaited(self, pending_value: str, now: datetime) -> Awaited | None:
        """What the page of the second step says; None when the first is over."""
        try:
            pending = self._sessions.load_pending(pending_value, now)
            account = self._sessions.open_account(pending.account_id, pending.payload)
        except Denied:
            return None
        return Awaited(str(account.addresses[0]), self._codes.sent_to(account.account, account.profile))

    def finish(self, pending_value: str, code: str, origin: Origin, now: datetime) -> Finished:
        """Second step. Raises Denied("session") when the first is over, Denied("code") whatever is wrong with it.

        1. The code is prepared for comparison, the session and its log entry are sealed. 2. One Unit takes a try and,
        when the code is right, uses it up, ends the pending session, adds the real one and the entry.
        """
        pending = self._sessions.load_pending(pending_value, now)
        account = self._sessions.open_account(pending.account_id, pending.payload)
        row = account.account
        take = self._codes.prepare_check(row, pending.session_id, code, now)
        factor = _FACTORS[self._codes.sent_to(row, account.profile).factor]
        cookie, session = self._sessions.prepare_full(pending, factor, now)
        who, what = actor_of(account), AuditObject(ObjectKind.ACCOUNT)
        entry = prepare_entry(row, AuditEvent(EventKind.LOGIN, now, who, what, origin))

        def run(connection: Connection) -> bool:
            begun = self._store.web.find_session(connection, pending.account_id, pending.session_id)
            if begun is None or not take(connection):
                return False
            web_rows.delete_session(connection, pending.account_id, pending.session_id)
            self._store.web.add_session(connection, session)
            add_entries(connection, self._store.macs, [entry])
            return True

        if not self._store.writer.commit(Unit(pending.account_id, run)):
            raise Denied("code")
        return Finished(cookie, self._devices.new_token(account.addresses, now))
