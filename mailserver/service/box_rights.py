"""Rights of members in the mailboxes of a shared box: asked for, changed, and kept in step with its mailboxes.

Rights are keys (security.md K8, K11): only who holds a slot of the box can be given any, so nobody is made a member
here. Every change is in the box's log, in the transaction that makes it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, ParameterName, readable
from mailserver.model.address import Address
from mailserver.model.errors import Conflict, Denied, NotFound
from mailserver.model.ids import AccountId, MailboxId
from mailserver.model.rights import Right, Rights, format_rights
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.directory import Directory
from mailserver.service.keys import OpenAccount
from mailserver.service.membership import Member, MemberRights
from mailserver.store.database import Connection
from mailserver.store.members import MemberRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit


@dataclass(frozen=True, slots=True)
class HeldRights:
    """What one member may do in one mailbox; ``required`` cannot be taken away."""

    address: Address
    rights: Rights
    required: Rights


class BoxRights:
    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def list_rights(self, account: OpenAccount, mailbox_id: MailboxId) -> list[HeldRights]:
        """Members with any right in the mailbox. Raises Denied("right"), NotFound("mailbox")."""
        account.demand(mailbox_id, Right.ADMINISTER)
        found = []
        with self._store.database.read() as connection:
            for row in self._store.members.list_members(connection, account.account_id):
                rights = self._directory.open_rights(row)
                address = self._directory.list_addresses(connection, row.person_id)[0]
                found.append(HeldRights(address, rights.of(mailbox_id), rights.required))
        return [each for each in found if each.rights]

    def load_rights(self, account: OpenAccount, mailbox_id: MailboxId, address: Address) -> HeldRights:
        """One member's. Raises Denied("not-a-member") for anybody else, Denied("right"), NotFound("mailbox")."""
        account.demand(mailbox_id, Right.ADMINISTER)
        with self._store.database.read() as connection:
            rights = self._directory.open_rights(self._load_row(connection, account.account_id, address))
        return HeldRights(address, rights.of(mailbox_id), rights.required)

    def change_rights(
        self,
        account: OpenAccount,
        mailbox: tuple[MailboxId, str],
        address: Address,
        change: Callable[[Rights], Rights],
        now: datetime,
    ) -> Rights:
        """SETACL, DELETEACL: what the member has afterwards. ``mailbox``: its id, and the name that the log tells.

        Logged in the same transaction. Raises as ``load_rights``, and Conflict("rights-changed") when somebody else
        changed them at the same moment.
        """
        mailbox_id, name = mailbox
        member = _demand_member(account)
        before = self.load_rights(account, mailbox_id, address).rights

        def run(connection: Connection) -> Rights:
            own = self._store.members.load_member(connection, account.account_id, member.person_id)
            if Right.ADMINISTER not in self._directory.open_rights(own).of(mailbox_id):
                raise Denied("right")
            row = self._load_row(connection, account.account_id, address)
            rights = self._directory.open_rights(row)
            if rights.of(mailbox_id) != before:
                raise Conflict("rights-changed")
            self._mark(connection, row, rights.changed(mailbox_id, wanted))
            add_entries(connection, self._store.macs, [entry])
            return rights.changed(mailbox_id, wanted).of(mailbox_id)

        wanted = change(before)
        said = f"{name} {format_rights(wanted)}".rstrip()[-_SAID_CHARACTERS:]
        what = AuditObject(ObjectKind.PERSON, str(address), ((ParameterName.ACT, readable(said)),))
        event = AuditEvent(EventKind.SETTING_CHANGED, now, member.who, what, member.origin)
        entry = prepare_entry(account.account, event)
        return self._store.writer.commit(Unit(account.account_id, run))

    def inherit(
        self,
        connection: Connection,
        account_id: AccountId,
        parent_id: MailboxId,
        mailbox_ids: Sequence[MailboxId],
    ) -> None:
        """New mailboxes have their parent's rights (RFC 4314 §4). Runs in the Unit that makes them."""

        def inherited(rights: MemberRights) -> MemberRights:
            for mailbox_id in mailbox_ids:
                rights = rights.inherited(parent_id, mailbox_id)
            return rights

        self._change_all(connection, account_id, inherited)

    def forget(self, connection: Connection, account_id: AccountId, mailbox_id: MailboxId) -> None:
        """The rights go with their mailbox (RFC 4314 §4). Runs in the Unit that deletes it."""
        self._change_all(connection, account_id, lambda rights: rights.without(mailbox_id))

    def _change_all(
        self, connection: Connection, account_id: AccountId, change: Callable[[MemberRights], MemberRights]
    ) -> None:
        for row in self._store.members.list_members(connection, account_id):
            before = self._directory.open_rights(row)
            after = change(before)
            if after != before:
                self._mark(connection, row, after)

    def _mark(self, connection: Connection, row: MemberRow, rights: MemberRights) -> None:
        sealed = self._directory.seal_rights(row.account_id, row.person_id, rights)
        self._store.members.mark_member(connection, replace(row, rights=sealed))

    def _load_row(self, connection: Connection, account_id: AccountId, address: Address) -> MemberRow:
        person = self._directory.find_account(connection, address)
        try:
            return self._store.members.load_member(
                connection, account_id, person.account_id if person else account_id
            )
        except NotFound:
            raise Denied("not-a-member") from None


_SAID_CHARACTERS = 400


def _demand_member(account: OpenAccount) -> Member:
    """An account of one's own has nobody to give rights to."""
    if account.member is None:
        raise Denied("not-shared")
    return account.member
