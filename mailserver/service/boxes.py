"""Shared boxes as one person opens them (K11): which there are, their names, and their keys for one connection.

A box is opened with the person's own mail key, through the slot that was sealed to it, and asked for again at every
command: a member row or a slot that is gone, or a disabled box, opens nothing any more.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from mailserver.audit.events import Origin
from mailserver.crypto.ctx import ctx
from mailserver.crypto.roots import Root
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import SlotScope, open_slot_with
from mailserver.model.account import AccountState
from mailserver.model.address import Address
from mailserver.model.errors import Corrupt, Denied, NotFound
from mailserver.model.ids import ID_BYTES, AccountId, MailboxId
from mailserver.service.directory import Directory
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.service.membership import Member
from mailserver.service.sealing import MailKeys
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.database import Connection
from mailserver.store.members import MemberRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

NAMESPACE = "Shared"
"""The first level of every shared box's names (RFC 2342 §5)."""
_CHOICES_PAD_BYTES = 128
_NOT_IN_A_NAME = re.compile(r"[/*%=]")


@dataclass(frozen=True, slots=True)
class Box:
    """A shared box by its name: ``Shared/secretariat@sante.example``."""

    account_id: AccountId
    name: str


def format_box_name(address: Address) -> str:
    """The box's address below the namespace; what would cut a name or match as a pattern is written ``=2F``."""
    level = _NOT_IN_A_NAME.sub(lambda found: f"={ord(found[0]):02X}", str(address))
    return f"{NAMESPACE}/{level}"


class Boxes:
    """Blocking: for the pool."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    def list_boxes(self, person: OpenAccount) -> list[Box]:
        """The boxes that a person is a member of, by name."""
        with self._store.database.read() as connection:
            found = [
                Box(row.account_id, format_box_name(self._address(connection, row.account_id)))
                for row in self._store.members.list_boxes(connection, person.account_id)
            ]
        return sorted(found, key=lambda box: box.name)

    def open_box(
        self, person: OpenAccount, box_id: AccountId, origin: Origin, held: OpenAccount | None
    ) -> OpenAccount:
        """The box with its keys and the person's rights as they stand now. ``held``: as this connection opened it
        before, so that its slot need not be opened again. Raises NotFound("mailbox") for who is no member (any more).
        """
        try:
            with self._store.database.read() as connection:
                row = self._store.members.load_member(connection, box_id, person.account_id)
                account = self._store.accounts.load_account(connection, box_id)
                slot = self._store.accounts.load_slot(connection, box_id, row.slot_id)
                revocation = self._store.accounts.list_revocations(connection, [box_id])[box_id]
                address = self._address(connection, box_id)
        except NotFound:
            raise NotFound("mailbox") from None
        if account.state is not AccountState.ACTIVE:
            raise NotFound("mailbox")
        if held is None or (held.slot_id, held.account.epoch) != (slot.slot_id, account.epoch):
            held = self._opened(person, account, slot, address)
        member = Member(person.account_id, actor_of(person), origin, self._directory.open_rights(row))
        return replace(held, account=account, revocation=revocation, member=member)

    def open_log(self, person: OpenAccount, address: Address, origin: Origin) -> OpenAccount:
        """A box with its space root alone, for who is responsible for it: what reads its log. ``person`` was opened
        with the web password. Raises NotFound("account"), Denied("not-responsible").
        """
        with self._store.database.read() as connection:
            account = self._directory.find_account(connection, address)
            if account is None:
                raise NotFound("account")
            try:
                row = self._store.members.load_member(connection, account.account_id, person.account_id)
            except NotFound:
                raise Denied("not-responsible") from None
            if row.log_slot_id is None:
                raise Denied("not-responsible")
            slot = self._store.accounts.load_slot(connection, account.account_id, row.log_slot_id)
        payload = open_slot_with(slot.header, slot.body, person.space_root().pair(person.account.epoch))
        root, profile = _root_of(person, payload), self._directory.open_profile(account)
        member = Member(person.account_id, actor_of(person), origin, self._directory.open_rights(row))
        ids = slot.slot_id, SlotScope(slot.scope)
        return OpenAccount(account, profile, (address,), *ids, 0, None, root, member)

    def find_unsubscribed(self, person: OpenAccount, box_id: AccountId) -> frozenset[MailboxId]:
        """Mailboxes of a box that this person does not subscribe to; the others are subscribed from the start."""
        with self._store.database.read() as connection:
            row = self._store.members.load_member(connection, box_id, person.account_id)
        return _parse_choices(person, row)

    def mark_subscribed(
        self, person: OpenAccount, box_id: AccountId, mailbox_id: MailboxId, *, is_subscribed: bool
    ) -> None:
        """SUBSCRIBE, UNSUBSCRIBE: each member's own, sealed to them."""
        self._change_choices(
            person,
            box_id,
            lambda chosen: chosen - {mailbox_id} if is_subscribed else chosen | {mailbox_id},
        )

    def _change_choices(
        self,
        person: OpenAccount,
        box_id: AccountId,
        change: Callable[[frozenset[MailboxId]], frozenset[MailboxId]],
    ) -> None:
        def run(connection: Connection) -> None:
            row = self._store.members.load_member(connection, box_id, person.account_id)
            choices = _format_choices(person, row, change(_parse_choices(person, row)))
            self._store.members.mark_member(connection, replace(row, choices=choices))

        self._store.writer.commit(Unit(box_id, run))

    def _opened(
        self, person: OpenAccount, account: AccountRow, slot: SlotRow, address: Address
    ) -> OpenAccount:
        root = _root_of(person, person.mail_keys().open_slot(slot.header, slot.body))
        profile = self._directory.open_profile(account)
        keys = MailKeys(root, account.epoch)
        scope = SlotScope(slot.scope)
        return OpenAccount(account, profile, (address,), slot.slot_id, scope, 0, keys, None)

    def _address(self, connection: Connection, account_id: AccountId) -> Address:
        return self._directory.list_addresses(connection, account_id)[0]


def _root_of(person: OpenAccount, payload: bytes) -> Root:
    """A member slot's payload names its person before the root."""
    if payload[:ID_BYTES] != person.account_id:
        raise Corrupt("slot-body")
    return Root(Secret(payload[ID_BYTES:]))


def _context(row: MemberRow) -> bytes:
    return ctx("member-choices", row.account_id, row.person_id)


def _parse_choices(person: OpenAccount, row: MemberRow) -> frozenset[MailboxId]:
    if row.choices is None:
        return frozenset()
    plain = person.mail_keys().unwrap_record(row.choices, _context(row))
    try:
        return frozenset(MailboxId(bytes.fromhex(each)) for each in json.loads(plain))
    except (ValueError, TypeError) as error:
        raise Corrupt("member-choices") from error


def _format_choices(person: OpenAccount, row: MemberRow, unsubscribed: frozenset[MailboxId]) -> bytes:
    plain = json.dumps(sorted(each.hex() for each in unsubscribed)).encode()
    padded = plain + b" " * (-len(plain) % _CHOICES_PAD_BYTES)
    return person.mail_keys().wrap_record(padded, _context(row))
