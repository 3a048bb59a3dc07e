"""The second factor of a web login (S10): a code by ordinary e-mail or SMS, or an authenticator application (TOTP).

Six digits, five tries, ten minutes, one use whatever arrives in parallel: the try is taken and the code used up in
one transaction. Of a code sent only an HMAC is kept, bound to the login that asked for it. TOTP (RFC 6238) accepts
one step before and after, and never a step again; its tries are those of an hour, however many logins are begun, and
whoever guesses after a right password is told of to the person.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import pyotp

from mailserver.crypto.hkdf import verify_mac
from mailserver.model.errors import Denied, Malformed, OverLimit
from mailserver.model.ids import SessionId
from mailserver.service.directory import Directory, Profile
from mailserver.service.notices import CODE_LIFE_SECONDS, Contact, Notices, Way
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.space_rows import claim_turn
from mailserver.store.store import Store
from mailserver.store.web_rows import CodeRow

TRIES = 5
CODES_PER_HOUR = 5
TOTP_TRIES_PER_HOUR = 10
TOTP_LOGINS_PER_HOUR = 20
WRONG_CODES_TOLD = 10
"""So many wrong codes of an application since the last right one, and the person gets a notice, once a day."""
_TOLD_SECONDS = 24 * 3600
TOTP_STEP_SECONDS = 30
_HOUR = 3600
_CONTACT = "contact"
"""Purpose of the code that a new address or number proves itself with."""
_NONE_WRONG = bytes(32)
_SPACES = re.compile(r"[\s.\-]+")
_SIX_DIGITS = re.compile(r"[0-9]{6}")


class Factor(StrEnum):
    """Where the code comes from; also the purpose of its row, which is MAIL's for every code that was sent."""

    MAIL = "mail"
    SMS = "sms"
    APPLICATION = "totp"


