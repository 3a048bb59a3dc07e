"""Leave to read bodies of one's own mailbox: one log entry per app password, network and day, committed before the
first byte leaves (L1). A connection keeps its permit until midnight UTC.
"""

from dataclasses import dataclass
from datetime import date, datetime

from mailserver.audit.events import Actor, ActorKind, AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.model.account import AccountKind
from mailserver.model.errors import Denied
from mailserver.model.ids import AccountId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.keys import OpenAccount
from mailserver.store.database import Connection
from mailserver.store.space_rows import add_delivery, has_delivery
from mailserver.store.store import Store
from mailserver.store.writer import Unit


@dataclass(frozen=True, slots=True)
class MailPermit:
    """The reading is in the log. Made by ``MailPermits`` alone, after the commit."""

    account_id: AccountId
    day: date

    def demand(self, account_id: AccountId) -> None:
        if account_id != self.account_id:
            raise Denied("permit")


class MailPermits:
    def __init__(self, store: Store) -> None:
        self._store = store

    def permit(self, account: OpenAccount, origin: Origin, now: datetime) -> MailPermit:
        """Log the day's reading, once, and give the permit. Raises Unavailable when the log cannot be written."""
        day = now.date()
        mark = f"{account.slot_id.hex()}|{origin.network}|{day.isoformat()}"
        fingerprint = self._store.macs.lookup("mailbox-read", mark)
        with self._store.database.read() as connection:
            is_logged = has_delivery(connection, account.account_id, fingerprint)
        if not is_logged:
            who = actor_of(account)
            event = AuditEvent(EventKind.MAILBOX_READ, now, who, AuditObject(ObjectKind.MAILBOX), origin)
            entry = prepare_entry(account.account, event)

            def run(connection: Connection) -> None:
                if not has_delivery(connection, account.account_id, fingerprint):
                    add_delivery(connection, account.account_id, fingerprint, int(now.timestamp()))
                    add_entries(connection, self._store.macs, [entry])

            self._store.writer.commit(Unit(account.account_id, run))
        return MailPermit(account.account_id, day)


_ACTORS = {
    AccountKind.PER: ActorKind.PROFESSIONAL,
    AccountKind.ORG: ActorKind.STRUCTURE,
    AccountKind.CAB: ActorKind.STRUCTURE,
    AccountKind.APP: ActorKind.APPLICATION,
    AccountKind.PATIENT: ActorKind.PATIENT,
}


def actor_of(account: OpenAccount) -> Actor:
    """The verified identity behind an open account, as the log names it."""
    profile = account.profile
    handle = "" if account.account.kind is AccountKind.PATIENT else str(account.addresses[0])
    return Actor(_ACTORS[account.account.kind], profile.name, handle, profile.profession, profile.structure)
