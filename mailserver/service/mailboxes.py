"""Mailboxes of an open account: names, subscriptions and keywords live in a record sealed under the mail key."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from unicodedata import normalize

from mailserver.audit.events import EventKind
from mailserver.crypto.secret import random_id
from mailserver.model.account import FLAG_NAMES, KEYWORD_SHIFT, KEYWORDS_PER_MAILBOX, Role
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed, NotFound, OverLimit
from mailserver.model.ids import BlobId, MailboxId
from mailserver.model.rights import TELLING_RIGHTS, Right
from mailserver.service.access_log import add_entries
from mailserver.service.box_log import BoxLog, describe_mailbox
from mailserver.service.box_rights import BoxRights
from mailserver.service.keys import OpenAccount
from mailserver.service.mailbox_records import MailboxInfo, open_record, seal_record
from mailserver.service.transfers import UNIT_ITEMS, delete_files, expunge_part
from mailserver.store import item_changes, item_columns, items, mailboxes
from mailserver.store.database import Connection
from mailserver.store.items import uid_ranges
from mailserver.store.mailboxes import MailboxRow
from mailserver.store.store import Store
from mailserver.store.writer import Unit

__all__ = ["MAILBOXES_PER_ACCOUNT", "SEPARATOR", "MailboxInfo", "Mailboxes", "flag_bits", "normal_name"]

SEPARATOR = "/"
NAME_BYTES = 1000
DEPTH = 16
MAILBOXES_PER_ACCOUNT = 2000
LOST_NAMES = 200
"""Subscribed names without a mailbox that are kept; the oldest give way."""


class Mailboxes:
    """``rights`` follows the mailboxes of shared boxes; who makes and deletes none there may do without."""

    def __init__(self, store: Store, rights: BoxRights | None = None) -> None:
        self._store = store
        self._rights = rights
        self._log = BoxLog(store.macs)

    def list_mailboxes(self, account: OpenAccount) -> list[MailboxInfo]:
        """All mailboxes that the account's user may see, INBOX first, then by name."""
        found = self._list_all(account)
        return [info for info in found if Right.LOOKUP in account.rights_in(info.mailbox_id)]

    def _list_all(self, account: OpenAccount) -> list[MailboxInfo]:
        with self._store.database.read() as connection:
            return _list(connection, account)

    def find_mailbox(self, account: OpenAccount, name: str) -> MailboxInfo | None:
        """INBOX in any case (RFC 9051 §5.1); other names exactly. None too for one that its user may not know of.

        A damaged record hides no other mailbox (S12); Corrupt when it may be the one that is looked for.
        """
        wanted = normal_name(name)
        with self._store.database.read() as connection:
            rows = mailboxes.list_mailboxes(connection, account.account_id)
        damage: Corrupt | None = None
        for row in sorted(rows, key=lambda row: row.role is not Role.INBOX):
            try:
                info = open_record(account, row)
            except Corrupt as error:
                damage = error
                continue
            if info.name == wanted:
                is_known = not TELLING_RIGHTS.isdisjoint(account.rights_in(info.mailbox_id))
                return info if is_known else None
        if damage is not None:
            raise damage
        return None

    def load_mailbox(self, account: OpenAccount, name: str) -> MailboxInfo:
        info = self.find_mailbox(account, name)
        if info is None:
            raise NotFound("mailbox")
        return info

    def load_by_role(self, account: OpenAccount, role: Role) -> MailboxInfo:
        with self._store.database.read() as connection:
            return open_record(account, mailboxes.load_by_role(connection, account.account_id, role))

    def add_mailbox(self, account: OpenAccount, name: str, now: int, role: Role = Role.NONE) -> MailboxInfo:
        """CREATE (RFC 9051 §6.3.4); missing superiors are made too. Raises Conflict("mailbox-exists"), Denied("right")."""
        wanted = normal_name(name)

        def run(connection: Connection) -> MailboxInfo:
            existing = _list(connection, account)
            names = {info.name for info in existing}
            parent = _demand_parent(account, existing, wanted)
            if wanted in names:
                raise Conflict("mailbox-exists")
            missing = [each for each in [*_superiors(wanted), wanted] if each not in names]
            if len(names) + len(missing) > MAILBOXES_PER_ACCOUNT:
                raise OverLimit("too-many-mailboxes")
            modseq = mailboxes.next_modseq(connection, account.account_id)
            fresh = [self._new(account, each, now, role if each == wanted else Role.NONE) for each in missing]
            made = [self._placed(connection, account, info, modseq) for info in fresh]
            self._inherit(connection, account, parent, made)
            return made[-1]

        return self._store.writer.commit(Unit(account.account_id, run))

    def _new(self, account: OpenAccount, name: str, now: int, role: Role) -> MailboxInfo:
        mailbox_id = MailboxId(random_id())
        row = MailboxRow(account.account_id, mailbox_id, role, now, 1, 1, 0, 0, 0, 0, 1, 0, now, None)
        return MailboxInfo(row, name)

    def _placed(
        self, connection: Connection, account: OpenAccount, info: MailboxInfo, modseq: int
    ) -> MailboxInfo:
        """A new mailbox in its Unit: its UIDVALIDITY, then the record that names it."""
        validity = self._next_validity(connection, account, info.row.created_at)
        placed = replace(info, row=replace(info.row, uidvalidity=validity, highestmodseq=modseq))
        placed = replace(placed, row=replace(placed.row, record=seal_record(account, placed)))
        mailboxes.add_mailbox(connection, placed.row)
        return placed

    def _next_validity(self, connection: Connection, account: OpenAccount, now: int) -> int:
        """A UIDVALIDITY that no mailbox of the account has or had (RFC 9051 §6.3.5)."""
        lost = self._load_inbox(connection, account).lost_validity
        return mailboxes.next_uidvalidity(connection, account.account_id, max(now, lost + 1))

    def delete_mailbox(self, account: OpenAccount, name: str) -> None:
        """DELETE: messages are shredded with it, ``UNIT_ITEMS`` a commit. Inferiors and the subscription stay.

        Raises NotFound, Denied("mailbox-permanent").
        """
        info = self.load_mailbox(account, name)
        account.demand(info.mailbox_id, Right.DELETE_MAILBOX)
        if info.role in {Role.INBOX, Role.SENT}:  # the web keeps copies in Sent
            raise Denied("mailbox-permanent")
        place = (account.account_id, info.mailbox_id)
        with self._store.database.read() as connection:
            uids = item_columns.list_uids(connection, *place)
        for start in range(0, len(uids), UNIT_ITEMS):
            expunge_part(self._store, place, uid_ranges(uids[start : start + UNIT_ITEMS]))

        said = self._log.prepare(account, EventKind.DELETED, [describe_mailbox(info.name)])

        def run(connection: Connection) -> list[BlobId]:
            modseq = mailboxes.next_modseq(connection, account.account_id)
            gone = item_changes.expunge(connection, place, items.EVERY_UID, modseq)
            mailboxes.delete_mailbox(connection, *place)
            self._note_lost(connection, account, info)
            if account.account.kind.is_shared:
                self._demand_rights().forget(connection, *place)
            add_entries(connection, self._store.macs, said)
            return gone.orphans

        delete_files(self._store, self._store.writer.commit(Unit(account.account_id, run, shreds=True)))

    def rename_mailbox(self, account: OpenAccount, name: str, new_name: str, now: int) -> None:
        """RENAME with inferiors (RFC 9051 §6.3.6). A mailbox keeps its UIDVALIDITY unless another one has it too, as those
        of birth do: the name may have been the other's. Raises NotFound, Conflict("mailbox-exists"), Denied("right").

        Renaming INBOX is refused: moving its messages is the client's business (Denied("mailbox-permanent")).
        """
        old, new = normal_name(name), normal_name(new_name)

        def run(connection: Connection) -> None:
            infos = _list(connection, account)
            moved = [info for info in infos if info.name == old or info.name.startswith(old + SEPARATOR)]
            if not moved:
                raise NotFound("mailbox")
            if any(info.role is Role.INBOX for info in moved):
                raise Denied("mailbox-permanent")
            if new.startswith(old + SEPARATOR):
                raise Malformed("mailbox-name")
            if any(info.name == new or info.name.startswith(new + SEPARATOR) for info in infos):
                raise Conflict("mailbox-exists")
            parent = _demand_parent(account, infos, new)
            for info in moved:
                account.demand(info.mailbox_id, Right.DELETE_MAILBOX)
            taken = {info.name for info in infos}
            fresh = [
                self._new(account, each, now, Role.NONE) for each in _superiors(new) if each not in taken
            ]
            made = [self._placed(connection, account, info, info.row.highestmodseq) for info in fresh]
            self._inherit(connection, account, parent, made)
            uses = Counter(info.row.uidvalidity for info in infos)
            for info in moved:
                row = info.row
                if uses[row.uidvalidity] > 1:
                    row = replace(row, uidvalidity=self._next_validity(connection, account, now))
                _keep(connection, account, replace(info, row=row, name=new + info.name[len(old) :]))

        self._store.writer.commit(Unit(account.account_id, run))

    def mark_subscribed(self, account: OpenAccount, name: str, *, is_subscribed: bool) -> None:
        """SUBSCRIBE, UNSUBSCRIBE; a name without a mailbox can only lose its subscription (RFC 9051 §6.3.7, §6.3.8).

        Raises NotFound("mailbox").
        """
        infos = self.list_mailboxes(account)
        wanted = normal_name(name)
        found = next((info for info in infos if info.name == wanted), None)
        is_lost = any(wanted in info.lost_names for info in infos)
        if found is None and is_subscribed and not is_lost:
            raise NotFound("mailbox")
        if found is not None:
            self.change(account, found.mailbox_id, lambda now: replace(now, is_subscribed=is_subscribed))
        if is_lost and not is_subscribed:

            def run(connection: Connection) -> None:
                inbox = self._load_inbox(connection, account)
                names = tuple(each for each in inbox.lost_names if each != wanted)
                _keep(connection, account, replace(inbox, lost_names=names))

            self._store.writer.commit(Unit(account.account_id, run))

    def _note_lost(self, connection: Connection, account: OpenAccount, gone: MailboxInfo) -> None:
        """Note in INBOX's record what stays of a mailbox: its name while that is subscribed, and its UIDVALIDITY."""
        inbox = self._load_inbox(connection, account)
        names = [each for each in inbox.lost_names if each != gone.name]
        if gone.is_subscribed and account.member is None:
            names = [*names, gone.name][-LOST_NAMES:]
        validity = max(inbox.lost_validity, gone.row.uidvalidity)
        _keep(connection, account, replace(inbox, lost_names=tuple(names), lost_validity=validity))

    def _load_inbox(self, connection: Connection, account: OpenAccount) -> MailboxInfo:
        return open_record(account, mailboxes.load_by_role(connection, account.account_id, Role.INBOX))

    def open_mailbox(self, account: OpenAccount, row: MailboxRow) -> MailboxInfo:
        """A mailbox row as its owner sees it."""
        return open_record(account, row)

    def reload(self, account: OpenAccount, info: MailboxInfo) -> MailboxInfo:
        """A mailbox as it stands now. Raises NotFound("mailbox")."""
        with self._store.database.read() as connection:
            return open_record(
                account, mailboxes.load_mailbox(connection, account.account_id, info.mailbox_id)
            )

    def add_keywords(self, account: OpenAccount, info: MailboxInfo, names: Sequence[str]) -> MailboxInfo:
        """The mailbox with every keyword of ``names`` known. Raises OverLimit("too-many-keywords").

        Who may not set keywords adds none: what they name is passed over, and nothing fails (RFC 4314 §4).
        """
        if not _unknown(info, names) or Right.WRITE not in account.rights_in(info.mailbox_id):
            return info

        def with_keywords(now: MailboxInfo) -> MailboxInfo:
            keywords = (*now.keywords, *_unknown(now, names))
            if len(keywords) > KEYWORDS_PER_MAILBOX:
                raise OverLimit("too-many-keywords")
            return replace(now, keywords=keywords)

        return self.change(account, info.mailbox_id, with_keywords)

    def _inherit(
        self,
        connection: Connection,
        account: OpenAccount,
        parent: MailboxInfo | None,
        made: Sequence[MailboxInfo],
    ) -> None:
        if account.account.kind.is_shared and parent is not None and made:
            made_ids = [info.mailbox_id for info in made]
            self._demand_rights().inherit(connection, account.account_id, parent.mailbox_id, made_ids)

    def _demand_rights(self) -> BoxRights:
        if self._rights is None:
            raise Denied("right")
        return self._rights

    def change(
        self,
        account: OpenAccount,
        mailbox_id: MailboxId,
        change: Callable[[MailboxInfo], MailboxInfo],
        *,
        is_news: bool = False,
    ) -> MailboxInfo:
        """Change a mailbox's record as it stands in the transaction: two sessions' keywords never take one bit.

        ``is_news``: it raises HIGHESTMODSEQ, as an annotation must (RFC 7162 §3.2). What ``change`` raises leaves
        everything as it was. Raises Denied without ``w``: what a record holds beside
        the name (keywords, annotations) is everybody's in a shared box.
        """
        account.demand(mailbox_id, Right.WRITE)

        def run(connection: Connection) -> MailboxInfo:
            modseq = mailboxes.next_modseq(connection, account.account_id) if is_news else None
            info = open_record(account, mailboxes.load_mailbox(connection, account.account_id, mailbox_id))
            changed = change(info)
            if changed == info:
                return info
            if modseq is not None:
                changed = replace(changed, row=replace(changed.row, highestmodseq=modseq))
                mailboxes.mark_modseq(connection, changed.row)
            return _keep(connection, account, changed)

        return self._store.writer.commit(Unit(account.account_id, run))


