"""FETCH responses from sealed summaries and from messages' own octets (RFC 9051 §7.5.2).

A page of summaries is written column by column, each value where the client asked for it: a call for each value would
cost as much as opening the summaries.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, assert_never

from mailserver.imap.binary import binary_pieces, demand_decodable
from mailserver.imap.commands import BinarySection, BinarySize, BodySection, FetchItem, SectionItem
from mailserver.imap.fetch_columns import format_moment
from mailserver.imap.flags import format_flags
from mailserver.imap.object_ids import format_email_id
from mailserver.imap.previews import PREVIEW_ITEMS, Previews
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.mime.summary_wire import SummaryView
from mailserver.service.messages import OpenedItem
from mailserver.store.items import ItemRow
from mailserver.store.summary_rows import SummaryRow

Item = FetchItem | SectionItem


class Line(NamedTuple):
    """A message's number, and what is open of it: ``item`` where more than its summary may be asked for."""

    number: int
    row: ItemRow | SummaryRow
    summary: SummaryView
    item: OpenedItem | None = None


_NAMES = {item: str(item).encode("ascii") for item in FetchItem} | {FetchItem.PREVIEW_LAZY: b"PREVIEW"}


class ResponseWriter:
    """Writes the FETCH responses of one command, the items in the client's order."""

    def __init__(self, session: Session, items: Sequence[Item]) -> None:
        self._view = session.open_mailbox().view
        self._items = items
        dialect = session.dialect()
        told = {FetchItem.FLAGS: True, FetchItem.UID: dialect.with_uid, FetchItem.MODSEQ: dialect.with_modseq}
        self._told_with_flags = [item for item, is_told in told.items() if is_told and item not in items]
        self._previews = None if PREVIEW_ITEMS.isdisjoint(items) else Previews(session)
        self._coded = [item for item in items if isinstance(item, BinarySection | BinarySize)]
        self._plain_sections = [item for item in items if isinstance(item, BodySection)]

    def page(self, lines: Sequence[Line]) -> bytes:
        """Responses without sections. Raises Corrupt when for a preview one body is damaged."""
        items = [item for item in self._items if isinstance(item, FetchItem)]
        columns = [self._column(item, lines) for item in items]
        template = b"* %d FETCH (" + b" ".join(_NAMES[item] + b" %b" for item in items) + b")\r\n"
        numbers = [line.number for line in lines]
        return b"".join([template % row for row in zip(numbers, *columns, strict=True)])

    def with_sections(
        self, number: int, item: OpenedItem, reader: SectionReader, *, tells_flags: bool
    ) -> Iterator[bytes]:
        """One response in pieces of bounded size; what can fail should do so before the first."""
        line = Line(number, item.row, item.view(), item)
        for coded in self._coded:
            demand_decodable(reader, coded)
        reader.verify(self._plain_sections)
        lead = b"* %d FETCH (" % number
        for each in self._items:
            if isinstance(each, FetchItem):
                yield lead + self._named(each, line)
            else:
                yield lead
                yield from (
                    reader.pieces(each) if isinstance(each, BodySection) else binary_pieces(reader, each)
                )
            lead = b" "
        if tells_flags:
            for told in self._told_with_flags:
                yield b" " + self._named(told, line)
        yield b")\r\n"

    def _named(self, item: FetchItem, line: Line) -> bytes:
        return b"%b %b" % (_NAMES[item], *self._column(item, [line]))

    def _column(self, item: FetchItem, lines: Sequence[Line]) -> list[bytes]:
        """One item's values."""
        match item:
            case FetchItem.UID:
                return [b"%d" % line.row.uid for line in lines]
            case FetchItem.FLAGS:
                return self._flag_lists([line.number for line in lines])
            case FetchItem.MODSEQ:
                modseqs = self._view.modseqs
                return [b"(%d)" % modseqs[line.number - 1] for line in lines]
            case FetchItem.RFC822_SIZE:
                return [b"%d" % line.summary.size_bytes for line in lines]
            case FetchItem.ENVELOPE:
                return [line.summary.envelope for line in lines]
            case FetchItem.BODYSTRUCTURE:
                return [line.summary.bodystructure for line in lines]
            case FetchItem.BODY:
                return [line.summary.body for line in lines]
            case FetchItem.INTERNALDATE:
                return [format_moment(line.row.received_at).encode("ascii") for line in lines]
            case FetchItem.SAVEDATE:
                return [format_moment(line.row.saved_at).encode("ascii") for line in lines]
            case FetchItem.EMAILID:
                return [format_email_id(line.row.email_id) for line in lines]
            case FetchItem.THREADID:  # RFC 8474 §5.2: threads are not computed
                return [b"NIL"] * len(lines)
            case FetchItem.PREVIEW | FetchItem.PREVIEW_LAZY:
                return [self._preview(line, is_lazy=item is FetchItem.PREVIEW_LAZY) for line in lines]
            case _:
                assert_never(item)

    def _flag_lists(self, numbers: Sequence[int]) -> list[bytes]:
        view = self._view
        uids, flags, keywords, is_recent = view.uids, view.flags, view.keywords, view.is_recent
        return [format_flags(flags[number - 1], keywords, is_recent(uids[number - 1])) for number in numbers]

    def _preview(self, line: Line, *, is_lazy: bool) -> bytes:
        assert self._previews is not None
        assert line.item is not None
        return self._previews.format_value(line.item, line.summary, is_lazy=is_lazy)
