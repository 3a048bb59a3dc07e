"""Who is who here: addresses and insurance identities to accounts, and an account's profile.

Addresses are found by a blind index under the row key; their text, names and contacts are class S.
"""

import json
from dataclasses import dataclass

from mailserver.crypto.ctx import ctx
from mailserver.model.address import Address, DomainName, parse_address
from mailserver.model.ids import AccountId
from mailserver.model.patient import Ins
from mailserver.service.membership import MemberRights, format_member_rights, parse_member_rights
from mailserver.service.service_seals import ServiceSeals
from mailserver.store.accounts import AccountRow
from mailserver.store.database import Connection
from mailserver.store.members import MemberRow
from mailserver.store.store import Store

_PROFILE, _ADDRESS, _MEMBER = "profile", "address", "member"
_RARE = (
    "hidden_capabilities",
    "traced_until",
    "contact_phone",
    "prefers_sms",
    "muted",
    "is_told_hourly",
    "is_email_dead",
    "is_email_returned",
)


@dataclass(frozen=True, slots=True)
class Profile:
    """What the operator knows of an account's holder. ``contact_email`` and ``contact_phone`` are for notices: which
    of them first, what of (``notices.News``) not, and how often, is the person's choice.

    ``is_email_dead``: it was said last that there is no such address; ``is_email_returned``: by a report that came back
    later, so that a relay's yes says nothing against it. ``hidden_capabilities`` are not told to this account's mail clients; ``traced_until``: until this second its
    connections are traced (``mailserver.imap.trace``).
    """

    name: str
    contact_email: str = ""
    profession: str = ""
    structure: str = ""
    hidden_capabilities: tuple[str, ...] = ()
    traced_until: int = 0
    contact_phone: str = ""
    prefers_sms: bool = False
    muted: tuple[str, ...] = ()
    is_told_hourly: bool = False
    is_email_dead: bool = False
    is_email_returned: bool = False


class Directory:
    def __init__(self, store: Store, seals: ServiceSeals, domains: frozenset[DomainName]) -> None:
        self._store = store
        self._seals = seals
        self.domains = domains

    def address_mac(self, address: Address) -> bytes:
        return self._store.macs.lookup("address", address.key)

    def ins_mac(self, ins: Ins) -> bytes:
        return self._store.macs.lookup("identity", f"{ins.oid}|{ins.number}")

    def is_ours(self, domain: DomainName) -> bool:
        return domain in self.domains

    def find_account(self, connection: Connection, address: Address) -> AccountRow | None:
        """The account behind an address, whatever its state."""
        account_id = self._store.accounts.find_by_address(connection, self.address_mac(address))
        return None if account_id is None else self._store.accounts.load_account(connection, account_id)

    def find_patient(self, connection: Connection, ins: Ins) -> AccountRow | None:
        account_id = self._store.accounts.find_by_identity(connection, self.ins_mac(ins))
        return None if account_id is None else self._store.accounts.load_account(connection, account_id)

    def list_addresses(self, connection: Connection, account_id: AccountId) -> tuple[Address, ...]:
        sealed = self._store.accounts.list_addresses(connection, account_id)
        return tuple(self.open_address(account_id, each) for each in sealed)

    def seal_address(self, account_id: AccountId, address: Address) -> bytes:
        context = ctx(_ADDRESS, account_id)
        return self._seals.seal(_ADDRESS, str(address).encode(), context)

    def open_address(self, account_id: AccountId, sealed: bytes) -> Address:
        return parse_address(self._seals.open(_ADDRESS, sealed, ctx(_ADDRESS, account_id)).decode())

    def seal_profile(self, account_id: AccountId, profile: Profile) -> bytes:
        """The ``profile`` column. What is rarely set is left out, or every profile would be a size class larger."""
        fields = {name: getattr(profile, name) for name in profile.__slots__}
        for rare in _RARE:
            if not fields[rare]:
                del fields[rare]
        return self._seals.seal(_PROFILE, json.dumps(fields).encode(), ctx(_PROFILE, account_id))

    def open_profile(self, row: AccountRow) -> Profile:
        fields = json.loads(self._seals.open(_PROFILE, row.profile, ctx(_PROFILE, row.account_id)))
        for listed in ("hidden_capabilities", "muted"):
            fields[listed] = tuple(fields.get(listed, ()))
        return Profile(**fields)

    def seal_second_factor(self, account_id: AccountId, secret: str) -> bytes:
        return self._seals.seal("totp", secret.encode(), ctx("totp", account_id))

    def seal_rights(self, box_id: AccountId, person_id: AccountId, rights: MemberRights) -> bytes:
        """A member's rights in a shared box, bound to both."""
        return self._seals.seal(_MEMBER, format_member_rights(rights), ctx(_MEMBER, box_id, person_id))

    def open_rights(self, row: MemberRow) -> MemberRights:
        context = ctx(_MEMBER, row.account_id, row.person_id)
        return parse_member_rights(self._seals.open(_MEMBER, row.rights, context))

    def open_second_factor(self, row: AccountRow) -> str | None:
        """The TOTP secret (base32), or None when the person uses codes by e-mail."""
        if row.second_factor is None:
            return None
        return self._seals.open("totp", row.second_factor, ctx("totp", row.account_id)).decode()


def tag_mac(store: Store, tag: str) -> bytes:
    """Blind index of an app password's public tag."""
    return store.macs.lookup("app-password-tag", tag)