@dataclass(frozen=True, slots=True)
class SentCode:
    """``where`` is the masked address or number that the code went to; empty for an application."""

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
        raises OverLimit past the hour's number: "codes" of those sent, "tries" of an application's.
        """
        if account.second_factor is not None:
            return SentCode(Factor.APPLICATION, ""), self._open_tries(account, now)
        code = f"{secrets.randbelow(10**6):06d}"
        job = self._notices.code_job(account, code, now)
        if job is None:
            raise Denied("no-second-factor")
        send = self._send(account, (Factor.MAIL.value, self._verifier(session_id, code)), job, now)
        return self.sent_to(account, self._directory.open_profile(account)), send

    def sent_to(self, account: AccountRow, profile: Profile) -> SentCode:
        """Where an account's codes come from."""
        if account.second_factor is not None:
            return SentCode(Factor.APPLICATION, "")
        contact = self._notices.find_contact(profile, is_code=True)
        if contact is None:
            return SentCode(Factor.MAIL, "")
        return SentCode(Factor.MAIL if contact.way is Way.MAIL else Factor.SMS, contact.mask())

    def prepare_contact(
        self, account: AccountRow, session_id: SessionId, contact: Contact, now: datetime
    ) -> Write:
        """A code to a new address or number, bound to it and to the session. The write raises OverLimit("codes")."""
        code = f"{secrets.randbelow(10**6):06d}"
        job = self._notices.contact_code_job(account, contact, code, now)
        if job is None:
            raise Malformed("contact")
        verifier = self._contact_verifier(session_id, contact, code)
        return self._send(account, (_CONTACT, verifier), job, now)

    def prepare_contact_check(
        self, account: AccountRow, session_id: SessionId, contact: Contact, code: str, now: datetime
    ) -> Take:
        """As ``prepare_check``, for the code of ``prepare_contact``."""
        verifier = self._contact_verifier(session_id, contact, _digits_of(code))
        return self._sent_check(account, (_CONTACT, verifier), now)

    def _send(self, account: AccountRow, sent: tuple[str, bytes], job: JobRow, now: datetime) -> Write:
        """The code in place of the one before it, and the notice that holds it."""
        at, (purpose, verifier) = int(now.timestamp()), sent

        def write(connection: Connection) -> None:
            old = self._store.web.find_code(connection, account.account_id, purpose)
            is_same_hour = old is not None and at - old.hour_started_at < _HOUR
            count, since = (old.sent_in_hour, old.hour_started_at) if old and is_same_hour else (0, at)
            if count >= CODES_PER_HOUR:
                raise OverLimit("codes")
            life = (at + CODE_LIFE_SECONDS, at)
            row = CodeRow(account.account_id, purpose, verifier, TRIES, *life, count + 1, since)
            self._store.web.mark_code(connection, row)
            self._store.jobs.add_jobs(connection, [job])

        return write

    def _open_tries(self, account: AccountRow, now: datetime) -> Write:
        """A login begins: what is left of the hour's tries stays; a new hour has them all."""
        at = int(now.timestamp())
        account_id, purpose = account.account_id, Factor.APPLICATION.value

        def write(connection: Connection) -> None:
            old = self._store.web.find_code(connection, account_id, purpose)
            row = old or CodeRow(account_id, purpose, _NONE_WRONG, 0, 0, 0, 0, at - _HOUR)
            if at - row.hour_started_at >= _HOUR:
                row = replace(row, tries_left=TOTP_TRIES_PER_HOUR, sent_in_hour=0, hour_started_at=at)
            if row.tries_left <= 0 or row.sent_in_hour >= TOTP_LOGINS_PER_HOUR:
                raise OverLimit("tries")
            expires_at = at + CODE_LIFE_SECONDS
            row = replace(row, expires_at=expires_at, sent_in_hour=row.sent_in_hour + 1)
            self._store.web.mark_code(connection, row)

        return write

    def prepare_check(self, account: AccountRow, session_id: SessionId, code: str, now: datetime) -> Take:
        """The check that the login's Unit makes: it takes a try, and uses the code up when it is right."""
        digits = _digits_of(code)
        if account.second_factor is None:
            return self._sent_check(account, (Factor.MAIL.value, self._verifier(session_id, digits)), now)
        secret = self._directory.open_second_factor(account) or ""
        return self._totp_check(account, find_step(secret, digits, int(now.timestamp())), now)

    def _sent_check(self, account: AccountRow, sent: tuple[str, bytes], now: datetime) -> Take:
        at, (purpose, verifier) = int(now.timestamp()), sent

        def take(connection: Connection) -> bool:
            row = self._store.web.take_try(connection, account.account_id, purpose, at)
            if row is None or not verify_mac(row.verifier, verifier):
                return False
            self._store.web.mark_code_used(connection, account.account_id, purpose)
            return True

        return take

    def _totp_check(self, account: AccountRow, step: int | None, now: datetime) -> Take:
        at = int(now.timestamp())
        job = self._notices.guesses_job(account, now) if step is None else None

        def take(connection: Connection) -> bool:
            row = self._store.web.take_try(connection, account.account_id, Factor.APPLICATION.value, at)
            if row is None:
                return False
            if step is None or step <= row.sent_at:
                self._note_wrong(connection, row, job, at)
                return False
            right = replace(row, tries_left=row.tries_left + 1, verifier=_NONE_WRONG, sent_at=step)
            self._store.web.mark_code(connection, right)
            return True

        return take

    def _note_wrong(self, connection: Connection, row: CodeRow, job: JobRow | None, at: int) -> None:
        """One more since the last right one; from the tenth on, the person is told once a day."""
        wrong = int.from_bytes(row.verifier, "big") + 1
        self._store.web.mark_code(connection, replace(row, verifier=wrong.to_bytes(len(_NONE_WRONG), "big")))
        if job is None or wrong < WRONG_CODES_TOLD:
            return
        mark = self._store.macs.sign("fold-notice", (row.account_id, "guesses"))
        if claim_turn(connection, row.account_id, mark, at, seconds=_TOLD_SECONDS):
            self._store.jobs.add_jobs(connection, [job])

    def _contact_verifier(self, session_id: SessionId, contact: Contact, code: str) -> bytes:
        mark = f"{session_id.hex()}|{code}|{contact.way}|{contact.target}"
        return self._store.macs.lookup("contact-code", mark)

    def _verifier(self, session_id: SessionId, code: str) -> bytes:
        return self._store.macs.lookup("login-code", f"{session_id.hex()}|{code}")


def _digits_of(code: str) -> str:
    """What was typed as six digits, or nothing, which no code is."""
    digits = _SPACES.sub("", code)
    return digits if _SIX_DIGITS.fullmatch(digits) else ""


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
