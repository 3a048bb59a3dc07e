"""A page of summaries for searching, sorting and threading: read in one statement, each opened when it is asked for.

What is opened is let go of at once, so that looking through a mailbox never holds more than a page of it.
"""

from collections.abc import Callable, Sequence

from mailserver.model.errors import Corrupt
from mailserver.store.items import ItemRow, UidRange
from mailserver.store.summary_rows import SummaryRow

OpenSummaries = Callable[[Sequence[UidRange]], list[tuple[int, bytes]]]


class Scan:
    """``rows`` by UID; those that left meanwhile are missing."""

    def __init__(
        self,
        rows: list[SummaryRow],
        open_adopted: Callable[[ItemRow | SummaryRow], bytes],
        open_away: OpenSummaries,
    ) -> None:
        """``open_away`` opens messages that their owner sees for the first time, and adopts them."""
        self.rows = rows
        self.open = open_adopted
        """The summary of one of ``rows``. Raises Corrupt when it was altered (S12)."""
        away = [row.uid for row in rows if not row.is_adopted]
        if away:
            self._away = _open_whole_ones(away, open_away)
            self._open_adopted = open_adopted
            self.open = self._open_any

    def _open_any(self, row: ItemRow | SummaryRow) -> bytes:
        if row.is_adopted:
            return self._open_adopted(row)
        found = self._away.get(row.uid)
        if isinstance(found, bytes):
            return found
        raise found or Corrupt("summary")  # it left between two looks


def _open_whole_ones(uids: Sequence[int], open_away: OpenSummaries) -> dict[int, bytes | Corrupt]:
    """The summaries at once; when one of them is damaged, the others one by one, and what is wrong with it."""
    ranges = [(uid, uid) for uid in uids]
    try:
        return dict[int, bytes | Corrupt](open_away(ranges))
    except Corrupt as error:
        if len(uids) == 1:
            return {uids[0]: error}
    found: dict[int, bytes | Corrupt] = {}
    for uid in uids:
        found |= _open_whole_ones([uid], open_away)
    return found
