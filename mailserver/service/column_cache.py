"""ColumnCache: the columns of the mailboxes that a process opened last, so that the next SELECT reads what changed.

Columns are clear at rest (K15, class C) and hold no secret. What is held is right by the mailbox row of the same read
transaction: unchanged while its ``highestmodseq`` is, else brought up to date by the changes and tombstones since.
Other processes change mailboxes too, and need to tell nobody.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, MailboxId
from mailserver.model.mailbox_columns import MailboxColumns
from mailserver.store import changes, item_columns
from mailserver.store.database import Connection
from mailserver.store.mailboxes import MailboxRow

MOST_MESSAGES = 2_000_000
"""24 octets each."""
_Key = tuple[AccountId, MailboxId]


@dataclass(frozen=True, slots=True)
class _Held:
    modseq: int
    columns: MailboxColumns


class ColumnCache:
    """Thread-safe; the mailbox that was looked at longest ago leaves first."""

    def __init__(self, most_messages: int = MOST_MESSAGES) -> None:
        self._most_messages = most_messages
        self._lock = threading.Lock()
        self._held: OrderedDict[_Key, _Held] = OrderedDict()
        self._messages = 0

    def find(self, row: MailboxRow) -> MailboxColumns | None:
        """The columns of a mailbox as ``row`` says it is, when they are held: nothing is read."""
        held = self._find((row.account_id, row.mailbox_id))
        return held.columns if held is not None and held.modseq == row.highestmodseq else None

    def load(self, connection: Connection, row: MailboxRow) -> MailboxColumns:
        """The columns of a mailbox as ``row`` says it is; both from one read transaction."""
        key = (row.account_id, row.mailbox_id)
        held = self._find(key)
        if held is not None and held.modseq == row.highestmodseq:
            return held.columns
        columns = None if held is None else _refresh(connection, row, held)
        if columns is None:
            columns = item_columns.load_columns(connection, *key)
        self._keep(key, _Held(row.highestmodseq, columns))
        return columns

    def _find(self, key: _Key) -> _Held | None:
        with self._lock:
            held = self._held.get(key)
            if held is not None:
                self._held.move_to_end(key)
        return held

    def _keep(self, key: _Key, fresh: _Held) -> None:
        with self._lock:
            held = self._held.get(key)
            if held is not None and held.modseq > fresh.modseq:
                return  # another thread saw a later moment
            self._messages += len(fresh.columns) - (0 if held is None else len(held.columns))
            self._held[key] = fresh
            self._held.move_to_end(key)
            while self._messages > self._most_messages:
                _key, oldest = self._held.popitem(last=False)
                self._messages -= len(oldest.columns)


def _refresh(connection: Connection, row: MailboxRow, held: _Held) -> MailboxColumns | None:
    """What is held, brought up to ``row``; None when that cannot be, or would not have as many messages as ``row``."""
    if held.modseq > row.highestmodseq:
        return None  # this transaction sees an earlier moment
    changed, vanished = changes.list_changes(connection, row.account_id, row.mailbox_id, held.modseq)
    try:
        columns = held.columns.with_changes(changed, vanished)
    except Corrupt:
        return None
    return columns if len(columns) == row.exists_count else None
