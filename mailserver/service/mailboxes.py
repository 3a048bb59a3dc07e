"""Mailboxes of an open account: names, subscriptions and keywords live in a record sealed under the mail key."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mailserver.crypto.ctx import ctx
from mailserver.crypto.secret import random_id
from mailserver.model.account import BIRTH_MAILBOXES, FLAG_NAMES, KEYWORD_SHIFT, KEYWORDS_PER_MAILBOX, Role
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound, OverLimit
from mailserver.model.ids import AccountId, BlobId, MailboxId
from mailserver.service.keys import OpenAccount
from mailserver.service.transfers import UNIT_ITEMS, delete_files, expunge_part, uid_ranges
from mailserver.store import item_changes, items, mailboxes
from mailserver.store.database import Connection
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

SEPARATOR = "/"
NAME_BYTES = 1000
DEPTH = 16
MAILBOXES_PER_ACCOUNT = 2000
_RECORD_PAD_BYTES = 128
_BIRTH_NAMES = {role: name for name, role in BIRTH_MAILBOXES}
_EVERYTHING = [(1, 2**32 - 1)]


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    """A mailbox as its owner sees it. ``keywords[i]`` is the name of flag bit ``KEYWORD_SHIFT + i``."""

    row: MailboxRow
    name: str
    is_subscribed: bool
    keywords: tuple[str, ...]

    @property
    def mailbox_id(self) -> MailboxId:
        return self.row.mailbox_id

    @property
    def role(self) -> Role:
        return self.row.role


class Mailboxes:
    def __init__(self, store: Store) -> None:
        self._store = store

    def list_mailboxes(self, account: OpenAccount) -> list[MailboxInfo]:
        """All mailboxes, INBOX first, then by name."""
        with self._store.database.read() as connection:
            rows = mailboxes.list_mailboxes(connection, account.account_id)
        infos = [self._info(account, row) for row in rows]
        return sorted(infos, key=lambda info: (info.role is not Role.INBOX, info.name))

    def find_mailbox(self, account: OpenAccount, name: str) -> MailboxInfo | None:
        """INBOX in any case (RFC 9051 §5.1); other names exactly."""
        wanted = normal_name(name)
        return next((info for info in self.list_mailboxes(account) if info.name == wanted), None)

    def load_mailbox(self, account: OpenAccount, name: str) -> MailboxInfo:
        info = self.find_mailbox(account, name)
        if info is None:
            raise NotFound("mailbox")
        return info

    def load_by_role(self, account: OpenAccount, role: Role) -> MailboxInfo:
        with self._store.database.read() as connection:
            return self._info(account, mailboxes.load_by_role(connection, account.account_id, role))

    def add_mailbox(self, account: OpenAccount, name: str, now: int, role: Role = Role.NONE) -> MailboxInfo:
        """CREATE (RFC 9051 §6.3.4); missing superiors are made too. Raises Conflict("mailbox-exists")."""
        wanted = normal_name(name)
        names = {info.name for info in self.list_mailboxes(account)}
        if wanted in names:
            raise Conflict("mailbox-exists")
        missing = [each for each in [*_superiors(wanted), wanted] if each not in names]
        if len(names) + len(missing) > MAILBOXES_PER_ACCOUNT:
            raise OverLimit("too-many-mailboxes")
        infos = [self._new(account, each, now, role if each == wanted else Role.NONE) for each in missing]

        def run(connection: Connection) -> MailboxInfo:
            modseq = mailboxes.next_modseq(connection, account.account_id)
            for info in infos:
                made = self._placed(connection, account, info, modseq)
            return made

        return self._store.writer.commit(Unit(account.account_id, run))

    def _new(self, account: OpenAccount, name: str, now: int, role: Role) -> MailboxInfo:
        mailbox_id = MailboxId(random_id())
        row = MailboxRow(account.account_id, mailbox_id, role, now, 1, 1, 0, 0, 0, 0, 1, 0, now, None)
        return MailboxInfo(row, name, is_subscribed=True, keywords=())

    def _placed(
        self, connection: Connection, account: OpenAccount, info: MailboxInfo, modseq: int
    ) -> MailboxInfo:
        """A new mailbox in its Unit: its UIDVALIDITY, then the record that names it."""
        validity = mailboxes.next_uidvalidity(connection, account.account_id, info.row.created_at)
        placed = replace(info, row=replace(info.row, uidvalidity=validity, highestmodseq=modseq))
        placed = replace(placed, row=replace(placed.row, record=self._seal(account, placed)))
        mailboxes.add_mailbox(connection, placed.row)
        return placed

    def delete_mailbox(self, account: OpenAccount, name: str) -> None:
        """DELETE: messages are shredded with it, ``UNIT_ITEMS`` a commit. Inferiors stay.

        Raises NotFound, Denied("mailbox-permanent").
        """
        info = self.load_mailbox(account, name)
        if info.role in {Role.INBOX, Role.SENT}:  # the web keeps copies in Sent
            raise Denied("mailbox-permanent")
        place = (account.account_id, info.mailbox_id)
        with self._store.database.read() as connection:
            uids = [uid for uid, _flags, _modseq in items.list_flags(connection, *place)]
        for start in range(0, len(uids), UNIT_ITEMS):
            expunge_part(self._store, place, uid_ranges(uids[start : start + UNIT_ITEMS]))

        def run(connection: Connection) -> list[BlobId]:
            modseq = mailboxes.next_modseq(connection, account.account_id)
            gone = item_changes.expunge(connection, place, _EVERYTHING, modseq)
            mailboxes.delete_mailbox(connection, *place)
            return gone.orphans

        delete_files(self._store, self._store.writer.commit(Unit(account.account_id, run, shreds=True)))

    def rename_mailbox(self, account: OpenAccount, name: str, new_name: str, now: int) -> None:
        """RENAME with inferiors (RFC 9051 §6.3.6). Raises NotFound, Conflict("mailbox-exists").

        Renaming INBOX is refused: moving its messages is the client's business (Denied("mailbox-permanent")).
        """
        old, new = normal_name(name), normal_name(new_name)
        infos = self.list_mailboxes(account)
        moved = [info for info in infos if info.name == old or info.name.startswith(old + SEPARATOR)]
        if not moved:
            raise NotFound("mailbox")
        if any(info.role is Role.INBOX for info in moved):
            raise Denied("mailbox-permanent")
        if new.startswith(old + SEPARATOR):
            raise Malformed("mailbox-name")
        if any(info.name == new or info.name.startswith(new + SEPARATOR) for info in infos):
            raise Conflict("mailbox-exists")
        taken = {info.name for info in infos}
        fresh = [self._new(account, each, now, Role.NONE) for each in _superiors(new) if each not in taken]
        renamed = [replace(info, name=new + info.name[len(old) :]) for info in moved]
        sealed = [(info, self._seal(account, info)) for info in renamed]

        def run(connection: Connection) -> None:
            for info in fresh:
                self._placed(connection, account, info, info.row.highestmodseq)
            for info, record in sealed:
                mailboxes.mark_record(connection, account.account_id, info.mailbox_id, record, info.role)

        self._store.writer.commit(Unit(account.account_id, run))

    def mark_subscribed(self, account: OpenAccount, name: str, *, is_subscribed: bool) -> None:
        """SUBSCRIBE, UNSUBSCRIBE. Raises NotFound."""
        info = self.load_mailbox(account, name)
        self._rewrite(account, info.mailbox_id, lambda now: replace(now, is_subscribed=is_subscribed))

    def open_mailbox(self, account: OpenAccount, row: MailboxRow) -> MailboxInfo:
        """A mailbox row as its owner sees it."""
        return self._info(account, row)

    def add_keywords(self, account: OpenAccount, info: MailboxInfo, names: Sequence[str]) -> MailboxInfo:
        """The mailbox with every keyword of ``names`` known. Raises OverLimit("too-many-keywords")."""
        if not _unknown(info, names):
            return info

        def with_keywords(now: MailboxInfo) -> MailboxInfo:
            keywords = (*now.keywords, *_unknown(now, names))
            if len(keywords) > KEYWORDS_PER_MAILBOX:
                raise OverLimit("too-many-keywords")
            return replace(now, keywords=keywords)

        return self._rewrite(account, info.mailbox_id, with_keywords)

    def _rewrite(
        self, account: OpenAccount, mailbox_id: MailboxId, change: Callable[[MailboxInfo], MailboxInfo]
    ) -> MailboxInfo:
        """Change a record as it stands in the transaction: two sessions' keywords never take one bit."""

        def run(connection: Connection) -> MailboxInfo:
            info = self._info(account, mailboxes.load_mailbox(connection, account.account_id, mailbox_id))
            changed = change(info)
            if changed == info:
                return info
            record = self._seal(account, changed)
            mailboxes.mark_record(connection, account.account_id, mailbox_id, record, changed.role)
            return replace(changed, row=replace(changed.row, record=record))

        return self._store.writer.commit(Unit(account.account_id, run))

    def _info(self, account: OpenAccount, row: MailboxRow) -> MailboxInfo:
        if row.record is None:
            if row.role not in _BIRTH_NAMES:  # only mailboxes of birth have no record
                raise Corrupt("mailbox-record")
            return MailboxInfo(row, _BIRTH_NAMES[row.role], is_subscribed=True, keywords=())
        plain = account.mail_keys().unwrap_record(row.record, _context(account.account_id, row.mailbox_id))
        try:
            fields = json.loads(plain)
            info = MailboxInfo(row, fields["name"], fields["subscribed"], tuple(fields["keywords"]))
            validity, role = fields["uidvalidity"], fields["role"]
        except (ValueError, KeyError) as error:
            raise Corrupt("mailbox-record") from error
        if (validity, role) != (row.uidvalidity, row.role.value):
            raise Corrupt("mailbox-record", "role")
        return info

    def _seal(self, account: OpenAccount, info: MailboxInfo) -> bytes:
        """The record says the row's role and UIDVALIDITY too: neither can be changed beside it."""
        fields = {
            "name": info.name,
            "subscribed": info.is_subscribed,
            "keywords": info.keywords,
            "role": info.role.value,
            "uidvalidity": info.row.uidvalidity,
        }
        plain = json.dumps(fields).encode()
        padded = plain + b" " * (-len(plain) % _RECORD_PAD_BYTES)
        return account.mail_keys().wrap_record(padded, _context(account.account_id, info.mailbox_id))