def _list(connection: Connection, account: OpenAccount) -> list[MailboxInfo]:
    """All mailboxes, INBOX first, then by name."""
    infos = [open_record(account, row) for row in mailboxes.list_mailboxes(connection, account.account_id)]
    return sorted(infos, key=lambda info: (info.role is not Role.INBOX, info.name))


def _keep(connection: Connection, account: OpenAccount, info: MailboxInfo) -> MailboxInfo:
    """Write a mailbox's record, and what it vouches for."""
    row = replace(info.row, record=seal_record(account, info))
    mailboxes.mark_record(connection, row)
    return replace(info, row=row)


def flag_bits(info: MailboxInfo, names: Sequence[str]) -> int:
    """Wire flag names → bits; names that the mailbox does not know are left out (see ``add_keywords``)."""
    known = {name.casefold(): 1 << (KEYWORD_SHIFT + bit) for bit, name in enumerate(info.keywords)}
    known |= {name.casefold(): int(flag) for name, flag in FLAG_NAMES.items()}
    bits = 0
    for name in names:
        bits |= known.get(name.casefold(), 0)
    return bits


def normal_name(name: str) -> str:
    """INBOX in any case becomes INBOX, letters become NFC (RFC 9051 §5.1). Raises Malformed("mailbox-name")."""
    name = normalize("NFC", name)
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


def _demand_parent(account: OpenAccount, infos: Sequence[MailboxInfo], name: str) -> MailboxInfo | None:
    """The nearest mailbox above a new name, which must allow it (RFC 4314 §4); None at the root, where a member's
    usual rights say. Raises Denied("right").
    """
    by_name = {info.name: info for info in infos}
    parent = next((by_name[each] for each in reversed(_superiors(name)) if each in by_name), None)
    if parent is not None:
        if Right.CREATE not in account.rights_in(parent.mailbox_id):
            raise Denied("right")
    elif account.member is not None and Right.CREATE not in account.member.rights.usual:
        raise Denied("right")
    return parent


def _is_registered(name: str) -> bool:
    return any(name.casefold() == known.casefold() for known in FLAG_NAMES)
