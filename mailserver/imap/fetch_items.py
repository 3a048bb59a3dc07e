"""FETCH responses from sealed summaries and from messages' own octets (RFC 9051 §7.5.2).

A page of summaries is written column by column, each value where the client asked for it: a call for each value would
cost as much as opening the summaries.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

from mailserver.imap.binary import binary_pieces, demand_decodable
from mailserver.imap.commands import BinarySection, BinarySize, BodySection, FetchItem, SectionItem
from mailserver.imap.fetch_columns import format_moment
from mailserver.imap.flags import format_flags
from mailserver.imap.object_ids import format_email_id
from mailserver.imap.previews import PREVIEW_ITEMS, Previews
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.mime.summary_wire import SummaryView, parse_summary
from mailserver.model.errors import Corrupt, Malformed
from mailserver.service.messages import OpenedItem

Item = FetchItem | SectionItem
Line = tuple[int, OpenedItem, SummaryView]
"""A message's number, and what is open of it."""

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

    def page(self, page: Sequence[tuple[int, OpenedItem]]) -> bytes:
        """Responses without sections. Raises Corrupt when one summary, or for a preview one body, is damaged."""
        try:
            lines = [(number, item, SummaryView(item.summary)) for number, item in page]
        except Malformed:
            raise Corrupt("summary") from None
        items = [item for item in self._items if isinstance(item, FetchItem)]
        columns = [self._column(item, lines) for item in items]
        template = b"* %d FETCH (" + b" ".join(_NAMES[item] + b" %b" for item in items) + b")\r\n"
        numbers = [number for number, _item in page]
        return b"".join([template % row for row in zip(numbers, *columns, strict=True)])

    def with_sections(
        self, number: int, item: OpenedItem, reader: SectionReader, *, tells_flags: bool
    ) -> Iterator[bytes]:
        """One response in pieces of bounded size; what can fail should do so before the first."""
        line = (number, item, item.view())
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
                return [b"%d" % opened.row.uid for _number, opened, _summary in lines]
            case FetchItem.FLAGS:
                return self._flag_lists([number for number, _opened, _summary in lines])
            case FetchItem.MODSEQ:
                modseqs = self._view.modseqs
                return [b"(%d)" % modseqs[number - 1] for number, _opened, _summary in lines]
            case FetchItem.RFC822_SIZE:
                return [b"%d" % summary.size_bytes for _number, _opened, summary in lines]
            case FetchItem.ENVELOPE:
                return [summary.envelope for _number, _opened, summary in lines]
            case FetchItem.BODYSTRUCTURE:
                return [summary.bodystructure for _number, _opened, summary in lines]
            case FetchItem.BODY:
                return [_parse_body(opened) for _number, opened, _summary in lines]
            case FetchItem.INTERNALDATE | FetchItem.SAVEDATE | FetchItem.EMAILID | FetchItem.THREADID:
                return [_format_stamp(item, opened) for _number, opened, _summary in lines]
            case FetchItem.PREVIEW | FetchItem.PREVIEW_LAZY:
                assert self._previews is not None
                is_lazy, format_value = item is FetchItem.PREVIEW_LAZY, self._previews.format_value
                return [format_value(opened, summary, is_lazy=is_lazy) for _number, opened, summary in lines]
            case _:
                assert_never(item)

    def _flag_lists(self, numbers: Sequence[int]) -> list[bytes]:
        view = self._view
        uids, flags, keywords, is_recent = view.uids, view.flags, view.keywords, view.is_recent
        return [format_flags(flags[number - 1], keywords, is_recent(uids[number - 1])) for number in numbers]


def _format_stamp(item: FetchItem, opened: OpenedItem) -> bytes:
    match item:
        case FetchItem.INTERNALDATE:
            return format_moment(opened.row.received_at).encode("ascii")
        case FetchItem.SAVEDATE:
            return format_moment(opened.row.saved_at).encode("ascii")
        case FetchItem.EMAILID:
            return format_email_id(opened.row.email_id)
        case _:
            return b"NIL"  # RFC 8474 §5.2: threads are not computed


def _parse_body(item: OpenedItem) -> bytes:
    try:
        return parse_summary(item.summary).body
    except Malformed:
        raise Corrupt("summary") from None
