"""MailboxColumns: what is clear of every message of a mailbox, as parallel arrays by UID.

A value that sessions share: its arrays are never changed, and whoever changes flags copies them first.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from operator import lt
from typing import TypeAlias

from mailserver.model.errors import Corrupt

Column: TypeAlias = "array[int]"
TYPECODE = "Q"


@dataclass(frozen=True, slots=True)
class MailboxColumns:
    """Columns of one length, UIDs strictly ascending; ``parse_columns`` makes sure of it."""

    uids: Column
    flags: Column
    modseqs: Column

    def __len__(self) -> int:
        return len(self.uids)

    def rows(self) -> list[tuple[int, int, int]]:
        """(uid, flags, modseq) of every message."""
        return list(zip(self.uids, self.flags, self.modseqs, strict=True))

    def with_changes(
        self, changed: Iterable[tuple[int, int, int]], vanished: Iterable[int]
    ) -> "MailboxColumns":
        """The columns after these changes: (uid, flags, modseq) changed or arrived, ascending, and UIDs that left.

        Raises Corrupt("bad_columns") for a change of a message that is neither here nor new.
        """
        uids, flags, modseqs = self.uids[:], self.flags[:], self.modseqs[:]
        for uid, bits, modseq in changed:
            at = bisect_left(uids, uid)
            if at == len(uids):
                uids.append(uid)
                flags.append(bits)
                modseqs.append(modseq)
            elif uids[at] == uid:
                flags[at], modseqs[at] = bits, modseq
            else:
                raise Corrupt("bad_columns")
        gone = [at for uid in vanished if (at := bisect_left(uids, uid)) < len(uids) and uids[at] == uid]
        if not gone:
            return MailboxColumns(uids, flags, modseqs)
        return MailboxColumns(*(without(column, sorted(gone)) for column in (uids, flags, modseqs)))


def parse_columns(uids: Iterable[int], flags: Iterable[int], modseqs: Iterable[int]) -> MailboxColumns:
    """Columns from anywhere. Raises Corrupt("bad_columns") when they are no mailbox's."""
    columns = MailboxColumns(array(TYPECODE, uids), array(TYPECODE, flags), array(TYPECODE, modseqs))
    is_even = len(columns.uids) == len(columns.flags) == len(columns.modseqs)
    ascending = columns.uids.tolist()
    if not is_even or not all(map(lt, ascending, islice(ascending, 1, None))):
        raise Corrupt("bad_columns")
    return columns


def without(column: Column, gone: Iterable[int]) -> Column:
    """A column without these places, which ascend."""
    kept = array(column.typecode)
    start = 0
    for at in gone:
        kept += column[start:at]
        start = at + 1
    kept += column[start:]
    return kept
