"""Who works in a shared box (ORG, CAB), as an administrator says it: through custody, in the box's own log (K11, L1).

A member is a person with an account here and a slot of the box: its mail root sealed to the person's mail key. The
responsible one has a second slot: the box's space root sealed to the person's space key, which reads its log. Removing
a member deletes both; connections that have the box open lose it by the box's revocation counter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    ObjectKind,
    ParameterName,
)
from mailserver.crypto.custodian_verbs import CustodianVerbs
from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.secret import random_id
from mailserver.crypto.slots import (
    SlotHeader,
    SlotKind,
    SlotScope,
    format_slot_header,
    seal_slot_to,
    slot_payload,
)
from mailserver.model.account import AccountKind
from mailserver.model.address import Address
from mailserver.model.errors import Conflict, Malformed, NotFound
from mailserver.model.ids import SlotId
from mailserver.service.access_log import add_entries, prepare_entry
from mailserver.service.directory import Directory, Profile
from mailserver.service.keys import load_custody_slot, release_keys
from mailserver.service.membership import RESPONSIBLE_RIGHTS, MemberRights
from mailserver.store.accounts import AccountRow, SlotRow
from mailserver.store.database import Connection
from mailserver.store.members import MemberRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

_ADMINISTRATOR = Actor(ActorKind.ADMINISTRATOR, "Administrateur", "pli account")


@dataclass(frozen=True, slots=True)
class NewMember:
    """The rows of one membership, ready to insert in a Unit of the box."""

    row: MemberRow
    slots: Sequence[SlotRow]


@dataclass(frozen=True, slots=True)
class ListedMember:
    address: Address
    profile: Profile
    rights: MemberRights

    @property
    def is_responsible(self) -> bool:
        return bool(self.rights.required)


def seal_member(
    directory: Directory,
    box: tuple[AccountRow, AccountKeys],
    person: AccountRow,
    now: int,
    *,
    is_responsible: bool,
) -> NewMember:
    """Seal the box's mail root to the person's mail key, and for who is responsible its space root to the space key."""
    row, keys = box
    slot = _slot(row, SlotScope.IMAP_SMTP, person, slot_payload(keys, SlotScope.IMAP_SMTP), now)
    slots = [slot]
    if is_responsible:
        slots.append(_slot(row, SlotScope.LOG, person, slot_payload(keys, SlotScope.LOG), now))
    rights = RESPONSIBLE_RIGHTS if is_responsible else MemberRights()
    member = MemberRow(
        row.account_id,
        person.account_id,
        slot.slot_id,
        slots[1].slot_id if is_responsible else None,
        now,
        directory.seal_rights(row.account_id, person.account_id, rights),
        None,
    )
    return NewMember(member, slots)


def _slot(box: AccountRow, scope: SlotScope, person: AccountRow, root: bytes, now: int) -> SlotRow:
    """The payload begins with the person's id: a slot moved to another person opens for nobody."""
    header = SlotHeader(box.account_id, random_id(), SlotKind.MEMBER, scope, random_id())
    public = person.space_public if scope is SlotScope.LOG else person.mail_public
    body = seal_slot_to(header, public, person.account_id + root)
    kind = SlotKind.MEMBER.value
    raw = format_slot_header(header)
    return SlotRow(box.account_id, SlotId(header.slot), kind, scope.value, None, raw, body, now, None)


class BoxMembers:
    """An administrator's acts on the members of a box."""

    def __init__(self, store: Store, directory: Directory, custody: CustodianVerbs) -> None:
        self._store = store
        self._directory = directory
        self._custody = custody

    def add_member(
        self, box_address: Address, person_address: Address, now: datetime, *, is_responsible: bool = False
    ) -> None:
        """Raises NotFound("account"), NotFound("member"), Malformed("members-unexpected"), Conflict("member-already")."""
        box = self._load_box(box_address)
        person = self.load_person(person_address)
        keys = release_keys(self._custody, load_custody_slot(self._store, box.account_id), "account member")
        stamp = int(now.timestamp())
        made = seal_member(self._directory, (box, keys), person, stamp, is_responsible=is_responsible)
        act = "member-responsible" if is_responsible else "member-added"
        entry = prepare_entry(box, _act(now, EventKind.SLOT_ADDED, person_address, act))

        def run(connection: Connection) -> None:
            self._store.members.add_member(connection, made.row)
            for slot in made.slots:
                self._store.accounts.add_slot(connection, slot)
            add_entries(connection, self._store.macs, [entry])

        try:
            self._store.writer.commit(Unit(box.account_id, run))
        except Conflict as error:
            raise Conflict("member-already") from error

    def remove_member(self, box_address: Address, person_address: Address, now: datetime) -> None:
        """The slots go, and with the commit the access: for connections that are open too.

        Raises NotFound("account"), NotFound("no-member"), Conflict("last-member") for who alone reads the box.
        """
        box = self._load_box(box_address)
        with self._store.database.read() as connection:
            person = self._directory.find_account(connection, person_address)
            members = self._store.members.list_members(connection, box.account_id)
        if person is None or all(row.person_id != person.account_id for row in members):
            raise NotFound("no-member")
        entry = prepare_entry(box, _act(now, EventKind.SLOT_REMOVED, person_address, "member-removed"))

        def run(connection: Connection) -> None:
            row = self._store.members.load_member(connection, box.account_id, person.account_id)
            if len(self._store.members.list_members(connection, box.account_id)) == 1:
                raise Conflict("last-member")
            for slot_id in (row.slot_id, row.log_slot_id):
                if slot_id is not None:
                    self._store.accounts.delete_slot(connection, box.account_id, slot_id)
            self._store.members.delete_member(connection, box.account_id, person.account_id)
            add_entries(connection, self._store.macs, [entry])

        self._store.writer.commit(Unit(box.account_id, run, shreds=True))

    def list_members(self, box_address: Address) -> list[ListedMember]:
        """The members of a box, the oldest first. Raises NotFound("account"), Malformed("members-unexpected")."""
        box = self._load_box(box_address)
        found = []
        with self._store.database.read() as connection:
            for row in self._store.members.list_members(connection, box.account_id):
                person = self._store.accounts.load_account(connection, row.person_id)
                address = self._directory.list_addresses(connection, row.person_id)[0]
                profile = self._directory.open_profile(person)
                found.append(ListedMember(address, profile, self._directory.open_rights(row)))
        return found

    def load_person(self, address: Address) -> AccountRow:
        """Who may be a member: a person's own account. Raises NotFound("member")."""
        with self._store.database.read() as connection:
            person = self._directory.find_account(connection, address)
        if person is None or person.kind is not AccountKind.PER:
            raise NotFound("member")
        return person

    def _load_box(self, address: Address) -> AccountRow:
        with self._store.database.read() as connection:
            box = self._directory.find_account(connection, address)
        if box is None:
            raise NotFound("account")
        if not box.kind.is_shared:
            raise Malformed("members-unexpected")
        return box


def _act(now: datetime, kind: EventKind, member: Address, act: str) -> AuditEvent:
    what = AuditObject(ObjectKind.PERSON, str(member), ((ParameterName.ACT, act),))
    return AuditEvent(kind, now, _ADMINISTRATOR, what)
