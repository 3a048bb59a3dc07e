"""Notices to where a person can be reached outside: that something waits, or a code; never what, never from whom.

Which way: the one that the person prefers, an address that is dead last. A code still tries a dead address when there
is no other; everything else is then left out. Security notices cannot be switched off.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed
from mailserver.model.phone import has_prefix, parse_phone
from mailserver.service.directory import Directory, Profile
from mailserver.service.notice_texts import NoticeKind, format_mail_text, format_sms
from mailserver.service.outbound import NoticeOrder, Outbound, SmsOrder
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.jobs import JobRow
from mailserver.store.space_rows import claim_turn
from mailserver.store.store import Store

DAY_SECONDS = 24 * 3600
HOUR_SECONDS = 3600
CODE_LIFE_SECONDS = 600


class Way(StrEnum):
    MAIL = "mail"
    SMS = "sms"


class News(StrEnum):
    """What a person may be told of, or not, as they choose."""

    MESSAGE = "message"
    DOCUMENT = "document"


@dataclass(frozen=True, slots=True)
class Contact:
    """A way and its address or number."""

    way: Way
    target: str

    def __repr__(self) -> str:
        return f"Contact({self.way})"

    def mask(self) -> str:
        """``d•••@example.org``, ``••••• 78``: enough to know where to look, not enough to learn it."""
        if self.way is Way.SMS:
            return f"••••• {self.target[-2:]}"
        local, _at, domain = self.target.rpartition("@")
        return f"{local[:1]}•••@{domain}"


@dataclass(frozen=True, slots=True)
class WaitingNotice:
    """``seconds``: how long nothing more is told, which is also how long the job lives."""

    job: JobRow
    seconds: int


@dataclass(frozen=True, slots=True)
class SmsReach:
    """Whether SMS are sent at all, and to numbers that begin how. ``is_alone``: there is no relay for mail."""

    is_on: bool = False
    prefixes: tuple[str, ...] = ()
    is_alone: bool = False


class Notices:
    """Builds notice jobs. ``web_url`` is the public address of the pages, without any secret in it."""

    def __init__(
        self,
        directory: Directory,
        outbound: Outbound,
        operator: str,
        web_url: str,
        sms: SmsReach = SmsReach(),
    ) -> None:
        self._directory = directory
        self._outbound = outbound
        self._operator = operator
        self._web_url = web_url
        self._sms = sms
        self.has_sms = sms.is_on

    def demand_prefix(self, number: str) -> None:
        """Raises Malformed("phone-country") for a number to which this operator sends no SMS; none is no fault."""
        if number and not has_prefix(number, self._sms.prefixes):
            raise Malformed("phone-country")

    def find_contact(self, profile: Profile, *, is_code: bool = False) -> Contact | None:
        """Where this person is reached; None when nowhere."""
        known = self._contacts_of(profile)
        alive = [each for each in known if each.way is not Way.MAIL or not profile.is_email_dead]
        found = alive or (known if is_code else [])
        return found[0] if found else None

    def _contacts_of(self, profile: Profile) -> list[Contact]:
        """Address and number, the preferred way first; an address is no way where SMS alone leave."""
        mail = Contact(Way.MAIL, "" if self._sms.is_alone else profile.contact_email)
        is_reached = self.has_sms and has_prefix(profile.contact_phone, self._sms.prefixes)
        sms = Contact(Way.SMS, profile.contact_phone if is_reached else "")
        return [each for each in ((sms, mail) if profile.prefers_sms else (mail, sms)) if each.target]

    def waiting_job(
        self, account: AccountRow, now: datetime, *, has_documents: bool = False
    ) -> WaitingNotice | None:
        """The notice that something waits, or None when the person is not to be told or not to be reached."""
        profile = self._directory.open_profile(account)
        if (News.DOCUMENT if has_documents else News.MESSAGE) in profile.muted:
            return None
        seconds = HOUR_SECONDS if profile.is_told_hourly else DAY_SECONDS
        job = self._job(account, self.find_contact(profile), NoticeKind.WAITING, seconds, now)
        return None if job is None else WaitingNotice(job, seconds)

    def code_job(self, account: AccountRow, code: str, now: datetime) -> JobRow | None:
        """A one-time code, or None when the person left neither address nor number."""
        contact = self.find_contact(self._directory.open_profile(account), is_code=True)
        return self._job(account, contact, NoticeKind.CODE, CODE_LIFE_SECONDS, now, code)

    def guesses_job(self, account: AccountRow, now: datetime) -> JobRow | None:
        """That somebody has the password and guesses codes, or None when the person is not to be reached."""
        contact = self.find_contact(self._directory.open_profile(account))
        return self._job(account, contact, NoticeKind.GUESSES, DAY_SECONDS, now)

    def contact_code_job(
        self, account: AccountRow, contact: Contact, code: str, now: datetime
    ) -> JobRow | None:
        """The code that shows that a new address or number is the person's own; None when it cannot be one."""
        return self._job(account, contact, NoticeKind.CONTACT_CODE, CODE_LIFE_SECONDS, now, code)

    def change_jobs(self, account: AccountRow, kind: NoticeKind, now: datetime) -> list[JobRow]:
        """That how somebody logs in was changed. To the address and the number until now, both: whoever holds one of
        them cannot keep the change from the other. ``account`` is the row before the change.
        """
        known = self._contacts_of(self._directory.open_profile(account))
        jobs = [self._job(account, each, kind, DAY_SECONDS, now) for each in known]
        return [job for job in jobs if job is not None]

    def _job(
        self,
        account: AccountRow,
        contact: Contact | None,
        kind: NoticeKind,
        life_seconds: int,
        now: datetime,
        code: str = "",
    ) -> JobRow | None:
        if contact is None:
            return None
        values = {"operator": self._operator, "url": self._web_url, "code": code}
        order: NoticeOrder | SmsOrder
        try:
            if contact.way is Way.SMS:
                self.demand_prefix(contact.target)
                order = SmsOrder(parse_phone(contact.target), format_sms(kind, values))
            else:
                order = NoticeOrder(parse_address(contact.target), *format_mail_text(kind, values))
        except Malformed:
            return None
        return self._outbound.notice_job(account.account_id, order, life_seconds, now)


def claim_waiting(store: Store, connection: Connection, notice: WaitingNotice, now: int) -> bool:
    """Whether a notice that something waits may go out: one in the person's time, however much arrives.

    Called in the Unit that adds it, and remembered there.
    """
    account_id = notice.job.account_id
    mark = store.macs.sign("fold-notice", (account_id, "waiting"))
    return claim_turn(connection, account_id, mark, now, seconds=notice.seconds)
