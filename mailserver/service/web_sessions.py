"""Web sessions (K21): the cookie holds a secret, the row holds the roots wrapped under it and the hour's key.

Any worker opens any session; the database alone opens none. A session that has only the password (``PENDING``)
holds the roots for the second factor to release, and never becomes an OpenAccount.
"""

import base64
import binascii
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.hkdf import derive, mac, verify_mac
from mailserver.crypto.roots import AccountKeys, Root
from mailserver.crypto.secret import Secret, random_id, random_secret
from mailserver.crypto.sessions import open_session, seal_session
from mailserver.model.errors import Corrupt, Denied, NotFound
from mailserver.model.ids import ID_BYTES, AccountId, SessionId, SlotId
from mailserver.service.keys import Keys, OpenAccount
from mailserver.store import web_rows
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.web_rows import SessionRow
from mailserver.store.writer import Unit

IDLE_SECONDS = 15 * 60
ABSOLUTE_SECONDS = 12 * 3600
PENDING_SECONDS = 10 * 60
PENDING = "password"
"""Factor of a session that still waits for its second one; it opens nothing."""
_TOUCH_SECONDS = 60
_SECRET_BYTES = 32
_HOUR = 3600
_HOURS_KEPT = 14


@dataclass(frozen=True, slots=True)
class SessionCookie:
    """What the browser keeps."""

    account_id: AccountId
    session_id: SessionId
    secret: Secret

    def format_value(self) -> str:
        raw = self.account_id + self.session_id + self.secret.reveal()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parse_cookie(value: str) -> SessionCookie:
    """Raises Denied("session") for anything that we did not write."""
    try:
        raw = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Denied("session") from None
    if len(raw) != 2 * ID_BYTES + _SECRET_BYTES:
        raise Denied("session")
    session_id = SessionId(raw[ID_BYTES : 2 * ID_BYTES])
    return SessionCookie(AccountId(raw[:ID_BYTES]), session_id, Secret(raw[2 * ID_BYTES :]))


@dataclass(frozen=True, slots=True)
class PendingSession:
    """The password was right; the second factor is awaited."""

    account_id: AccountId
    session_id: SessionId
    payload: Secret
    expires_at: int


@dataclass(frozen=True, slots=True)
class WebSession:
    """A signed-in person, for one request."""

    account: OpenAccount
    cookie: SessionCookie
    ends_at: datetime
    """When the session ends if nothing more is asked."""

    def form_token(self) -> str:
        """What every form of this session carries against cross-site requests (S11)."""
        return mac(derive(self.cookie.secret, "web-form"), "token").hex()

    def is_form_token(self, value: str) -> bool:
        return verify_mac(self.form_token().encode(), value.encode("utf-8", "replace"))

    def mark(self, text: str) -> bytes:
        """HMAC of ``text`` that only this session can make."""
        return mac(derive(self.cookie.secret, "web-mark"), "mark", text)


