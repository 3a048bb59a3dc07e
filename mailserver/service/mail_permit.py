"""Leave to read bodies, which exists once the reading is in the log (L1).

Of one's own mailbox: one entry per app password, network and day; a connection keeps its permit until midnight UTC. Of
a shared box: one entry per message opened, in the box's log under the person's name, all of a command in one commit.
What a person asks beyond a listing without opening a message (headers) is told once per day there too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from mailserver.audit.events import Actor, ActorKind, AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.model.account import AccountKind
from mailserver.model.errors import Denied
from mailserver.model.ids import AccountId, ItemId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.box_log import BoxLog, describe_mailbox, describe_message
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
    messages: frozenset[ItemId] | None = None
    """What may be opened; None: every message of the account. Headers may be read of all."""

    def demand(self, account_id: AccountId) -> None:
        if account_id != self.account_id:
            raise Denied("permit")

    def demand_all(self, account_id: AccountId) -> None:
        """For what holds the texts of many messages."""
        self.demand(account_id)
        if self.messages is not None:
            raise Denied("permit")

    def covers(self, *item_ids: ItemId) -> bool:
        """Whether these messages may be opened."""
        return self.messages is None or self.messages.issuperset(item_ids)


class MailPermits:
    def __init__(self, store: Store) -> None:
        self._store = store

    def permit(self, account: OpenAccount, origin: Origin, now: datetime) -> MailPermit:
        """Log the day's reading, once, and give the permit: of a shared box, for headers only. Raises Unavailable
        when the log cannot be written.
        """
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
        return MailPermit(account.account_id, day, None if account.member is None else frozenset())

    def permit_messages(
        self, account: OpenAccount, messages: Mapping[ItemId, bytes], now: datetime
    ) -> MailPermit:
        """Leave to open these messages of a shared box (item id → summary), one entry each, in one commit."""
        objects = [describe_message(summary) for summary in messages.values()]
        self._log_now(account, EventKind.MESSAGE_OPENED, objects)
        return MailPermit(account.account_id, now.date(), frozenset(messages))

    def permit_search(self, account: OpenAccount, name: str, now: datetime) -> MailPermit:
        """Leave to look into every body of a mailbox of a shared box for one SEARCH, which counts as a reading: one
        entry that names the mailbox.
        """
        self._log_now(account, EventKind.SEARCHED, [describe_mailbox(name)])
        return MailPermit(account.account_id, now.date())

    def _log_now(self, account: OpenAccount, kind: EventKind, objects: Sequence[AuditObject]) -> None:
        if account.member is None:
            raise Denied("permit")
        entries = BoxLog(self._store.macs).prepare(account, kind, objects)

        def run(connection: Connection) -> None:
            add_entries(connection, self._store.macs, entries)

        self._store.writer.commit(Unit(account.account_id, run))


_ACTORS = {
    AccountKind.PER: ActorKind.PROFESSIONAL,
    AccountKind.ORG: ActorKind.STRUCTURE,
    AccountKind.CAB: ActorKind.STRUCTURE,
    AccountKind.APP: ActorKind.APPLICATION,
    AccountKind.PATIENT: ActorKind.PATIENT,
}


def actor_of(account: OpenAccount) -> Actor:
    """The verified identity behind an open account, as the log names it: of a shared box, the person's."""
    if account.member is not None:
        return account.member.who
    profile = account.profile
    handle = "" if account.account.kind is AccountKind.PATIENT else str(account.addresses[0])
    return Actor(_ACTORS[account.account.kind], profile.name, handle, profile.profession, profile.structure)
