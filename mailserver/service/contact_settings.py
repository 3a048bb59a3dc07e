"""A person's own choices of notices, and the change of where they are reached, with a code that went there.

Codes of logins go to that address or number, so its change is an act like a login: the page asks for the password
again, the new address proves itself, the old address and number are told, the person's log has an entry.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.model.errors import Conflict, Denied, Malformed
from mailserver.model.ids import SessionId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.directory import Directory, Profile
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.service.notice_texts import NoticeKind
from mailserver.service.notices import Contact, News, Notices, Way
from mailserver.service.web_codes import Take, WebCodes
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit


@dataclass(frozen=True, slots=True)
class NoticeChoices:
    """What is told, how often, and which way comes first. Security notices are no choice."""

    muted: frozenset[News]
    is_told_hourly: bool
    prefers_sms: bool


class ContactSettings:
    """Blocks. Every write raises Conflict("settings-changed") when the account was changed meanwhile, and Unavailable."""

    def __init__(self, store: Store, directory: Directory, notices: Notices, codes: WebCodes) -> None:
        self._store = store
        self._directory = directory
        self._notices = notices
        self._codes = codes

    @property
    def has_sms(self) -> bool:
        return self._notices.has_sms

    def demand_prefix(self, contact: Contact) -> None:
        """Raises Malformed("phone-country") for a number to which no SMS are sent."""
        if contact.way is Way.SMS:
            self._notices.demand_prefix(contact.target)

    def mark_choices(
        self, account: OpenAccount, choices: NoticeChoices, origin: Origin, now: datetime
    ) -> None:
        """What nobody changed is not written; SMS come first only for who has a number."""
        row, profile = self._load(account)
        changed = replace(
            profile,
            muted=tuple(sorted(choices.muted)),
            is_told_hourly=choices.is_told_hourly,
            prefers_sms=choices.prefers_sms and bool(profile.contact_phone),
        )
        if changed != profile:
            self._write(account, (row, changed), origin, now)

    def send_code(self, account: OpenAccount, session_id: SessionId, contact: Contact, now: datetime) -> None:
        """A code to the new address or number. Raises OverLimit("codes"), Malformed when it can be neither."""
        row, _profile = self._load(account)
        write = self._codes.prepare_contact(row, session_id, contact, now)
        self._store.writer.commit(Unit(account.account_id, write))

    def mark_contact(
        self,
        account: OpenAccount,
        session_id: SessionId,
        proven: tuple[Contact, str],
        origin: Origin,
        now: datetime,
    ) -> None:
        """The new address or number in place of the old one, once its code is right. Raises Denied("code")."""
        contact, code = proven
        row, profile = self._load(account)
        take = self._codes.prepare_contact_check(row, session_id, contact, code, now)
        if contact.way is Way.MAIL:
            changed = replace(
                profile, contact_email=contact.target, is_email_dead=False, is_email_returned=False
            )
        else:
            changed = replace(profile, contact_phone=contact.target)
        self._write(account, (row, changed), origin, now, take)

    def delete_phone(self, account: OpenAccount, origin: Origin, now: datetime) -> None:
        """Raises Malformed("contact-needed") when no address is left to send codes to."""
        row, profile = self._load(account)
        if not profile.contact_email:
            raise Malformed("contact-needed")
        changed = replace(profile, contact_phone="", prefers_sms=False)
        if changed != profile:
            self._write(account, (row, changed), origin, now)

    def _load(self, account: OpenAccount) -> tuple[AccountRow, Profile]:
        with self._store.database.read() as connection:
            row = self._store.accounts.load_account(connection, account.account_id)
        return row, self._directory.open_profile(row)

    def _write(
        self,
        account: OpenAccount,
        change: tuple[AccountRow, Profile],
        origin: Origin,
        now: datetime,
        take: Take | None = None,
    ) -> None:
        """One Unit: the code is used up, the profile written, the entry added, the old address and number told."""
        row, profile = change
        old = self._directory.open_profile(row)
        is_contact = (old.contact_email, old.contact_phone) != (profile.contact_email, profile.contact_phone)
        told = self._notices.change_jobs(row, NoticeKind.CONTACT_CHANGED, now) if is_contact else []
        changed = replace(row, profile=self._directory.seal_profile(row.account_id, profile))
        what = AuditObject(ObjectKind.CONTACT if is_contact else ObjectKind.SETTING)
        event = AuditEvent(EventKind.SETTING_CHANGED, now, actor_of(account), what, origin)
        entry = prepare_entry(row, event)

        def run(connection: Connection) -> bool:
            if take is not None and not take(connection):
                return False
            if self._store.accounts.load_account(connection, row.account_id) != row:
                raise Conflict("settings-changed")
            self._store.accounts.replace_account(connection, changed)
            if told:
                self._store.jobs.add_jobs(connection, told)
            add_entries(connection, self._store.macs, [entry])
            return True

        if not self._store.writer.commit(Unit(row.account_id, run)):
            raise Denied("code")
