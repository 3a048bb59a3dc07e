"""What a mailbox row keeps from everybody but its owner: one record, sealed under the mail key for its mailbox.

The record says the row's role and UIDVALIDITY too: neither can be changed beside it. A mailbox of birth has no record
until something of it changes. INBOX's record holds what belongs to the account as a whole.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from unicodedata import normalize

from mailserver.crypto.ctx import ctx
from mailserver.model.account import BIRTH_MAILBOXES, Role
from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, MailboxId
from mailserver.service.annotations import Entries
from mailserver.service.keys import OpenAccount
from mailserver.store.mailboxes import MailboxRow

_PAD_BYTES = 128
_BIRTH_NAMES = {role: name for name, role in BIRTH_MAILBOXES}


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    """A mailbox as its owner sees it. ``keywords[i]`` is the name of flag bit ``KEYWORD_SHIFT + i``.

    ``entries``: what clients wrote beside it. In INBOX alone: ``server_entries``, written beside the account,
    ``lost_names``, which are subscribed though their mailbox was deleted (RFC 9051 §6.3.7), and ``lost_validity``, the
    highest UIDVALIDITY of a mailbox that was deleted (RFC 9051 §2.3.1.1).
    """

    row: MailboxRow
    name: str
    is_subscribed: bool = True
    keywords: tuple[str, ...] = ()
    lost_names: tuple[str, ...] = ()
    entries: Entries = ()
    server_entries: Entries = ()
    lost_validity: int = 0

    @property
    def mailbox_id(self) -> MailboxId:
        return self.row.mailbox_id

    @property
    def role(self) -> Role:
        return self.row.role


def open_record(account: OpenAccount, row: MailboxRow) -> MailboxInfo:
    """A mailbox row as its owner sees it. Raises Corrupt when the record or what it vouches for was altered."""
    if row.record is None:
        if row.role not in _BIRTH_NAMES:  # only mailboxes of birth have no record
            raise Corrupt("mailbox-record")
        return MailboxInfo(row, _BIRTH_NAMES[row.role])
    plain = account.mail_keys().unwrap_record(row.record, _context(account.account_id, row.mailbox_id))
    try:
        fields = json.loads(plain)
        info = MailboxInfo(
            row,
            normalize("NFC", fields["name"]),
            fields["subscribed"],
            tuple(fields["keywords"]),
            tuple(fields.get("lost", ())),
            _parse_entries(fields.get("entries", {})),
            _parse_entries(fields.get("server", {})),
            int(fields.get("lost_validity", 0)),
        )
        validity, role = fields["uidvalidity"], fields["role"]
    except (ValueError, KeyError) as error:
        raise Corrupt("mailbox-record") from error
    if (validity, role) != (row.uidvalidity, row.role.value):
        raise Corrupt("mailbox-record", "role")
    return info


def seal_record(account: OpenAccount, info: MailboxInfo) -> bytes:
    """The record of a mailbox as it now is; its size tells multiples of 128 octets only."""
    fields: dict[str, str | bool | int | tuple[str, ...] | dict[str, str]] = {
        "name": info.name,
        "subscribed": info.is_subscribed,
        "keywords": info.keywords,
        "role": info.role.value,
        "uidvalidity": info.row.uidvalidity,
    }
    if info.lost_names:
        fields["lost"] = info.lost_names
    if info.entries:
        fields["entries"] = _encoded(info.entries)
    if info.server_entries:
        fields["server"] = _encoded(info.server_entries)
    if info.lost_validity:
        fields["lost_validity"] = info.lost_validity
    plain = json.dumps(fields).encode()
    padded = plain + b" " * (-len(plain) % _PAD_BYTES)
    return account.mail_keys().wrap_record(padded, _context(account.account_id, info.mailbox_id))


def _parse_entries(fields: dict[str, str]) -> Entries:
    return tuple((name, b64decode(value, validate=True)) for name, value in fields.items())


def _encoded(entries: Entries) -> dict[str, str]:
    return {name: b64encode(value).decode("ascii") for name, value in entries}


def _context(account_id: AccountId, mailbox_id: MailboxId) -> bytes:
    return ctx("mailbox", account_id, mailbox_id)
