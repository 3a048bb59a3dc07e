"""What changed in a mailbox since a mod-sequence (RFC 7162), without an index that every STORE would have to move.

Mod-sequences only grow, so what arrived since stands behind the last item that is no newer. What a STORE changed
before that is told by ranges of UIDs, written by it: they may cover more than it changed, never less, and an item's
own mod-sequence says whether it did change. Older ranges become one that covers every UID.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, literal_column, select

from mailserver.model.ids import AccountId, MailboxId
from mailserver.store import schema
from mailserver.store.hot_statements import HotInsert, HotRead
from mailserver.store.items import EVERY_UID, UidRange, list_columns_within, merged, uid_ranges

RANGES_PER_CHANGE = 64
RANGES_KEPT = 256
"""Of one mailbox; they are thinned out when there are twice as many."""
_item, _range = schema.item, schema.changed_range


@dataclass(frozen=True, slots=True)
class _ChangedRange:
    """A row of ``changed_range``."""

    account_id: AccountId
    mailbox_id: MailboxId
    modseq: int
    first_uid: int
    last_uid: int


_ADD = HotInsert[_ChangedRange](_range)
_OF_MAILBOX = (
    _range.c.account_id == bindparam("account"),
    _range.c.mailbox_id == bindparam("mailbox"),
)
_NEWEST_FIRST = HotRead[int](
    select(_range.c.modseq)
    .where(*_OF_MAILBOX)
    .order_by(_range.c.modseq.desc())
    .offset(bindparam("newer"))
    .limit(literal_column("1")),
    int,
)


def note_changes(
    connection: Connection, place: tuple[AccountId, MailboxId], uids: Sequence[int], modseq: int
) -> None:
    """These UIDs, ascending, changed at ``modseq``: in the transaction that changes them, and once in a mailbox for each
    mod-sequence.
    """
    ranges = uid_ranges(uids)
    step = -(-len(ranges) // RANGES_PER_CHANGE)
    parts = [ranges[start : start + step] for start in range(0, len(ranges), step)]
    _ADD.run(connection, [_ChangedRange(*place, modseq, part[0][0], part[-1][1]) for part in parts])
    if _find_newest_but(connection, place, 2 * RANGES_KEPT) is None:
        return
    oldest = _find_newest_but(connection, place, RANGES_KEPT)
    assert oldest is not None
    here = (_range.c.account_id == place[0], _range.c.mailbox_id == place[1])
    connection.execute(delete(_range).where(*here, _range.c.modseq <= oldest))
    _ADD.run(connection, [_ChangedRange(*place, oldest, *EVERY_UID[0])])


def _find_newest_but(connection: Connection, place: tuple[AccountId, MailboxId], newer: int) -> int | None:
    """The mod-sequence of the range that so many newer ones follow."""
    return _NEWEST_FIRST.first(connection, {"account": place[0], "mailbox": place[1], "newer": newer})


_RANGES = HotRead[UidRange](
    select(_range.c.first_uid, _range.c.last_uid).where(*_OF_MAILBOX, _range.c.modseq > bindparam("since")),
    lambda *row: row,
)
_LAST_UNCHANGED = HotRead[int](
    select(func.max(_item.c.uid)).where(
        _item.c.account_id == bindparam("account"),
        _item.c.mailbox_id == bindparam("mailbox"),
        _item.c.modseq <= bindparam("since"),
    ),
    lambda uid: uid or 0,
)
"""Read from the end: as many items as are newer."""
_VANISHED = HotRead[int](
    select(schema.tombstone.c.uid).where(
        schema.tombstone.c.account_id == bindparam("account"),
        schema.tombstone.c.mailbox_id == bindparam("mailbox"),
        schema.tombstone.c.modseq > bindparam("since"),
    ),
    int,
)


def list_changes(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, since_modseq: int
) -> tuple[list[tuple[int, int, int]], list[int]]:
    """(uid, flags, modseq) changed or arrived after ``since_modseq``, and the UIDs that left; both by UID."""
    parameters = {"account": account_id, "mailbox": mailbox_id, "since": since_modseq}
    (last_unchanged,) = _LAST_UNCHANGED.all(connection, parameters)
    ranges = merged([*_RANGES.all(connection, parameters), (last_unchanged + 1, EVERY_UID[0][1])])
    rows = list_columns_within(connection, (account_id, mailbox_id), ranges)
    changed = [row for row in rows if row[2] > since_modseq]
    return changed, list_vanished(connection, account_id, mailbox_id, since_modseq)


def list_vanished(
    connection: Connection, account_id: AccountId, mailbox_id: MailboxId, since_modseq: int
) -> list[int]:
    """The UIDs that left after ``since_modseq``, ascending."""
    parameters = {"account": account_id, "mailbox": mailbox_id, "since": since_modseq}
    return sorted(_VANISHED.all(connection, parameters))
