r"""Messages that leave for good, ``UNIT_ITEMS`` a commit: their wraps go with it (K18), files of blobs after it.

In a shared box each message that leaves has its entry in the box's log, in the same transaction (L1, L4).
"""

from bisect import bisect_right
from collections.abc import Sequence

from mailserver.audit.events import EventKind
from mailserver.model.account import Flag
from mailserver.model.errors import Corrupt
from mailserver.model.ids import MailboxId
from mailserver.model.rights import Right
from mailserver.service.box_log import AddEntries, BoxLog
from mailserver.service.keys import OpenAccount
from mailserver.service.transfers import UNIT_ITEMS, Opened, OpenParts, expunge_part
from mailserver.store import changes, items
from mailserver.store.items import UidRange, uid_ranges
from mailserver.store.store import Store


class Expunging:
    """``open_parts`` opens one page of a mailbox."""

    def __init__(self, store: Store, open_parts: OpenParts, log: BoxLog) -> None:
        self._store = store
        self._open_parts = open_parts
        self._log = log

    def run(
        self, account: OpenAccount, mailbox_id: MailboxId, ranges: Sequence[UidRange]
    ) -> tuple[list[int], int]:
        """Remove items, whatever their flags; the UIDs that left and the mod-sequence, in one Unit. Raises Denied."""
        account.demand(mailbox_id, Right.READ, Right.EXPUNGE)
        here = (account.account_id, mailbox_id)
        with self._store.database.read() as connection:
            uids = [uid for uid, _flags in items.list_flags_within(connection, *here, ranges)]
        add = self.prepare(account, mailbox_id, uids)
        return expunge_part(self._store, here, uid_ranges(uids), add_entries=add)

    def run_deleted(
        self,
        account: OpenAccount,
        mailbox_id: MailboxId,
        known: tuple[Sequence[int], int],
        within: Sequence[UidRange] | None = None,
    ) -> None:
        r"""EXPUNGE: what is \Deleted at the moment of its commit leaves, and nothing else. Raises Denied.

        ``known`` and ``within`` as in ``Messages.expunge_deleted``.
        """
        account.demand(mailbox_id, Right.READ, Right.EXPUNGE)
        uids, since_modseq = known
        here = (account.account_id, mailbox_id)
        with self._store.database.read() as connection:
            changed, _vanished = changes.list_changes(connection, *here, since_modseq)
        marked = {*uids, *(uid for uid, flags, _modseq in changed if flags & Flag.DELETED)}
        leaving = sorted(uid for uid in marked if within is None or _is_within(uid, within))
        for start in range(0, len(leaving), UNIT_ITEMS):
            part = leaving[start : start + UNIT_ITEMS]
            add = self.prepare(account, mailbox_id, part)
            expunge_part(self._store, here, uid_ranges(part), only=Flag.DELETED, add_entries=add)

    def prepare(self, account: OpenAccount, mailbox_id: MailboxId, uids: Sequence[int]) -> AddEntries | None:
        """Leave to remove these messages, and what the log of a shared box says of them once they are gone; one that
        cannot be opened is told without its subject. Raises Denied.
        """
        account.demand(mailbox_id, Right.READ, Right.EXPUNGE)
        if account.member is None:
            return None
        summaries: dict[int, bytes | None] = dict.fromkeys(uids)
        summaries |= {each.row.uid: each.summary for each in self._open_sound(account, mailbox_id, uids)}
        return self._log.prepare_by_uid(account, EventKind.DELETED, summaries)

    def _open_sound(self, account: OpenAccount, mailbox_id: MailboxId, uids: Sequence[int]) -> list[Opened]:
        """A page; when an item of it is damaged, the others one by one (S12)."""
        try:
            return self._open_parts(account, mailbox_id, uid_ranges(uids)) if uids else []
        except Corrupt:
            if len(uids) == 1:
                return []
        return [each for uid in uids for each in self._open_sound(account, mailbox_id, [uid])]


def _is_within(uid: int, ranges: Sequence[UidRange]) -> bool:
    """Whether sorted, disjoint ranges hold ``uid``."""
    at = bisect_right(ranges, uid, key=lambda each: each[0])
    return at > 0 and uid <= ranges[at - 1][1]
