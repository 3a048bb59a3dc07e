"""The mailboxes that one connection sees, by the names its client uses: one way from a name to whose keys open it.

Every verb asks here, so that what a name reaches, and with which rights, is decided in one place. Blocking: for the
pool.
"""

from dataclasses import dataclass

from mailserver.model.errors import NotFound
from mailserver.model.ids import MailboxId
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import Mailboxes, MailboxInfo


@dataclass(frozen=True, slots=True)
class NamedMailbox:
    """A mailbox that was found. ``name`` is what this connection calls it, ``info.name`` what its account does."""

    account: OpenAccount
    info: MailboxInfo
    name: str

    @property
    def mailbox_id(self) -> MailboxId:
        return self.info.mailbox_id


class NamedMailboxes:
    """``own``: the account that logged in."""

    def __init__(self, mailboxes: Mailboxes, own: OpenAccount) -> None:
        self._mailboxes = mailboxes
        self._own = own

    def list_mailboxes(self) -> list[NamedMailbox]:
        """Every mailbox: the account's own, INBOX first, then by name."""
        return [
            NamedMailbox(self._own, info, info.name) for info in self._mailboxes.list_mailboxes(self._own)
        ]

    def load_account(self, name: str) -> tuple[OpenAccount, str]:
        """The account that a name belongs to, whether it is a mailbox or not, and the name in that account."""
        return self._own, name

    def find_mailbox(self, name: str) -> NamedMailbox | None:
        """INBOX in any case (RFC 9051 §5.1); other names exactly. Raises Malformed("mailbox-name")."""
        account, local = self.load_account(name)
        info = self._mailboxes.find_mailbox(account, local)
        return None if info is None else NamedMailbox(account, info, info.name)

    def load_mailbox(self, name: str) -> NamedMailbox:
        found = self.find_mailbox(name)
        if found is None:
            raise NotFound("mailbox")
        return found
