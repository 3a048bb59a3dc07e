"""A shared box with its two members, opened by the services alone: no server, no wire."""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

from harness.imap_harness import ImapNode

from mailserver.audit.events import AuditEvent, Origin
from mailserver.mime.summary_wire import SummaryView
from mailserver.model.account import Role
from mailserver.model.address import parse_address
from mailserver.model.ids import MailboxId
from mailserver.model.rights import parse_rights
from mailserver.service.keys import OpenAccount
from mailserver.store import mailboxes

EVERY = [(1, 2**32 - 1)]
ORIGIN = Origin("127.0.0.0/24", "test")
_numbers = itertools.count(1)


@dataclass
class Desk:
    """``first`` is responsible; names are local parts."""

    node: ImapNode
    first: str
    second: str
    box: str

    def person(self, name: str | None = None) -> OpenAccount:
        return self.node.open(name or self.second)

    def open(self, name: str | None = None) -> OpenAccount:
        """The box as a member opens it, ``second`` unless said otherwise."""
        box_id = self.node.accounts[self.box].account_id
        return self.node.services.boxes.open_box(self.person(name), box_id, ORIGIN, None)

    def mailbox_id(self, account: OpenAccount, role: Role = Role.INBOX) -> MailboxId:
        with self.node.store.database.read() as connection:
            return mailboxes.load_by_role(connection, account.account_id, role).mailbox_id

    def limit(self, letters: str, role: Role = Role.INBOX) -> None:
        """The responsible member gives the second one these rights in a mailbox, and no others."""
        account = self.open(self.first)
        mailbox = self.mailbox_id(account, role), role.value
        address, rights = parse_address(self.node.accounts[self.second].address), parse_rights(letters)
        self.node.services.rights.change_rights(
            account, mailbox, address, lambda _now: rights, datetime.now(UTC)
        )

    def read_all(self, account: OpenAccount, role: Role = Role.INBOX) -> list[bytes]:
        """Every message of a mailbox, by the path that IMAP takes."""
        services, now = self.node.services, datetime.now(UTC)
        page = services.messages.page(account, self.mailbox_id(account, role), EVERY)
        if account.member is None:
            permit = services.permits.permit(account, ORIGIN, now)
        else:
            summaries = {item.row.item_id: item.summary for item in page}
            permit = services.permits.permit_messages(account, summaries, now)
        octets = []
        for item in page:
            size = SummaryView(item.summary).size_bytes
            octets.append(services.messages.reader(account, item, size, permit).read(0, size))
        return octets

    def acts(self) -> list[AuditEvent]:
        events = self.node.read_log(self.box)
        return [each for each in events if each.who.name != "Administrateur"]


def make_desk(node: ImapNode) -> Desk:
    number = next(_numbers)
    names = f"first{number}", f"second{number}", f"desk{number}"
    node.add(names[0])
    node.add(names[1])
    node.add_box(names[2], *names[:2])
    return Desk(node, *names)