def flag_bits(info: MailboxInfo, names: Sequence[str]) -> int:
    """Wire flag names → bits; names that the mailbox does not know are left out (see ``add_keywords``)."""
    known = {name.casefold(): 1 << (KEYWORD_SHIFT + bit) for bit, name in enumerate(info.keywords)}
    known |= {name.casefold(): int(flag) for name, flag in FLAG_NAMES.items()}
    bits = 0
    for name in names:
        bits |= known.get(name.casefold(), 0)
    return bits


def normal_name(name: str) -> str:
    """INBOX in any case becomes INBOX. Raises Malformed("mailbox-name")."""
    parts = name.removesuffix(SEPARATOR).split(SEPARATOR)
    if not all(parts) or len(parts) > DEPTH or len(name.encode()) > NAME_BYTES or not name.isprintable():
        raise Malformed("mailbox-name")
    if parts[0].upper() == "INBOX":
        parts[0] = "INBOX"
    return SEPARATOR.join(parts)


def _unknown(info: MailboxInfo, names: Sequence[str]) -> tuple[str, ...]:
    """Keywords of ``names`` that the mailbox would have to add, each once."""
    known = {name.casefold() for name in info.keywords}
    new = {name.casefold(): name for name in names if not _is_registered(name)}
    return tuple(name for folded, name in new.items() if folded not in known)


def _superiors(name: str) -> list[str]:
    parts = name.split(SEPARATOR)
    return [SEPARATOR.join(parts[:count]) for count in range(1, len(parts))]


def _is_registered(name: str) -> bool:
    return any(name.casefold() == known.casefold() for known in FLAG_NAMES)


def _context(account_id: AccountId, mailbox_id: MailboxId) -> bytes:
    return ctx("mailbox", account_id, mailbox_id)
