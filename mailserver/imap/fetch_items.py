"""One FETCH response after another, item by item, from a sealed summary and the message's own octets (RFC 9051 §7.5.2)."""

from collections.abc import Callable, Iterator, Sequence
from typing import assert_never

from mailserver.imap.binary import binary_pieces, demand_decodable
from mailserver.imap.commands import BinarySection, BinarySize, BodySection, FetchItem, SectionItem
from mailserver.imap.fetch_columns import format_moment
from mailserver.imap.flags import format_flags
from mailserver.imap.object_ids import format_email_id
from mailserver.imap.previews import PREVIEW_ITEMS, Previews
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.imap.view import MailboxView
from mailserver.mime.summary_wire import SummaryView, parse_summary
from mailserver.model.errors import Corrupt, Malformed
from mailserver.service.messages import OpenedItem

Item = FetchItem | SectionItem


class ResponseWriter:
    """Writes FETCH responses of one page in the order of the client's items."""

    def __init__(self, session: Session, items: Sequence[Item]) -> None:
        self._view = session.open_mailbox().view
        self._items = items
        dialect = session.dialect()
        told = {FetchItem.FLAGS: True, FetchItem.UID: dialect.with_uid, FetchItem.MODSEQ: dialect.with_modseq}
        self._told_with_flags = [item for item, is_told in told.items() if is_told and item not in items]
        self._make = _MAKERS if PREVIEW_ITEMS.isdisjoint(items) else _MAKERS | _preview_makers(session)
        self._coded = [item for item in items if isinstance(item, BinarySection | BinarySize)]
        self._plain_sections = [item for item in items if isinstance(item, BodySection)]
        self._makers = [self._make[item] for item in items if isinstance(item, FetchItem)]

    def plain(self, number: int, item: OpenedItem) -> tuple[bytes, ...]:
        """One response without sections. Raises Corrupt when the summary, or for a preview the body, is damaged."""
        summary = item.view()
        view = self._view
        parts = [make(view, number, item, summary) for make in self._makers]
        return (b"* %d FETCH (%b)\r\n" % (number, b" ".join(parts)),)

    def with_sections(
        self, number: int, item: OpenedItem, reader: SectionReader, *, tells_flags: bool
    ) -> Iterator[bytes]:
        """One response in pieces of bounded size; what can fail should do so before the first."""
        summary = item.view()
        for coded in self._coded:
            demand_decodable(reader, coded)
        reader.verify(self._plain_sections)
        lead = b"* %d FETCH (" % number
        for each in self._items:
            if isinstance(each, FetchItem):
                yield lead + self._make[each](self._view, number, item, summary)
            else:
                yield lead
                yield from (
                    reader.pieces(each) if isinstance(each, BodySection) else binary_pieces(reader, each)
                )
            lead = b" "
        if tells_flags:
            for told in self._told_with_flags:
                yield b" " + _MAKERS[told](self._view, number, item, summary)
        yield b")\r\n"


_Maker = Callable[[MailboxView, int, OpenedItem, SummaryView], bytes]


def _make_flags(view: MailboxView, number: int, _item: OpenedItem, _summary: SummaryView) -> bytes:
    return b"FLAGS " + format_flags(
        view.flags[number - 1], view.keywords, view.is_recent(view.uids[number - 1])
    )


def _maker_of(item: FetchItem) -> _Maker:
    match item:
        case FetchItem.UID:
            return lambda _view, _number, opened, _summary: b"UID %d" % opened.row.uid
        case FetchItem.FLAGS:
            return _make_flags
        case FetchItem.MODSEQ:
            return lambda view, number, _opened, _summary: b"MODSEQ (%d)" % view.modseqs[number - 1]
        case FetchItem.INTERNALDATE:
            return lambda _view, _number, opened, _summary: (
                b"INTERNALDATE " + format_moment(opened.row.received_at).encode()
            )
        case FetchItem.SAVEDATE:
            return lambda _view, _number, opened, _summary: (
                b"SAVEDATE " + format_moment(opened.row.saved_at).encode()
            )
        case FetchItem.EMAILID:
            return lambda _view, _number, opened, _summary: b"EMAILID " + format_email_id(opened.row.email_id)
        case FetchItem.THREADID:
            return lambda _view, _number, _opened, _summary: b"THREADID NIL"  # RFC 8474 §5.2: not computed
        case FetchItem.RFC822_SIZE:
            return lambda _view, _number, _opened, summary: b"RFC822.SIZE %d" % summary.size_bytes
        case FetchItem.ENVELOPE:
            return lambda _view, _number, _opened, summary: b"ENVELOPE " + summary.envelope
        case FetchItem.BODYSTRUCTURE:
            return lambda _view, _number, _opened, summary: b"BODYSTRUCTURE " + summary.bodystructure
        case FetchItem.PREVIEW | FetchItem.PREVIEW_LAZY:
            raise AssertionError("a preview needs a session")
        case FetchItem.BODY:
            return lambda _view, _number, opened, _summary: b"BODY " + _parse_body(opened)
        case _:
            assert_never(item)


def _parse_body(item: OpenedItem) -> bytes:
    try:
        return parse_summary(item.summary).body
    except Malformed:
        raise Corrupt("summary") from None


_MAKERS: dict[FetchItem, _Maker] = {item: _maker_of(item) for item in FetchItem if item not in PREVIEW_ITEMS}


def _preview_makers(session: Session) -> dict[FetchItem, _Maker]:
    previews = Previews(session)

    def maker(*, is_lazy: bool) -> _Maker:
        return lambda _view, _number, opened, summary: previews.format_item(opened, summary, is_lazy=is_lazy)

    return {FetchItem.PREVIEW: maker(is_lazy=False), FetchItem.PREVIEW_LAZY: maker(is_lazy=True)}