class WebSessions:
    def __init__(self, store: Store, keys: Keys, custody: CustodianVerbs) -> None:
        self._store = store
        self._keys = keys
        self._custody = custody
        self._hours: dict[int, Secret] = {}
        self._lock = threading.Lock()

    def prepare_pending(
        self, account: OpenAccount, keys: AccountKeys, now: datetime
    ) -> tuple[SessionCookie, SessionRow]:
        """A session after the password: its cookie, and the row that the caller's Unit adds."""
        roots = keys.mail.secret.reveal() + keys.space.secret.reveal()
        payload = Secret(roots + account.slot_id)
        return self._prepare(account.account_id, payload, PENDING, PENDING_SECONDS, now)

    def prepare_full(
        self, pending: PendingSession, factor: str, now: datetime
    ) -> tuple[SessionCookie, SessionRow]:
        """The session that replaces a pending one: new id, new secret, so that a planted cookie is worth nothing."""
        return self._prepare(pending.account_id, pending.payload, factor, ABSOLUTE_SECONDS, now)

    def _prepare(
        self, account_id: AccountId, payload: Secret, factor: str, life_seconds: int, now: datetime
    ) -> tuple[SessionCookie, SessionRow]:
        at = int(now.timestamp())
        cookie = SessionCookie(account_id, SessionId(random_id()), random_secret())
        expires_at, hour = at + life_seconds, at // _HOUR
        sealed = seal_session(
            cookie.secret,
            self._hourly_key(hour),
            account_id,
            cookie.session_id,
            datetime.fromtimestamp(expires_at, UTC),
            factor,
            payload.reveal(),
        )
        row = SessionRow(account_id, cookie.session_id, at, at, expires_at, hour, factor, sealed)
        return cookie, row

    def load_pending(self, value: str, now: datetime) -> PendingSession:
        """Raises Denied("session") when there is none or its ten minutes are over."""
        _cookie, row, payload = self._load(value, now)
        if row.factor != PENDING:
            raise Denied("session")
        return PendingSession(row.account_id, row.session_id, payload, row.expires_at)

    def load(self, value: str, now: datetime) -> WebSession:
        """Raises Denied("session"): unknown, altered, idle for 15 min, over 12 h, or still without second factor."""
        cookie, row, payload = self._load(value, now)
        at = int(now.timestamp())
        if row.factor == PENDING or at - row.seen_at >= IDLE_SECONDS:
            raise Denied("session")
        account = self.open_account(row.account_id, payload)
        if at - row.seen_at >= _TOUCH_SECONDS:
            self._touch(row, at)
        ends_at = min(row.expires_at, at + IDLE_SECONDS)
        return WebSession(account, cookie, datetime.fromtimestamp(ends_at, UTC))

    def open_account(self, account_id: AccountId, payload: Secret) -> OpenAccount:
        """The account behind a session's roots. Raises Denied("session") when it is disabled or gone."""
        raw = payload.reveal()
        mail, space = Root(Secret(raw[:32])), Root(Secret(raw[32:64]))
        try:
            return self._keys.open_with_roots(account_id, SlotId(raw[64:]), mail, space)
        except (Denied, NotFound):
            raise Denied("session") from None

    def _load(self, value: str, now: datetime) -> tuple[SessionCookie, SessionRow, Secret]:
        cookie = parse_cookie(value)
        with self._store.database.read() as connection:
            try:
                row = self._store.web.find_session(connection, cookie.account_id, cookie.session_id)
            except Corrupt:
                row = None  # planted or altered: not a session
        if row is None or int(now.timestamp()) >= row.expires_at:
            raise Denied("session")
        try:
            hourly = self._hourly_key(row.hour)
        except NotFound:
            raise Denied("session") from None
        expiry = datetime.fromtimestamp(row.expires_at, UTC)
        payload = open_session(
            cookie.secret, hourly, row.account_id, row.session_id, expiry, row.factor, row.keys
        )
        return cookie, row, Secret(payload)

    def _touch(self, row: SessionRow, at: int) -> None:
        def run(connection: Connection) -> None:
            web_rows.mark_seen(connection, row.account_id, row.session_id, at)

        self._store.writer.submit(Unit(row.account_id, run))

    def end(self, value: str) -> None:
        """Log out: the row goes, and with it the roots. A cookie that names no session is no error."""
        try:
            cookie = parse_cookie(value)
        except Denied:
            return

        def run(connection: Connection) -> None:
            web_rows.delete_session(connection, cookie.account_id, cookie.session_id)

        self._store.writer.commit(Unit(cookie.account_id, run))

    def _hourly_key(self, hour: int) -> Secret:
        with self._lock:
            key = self._hours.get(hour)
            if key is None:
                key = self._hours[hour] = self._custody.hourly_key(hour)
                for old in [each for each in self._hours if each <= hour - _HOURS_KEPT]:
                    del self._hours[old]
            return key
