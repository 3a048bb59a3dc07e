"""The second factor of a web login (S10): a code by ordinary e-mail, or an authenticator application (TOTP).

Six digits, five tries, ten minutes, one use whatever arrives in parallel: the try is taken and the code used up in
one transaction. Of a code sent only an HMAC is kept, bound to the login that asked for it. TOTP (RFC 6238) accepts
one step before and after, and never a step again.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import pyotp

from mailserver.crypto.hkdf import verify_mac
from mailserver.model.errors import Denied, OverLimit
from mailserver.model.ids import SessionId
from mailserver.service.directory import Directory, Profile
from mailserver.service.notices import CODE_LIFE_SECONDS, Notices
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.web_rows import CodeRow

TRIES = 5
CODES_PER_HOUR = 5
TOTP_LOGINS_PER_HOUR = 20
TOTP_STEP_SECONDS = 30
_HOUR = 3600
_NO_CODE = bytes(32)
_SPACES = re.compile(r"[\s.\-]+")
_SIX_DIGITS = re.compile(r"[0-9]{6}")


class Factor(StrEnum):
    """Where the code comes from; also the purpose of its row."""

    MAIL = "mail"
    APPLICATION = "totp"


@dataclass(frozen=True, slots=True)
class SentCode:
    """``where`` is the masked address that the code went to; empty for an application."""

    factor: Factor
    where: str


Write = Callable[[Connection], None]
Take = Callable[[Connection], bool]


class WebCodes:
    def __init__(self, store: Store, directory: Directory, notices: Notices) -> None:
        self._store = store
        self._directory = directory
        self._notices = notices

    def prepare(self, account: AccountRow, session_id: SessionId, now: datetime) -> tuple[SentCode, Write]:
        """What the login's Unit writes so that a code can be asked for.

        Raises Denied("no-second-factor") when the account has neither application nor ordinary address. The write
        raises OverLimit("codes") past the hour's number.
        """
        if account.second_factor is not None:
            write = self._write(account, Factor.APPLICATION, _NO_CODE, now)
            return SentCode(Factor.APPLICATION, ""), write
        code = f"{secrets.randbelow(10**6):06d}"
        job = self._notices.code_job(account, code, now)
        if job is None:
            raise Denied("no-second-factor")
        mark_code = self._write(account, Factor.MAIL, self._verifier(session_id, code), now)

        def send(connection: Connection) -> None:
            mark_code(connection)
            self._store.jobs.add_jobs(connection, [job])

        return sent_to(account, self._directory.open_profile(account)), send

    def _write(self, account: AccountRow, factor: Factor, verifier: bytes, now: datetime) -> Write:
        at = int(now.timestamp())
        most = CODES_PER_HOUR if factor is Factor.MAIL else TOTP_LOGINS_PER_HOUR

        def write(connection: Connection) -> None:
            old = self._store.web.find_code(connection, account.account_id, factor.value)
            is_same_hour = old is not None and at - old.hour_started_at < _HOUR
            count, since = (old.sent_in_hour, old.hour_started_at) if old and is_same_hour else (0, at)
            if count >= most:
                raise OverLimit("codes")
            # for an application, ``sent_at`` remembers the last step used
            sent_at = at if factor is Factor.MAIL else (old.sent_at if old else 0)
            expires_at = at + CODE_LIFE_SECONDS
            row = CodeRow(
                account.account_id, factor.value, verifier, TRIES, expires_at, sent_at, count + 1, since
            )
            self._store.web.mark_code(connection, row)

        return write

    def prepare_check(self, account: AccountRow, session_id: SessionId, code: str, now: datetime) -> Take:
        """The check that the login's Unit makes: it takes a try, and uses the code up when it is right."""
        digits = _SPACES.sub("", code)
        if not _SIX_DIGITS.fullmatch(digits):
            digits = ""
        if account.second_factor is None:
            return self._mail_check(account, self._verifier(session_id, digits), now)
        secret = self._directory.open_second_factor(account) or ""
        return self._totp_check(account, find_step(secret, digits, int(now.timestamp())), now)

    def _mail_check(self, account: AccountRow, verifier: bytes, now: datetime) -> Take:
        at = int(now.timestamp())

        def take(connection: Connection) -> bool:
            row = self._store.web.take_try(connection, account.account_id, Factor.MAIL.value, at)
            if row is None or not verify_mac(row.verifier, verifier):
                return False
            self._store.web.mark_code_used(connection, account.account_id, Factor.MAIL.value)
            return True

        return take

    def _totp_check(self, account: AccountRow, step: int | None, now: datetime) -> Take:
        at = int(now.timestamp())

        def take(connection: Connection) -> bool:
            row = self._store.web.take_try(connection, account.account_id, Factor.APPLICATION.value, at)
            if row is None or step is None or step <= row.sent_at:
                return False
            self._store.web.mark_code(connection, replace(row, tries_left=0, sent_at=step))
            return True

        return take

    def _verifier(self, session_id: SessionId, code: str) -> bytes:
        return self._store.macs.lookup("login-code", f"{session_id.hex()}|{code}")


def find_step(secret: str, digits: str, at: int) -> int | None:
    """The step of RFC 6238 §4 whose code this is: now's, the one before or the one after; None otherwise."""
    now = at // TOTP_STEP_SECONDS
    code = pyotp.TOTP(secret)
    found = None
    for step in (now - 1, now, now + 1):
        right = code.at(step * TOTP_STEP_SECONDS)
        if verify_mac(right.encode(), digits.encode()):
            found = step
    return found


def sent_to(account: AccountRow, profile: Profile) -> SentCode:
    """Where an account's codes come from."""
    if account.second_factor is not None:
        return SentCode(Factor.APPLICATION, "")
    return SentCode(Factor.MAIL, mask(profile.contact_email))


def mask(address: str) -> str:
    """``d•••@example.org``: enough to know where to look, not enough to learn an address."""
    local, _at, domain = address.rpartition("@")
    return f"{local[:1]}•••@{domain}"
