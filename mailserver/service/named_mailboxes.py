"""The mailboxes that one connection sees, by the names its client uses: one way from a name to whose keys open it.

The account's own mailboxes have their own names; those of a shared box stand below ``Shared/<its address>/``. Every
verb asks here, so that what a name reaches, and with which rights, is decided in one place. Blocking: for the pool.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from mailserver.audit.events import Origin
from mailserver.model.account import Role
from mailserver.model.errors import Corrupt, Malformed, NotFound
from mailserver.model.ids import AccountId, MailboxId
from mailserver.model.rights import Right
from mailserver.service.boxes import NAMESPACE, Box, Boxes
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import SEPARATOR, Mailboxes, MailboxInfo

LOG = logging.getLogger("pli.boxes")


@dataclass(frozen=True, slots=True)
class NamedMailbox:
    """A mailbox that was found. ``name`` is what this connection calls it, ``info.name`` what its account does."""

    account: OpenAccount
    info: MailboxInfo
    name: str

    @property
    def mailbox_id(self) -> MailboxId:
        return self.info.mailbox_id

    @property
    def role(self) -> Role:
        """The special use; none in a shared box, so that no client takes its Sent for the person's own."""
        return self.info.role if self.account.member is None else Role.NONE

    @property
    def may_read(self) -> bool:
        """Whether its messages and their number may be known (RFC 4314 §4, STATUS)."""
        return Right.READ in self.account.rights_in(self.mailbox_id)


class NamedMailboxes:
    """``own``: the account that logged in. ``origin``: from where it works now. ``on_opened`` is called for every
    shared box whose keys this connection begins to hold, in the thread that opened it.
    """

    def __init__(
        self,
        mailboxes: Mailboxes,
        boxes: Boxes,
        own: OpenAccount,
        origin: Callable[[], Origin],
        on_opened: Callable[[OpenAccount], None],
    ) -> None:
        self._mailboxes = mailboxes
        self._boxes = boxes
        self._own = own
        self._origin = origin
        self._on_opened = on_opened
        self._held: dict[AccountId, OpenAccount] = {}

    def list_mailboxes(self) -> list[NamedMailbox]:
        """The account's own, INBOX first, then by name; then those of each shared box that may be seen."""
        found = [
            NamedMailbox(self._own, info, info.name) for info in self._mailboxes.list_mailboxes(self._own)
        ]
        for box in self.list_boxes():
            try:
                found += self._list_box(box)
            except NotFound:  # taken away this moment
                continue
            except Corrupt as error:  # one damaged box hides no other (S12)
                LOG.error("a shared box cannot be listed", extra={"code": error.code})  # noqa: TRY400 # no trace of use
        return found

    def list_boxes(self) -> list[Box]:
        """The shared boxes that there are for this account; none when their rows were altered (K23)."""
        try:
            return self._boxes.list_boxes(self._own)
        except Corrupt as error:
            LOG.error("shared boxes cannot be listed", extra={"code": error.code})  # noqa: TRY400 # no trace of use
            return []

    def _list_box(self, box: Box) -> list[NamedMailbox]:
        account = self.open_box(box.account_id)
        unsubscribed = self._boxes.find_unsubscribed(self._own, box.account_id)
        return [
            NamedMailbox(
                account,
                replace(info, is_subscribed=info.mailbox_id not in unsubscribed),
                f"{box.name}{SEPARATOR}{info.name}",
            )
            for info in self._mailboxes.list_mailboxes(account)
        ]

    def open_box(self, box_id: AccountId) -> OpenAccount:
        """A shared box with the rights as they are now. Raises NotFound("mailbox") for who is no member any more;
        its keys are let go then.
        """
        held = self._held.get(box_id)
        try:
            account = self._boxes.open_box(self._own, box_id, self._origin(), held)
        except NotFound:
            self.forget(box_id)
            raise
        self._held[box_id] = account
        if held is None:
            self._on_opened(account)
        return account

    def forget(self, box_id: AccountId) -> None:
        """Let go of the keys of a shared box."""
        self._held.pop(box_id, None)

    def load_account(self, name: str) -> tuple[OpenAccount, str]:
        """The account that a name belongs to, whether it is a mailbox or not, and the name in that account."""
        account, local, _prefix = self._locate(name)
        return account, local

    def load_new(self, name: str) -> tuple[OpenAccount, str]:
        """``load_account`` for a mailbox to be made. Raises Malformed("mailbox-reserved") for an own mailbox that
        would look like a shared box.
        """
        account, local, prefix = self._locate(name)
        if not prefix and name.split(SEPARATOR, maxsplit=1)[0].casefold() == NAMESPACE.casefold():
            raise Malformed("mailbox-reserved")
        return account, local

    def find_mailbox(self, name: str) -> NamedMailbox | None:
        """INBOX in any case (RFC 9051 §5.1); other names exactly. Raises Malformed("mailbox-name")."""
        account, local, prefix = self._locate(name)
        if prefix and not local:
            return None
        info = self._mailboxes.find_mailbox(account, local)
        return None if info is None else NamedMailbox(account, info, prefix + info.name)

    def load_mailbox(self, name: str) -> NamedMailbox:
        found = self.find_mailbox(name)
        if found is None:
            raise NotFound("mailbox")
        return found

    def mark_subscribed(self, name: str, *, is_subscribed: bool) -> None:
        """SUBSCRIBE, UNSUBSCRIBE. Raises NotFound."""
        account, local = self.load_account(name)
        if account.member is None:
            self._mailboxes.mark_subscribed(account, local, is_subscribed=is_subscribed)
            return
        mailbox_id = self.load_mailbox(name).mailbox_id
        account.demand(mailbox_id, Right.LOOKUP)  # RFC 4314 §4
        self._boxes.mark_subscribed(self._own, account.account_id, mailbox_id, is_subscribed=is_subscribed)

    def _locate(self, name: str) -> tuple[OpenAccount, str, str]:
        """Account, name in it, and what stands before that name on the wire."""
        if name.startswith(NAMESPACE + SEPARATOR):
            for box in self.list_boxes():
                if name.startswith(box.name + SEPARATOR) or name == box.name:
                    prefix = box.name + SEPARATOR
                    return self.open_box(box.account_id), name[len(prefix) :], prefix
        return self._own, name, ""
