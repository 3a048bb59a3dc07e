"""FETCH responses from what is clear: the view's columns and, for dates and ids, the items without their seals.

One template over parallel columns; nothing is opened.
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache

from mailserver.imap.commands import FetchItem, SectionItem
from mailserver.imap.flags import format_flags
from mailserver.imap.grammar import MONTHS
from mailserver.imap.object_ids import format_email_id
from mailserver.imap.view import MailboxView
from mailserver.store.item_columns import ItemStamp

VIEW_ITEMS = frozenset({FetchItem.UID, FetchItem.FLAGS, FetchItem.MODSEQ, FetchItem.THREADID})
"""What a view knows by itself."""
CLEAR_ITEMS = VIEW_ITEMS | {FetchItem.INTERNALDATE, FetchItem.SAVEDATE, FetchItem.EMAILID}
_DAY_MINUTES = 1440
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_CLOCK = tuple(f"{minute // 60:02d}:{minute % 60:02d}:" for minute in range(_DAY_MINUTES))
_SECOND = tuple(f'{second:02d} +0000"' for second in range(60))


def format_columns(
    view: MailboxView,
    places: Sequence[int],
    items: Sequence[FetchItem | SectionItem],
    stamps: Sequence[ItemStamp] = (),
) -> bytes:
    """Responses of messages at these places; ``items`` among CLEAR_ITEMS. ``stamps``: theirs, for what is not in a view."""
    words: list[str] = []
    columns: list[Sequence[int | str]] = []
    for item in items:
        match item:
            case FetchItem.UID:
                words.append("UID %d")
                columns.append([view.uids[at] for at in places])
            case FetchItem.MODSEQ:
                words.append("MODSEQ (%d)")
                columns.append([view.modseqs[at] for at in places])
            case FetchItem.FLAGS:
                words.append("FLAGS %s")
                columns.append(_flag_texts(view, places))
            case FetchItem.INTERNALDATE:
                words.append("INTERNALDATE %s")
                columns.append([format_moment(stamp.received_at) for stamp in stamps])
            case FetchItem.SAVEDATE:
                words.append("SAVEDATE %s")
                columns.append([format_moment(stamp.saved_at) for stamp in stamps])
            case FetchItem.EMAILID:
                words.append("EMAILID %s")
                columns.append([format_email_id(stamp.email_id).decode("ascii") for stamp in stamps])
            case _:
                words.append("THREADID NIL")
    template = f"* %d FETCH ({' '.join(words)})\r\n"
    numbers = [at + 1 for at in places]
    return "".join([template % row for row in zip(numbers, *columns, strict=True)]).encode("ascii")


def format_moment(seconds: int) -> str:
    """A date-time in UTC, as ``encode.format_date_time`` writes it, with the day remembered."""
    minutes, second = divmod(seconds, 60)
    day, minute = divmod(minutes, _DAY_MINUTES)
    return _format_day(day) + _CLOCK[minute] + _SECOND[second]


@lru_cache(maxsize=4096)
def _format_day(day: int) -> str:
    """The date-time as far as the hour."""
    at = date.fromordinal(_EPOCH_DAY + day)
    return f'"{at.day:2d}-{MONTHS[at.month - 1]}-{at.year:04d} '


def _flag_texts(view: MailboxView, places: Sequence[int]) -> list[str]:
    """Flag lists of these places; each combination is written once."""
    known: dict[tuple[int, bool], str] = {}
    texts = []
    uids, flags = view.uids, view.flags
    for at in places:
        key = (flags[at], view.is_recent(uids[at]))
        text = known.get(key)
        if text is None:
            text = known[key] = format_flags(key[0], view.keywords, key[1]).decode("ascii")
        texts.append(text)
    return texts
