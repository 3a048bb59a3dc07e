"""FETCH as a stream of octets (RFC 9051 §6.4.5, §7.5.2): made page by page, in the pool, never whole in memory.

Three sources by cost: the view's columns; the sealed summary; the message's own octets, which need a MailPermit. A
database transaction ends before a page's octets leave. A message that fails its integrity check is left out, the rest
flows (S12), and the command ends with NO.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import assert_never

from mailserver.imap.binary import binary_pieces, demand_decodable
from mailserver.imap.commands import BinarySection, BinarySize, BodySection, Fetch, FetchItem, SectionItem
from mailserver.imap.flags import format_flags
from mailserver.imap.grammar import MONTHS
from mailserver.imap.object_ids import format_email_id
from mailserver.imap.previews import PREVIEW_ITEMS, Previews
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.imap.view import FlagsChanged, MailboxView
from mailserver.mime.summary_wire import SummaryView, parse_summary
from mailserver.model.account import Flag
from mailserver.model.errors import Corrupt, Malformed, PliError
from mailserver.service.messages import OpenedItem, uid_ranges
from mailserver.store.item_changes import FlagChange

PAGE_ITEMS = 500
BODY_PAGE_ITEMS = 16
COLUMN_PAGE_ITEMS = 8000
BLOCK_BYTES = 256 * 1024
"""About what one hop to the pool brings back."""

_COLUMN_ITEMS = frozenset({FetchItem.UID, FetchItem.FLAGS, FetchItem.MODSEQ})
_DAY_SECONDS = 86400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
Item = FetchItem | SectionItem


@dataclass(slots=True)
class FetchStream:
    """``blocks`` is iterated in the pool, one block a hop; the outcome is true once it ended."""

    session: Session
    command: Fetch
    has_gone: bool = False
    """Some messages of the set are gone, though the client does not know."""
    failure: PliError | None = None
    """Why some messages were left out."""
    _sections: tuple[SectionItem, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._sections = tuple(item for item in self.command.items if not isinstance(item, FetchItem))

    def blocks(self) -> Iterator[bytes]:
        """The untagged responses, in message order, in blocks of about BLOCK_BYTES."""
        view = self.session.open_mailbox().view
        runs = view.runs_of(self.command.messages, uid=self.command.uid)
        places: Sequence[int] = [at for start, stop in runs for at in range(start, stop)]
        items = self.command.items
        since = self.command.changed_since
        if since is not None:
            modseqs = view.modseqs
            places = [at for at in places if modseqs[at] > since]
            if FetchItem.MODSEQ not in items:
                items = (*items, FetchItem.MODSEQ)  # RFC 7162 §3.1.4.1
        if self.command.partial is not None:
            places = self.command.partial.part_of(places)  # RFC 9394 §3.3: of what the other modifiers leave
        if self.command.uid and FetchItem.UID not in items:
            items = (FetchItem.UID, *items)  # RFC 9051 §6.4.9
        if _COLUMN_ITEMS.issuperset(items):
            for start in range(0, len(places), COLUMN_PAGE_ITEMS):
                yield _format_columns(view, places[start : start + COLUMN_PAGE_ITEMS], items)
        elif self._sections:
            yield from self._section_blocks(places, items)
        else:
            yield from self._summary_blocks(places, items)

    def _summary_blocks(self, places: Sequence[int], items: Sequence[Item]) -> Iterator[bytes]:
        writer = _Writer(self.session, items)
        for start in range(0, len(places), PAGE_ITEMS):
            pieces: list[bytes] = []
            for number, item in self._open_page(places[start : start + PAGE_ITEMS]):
                try:
                    pieces += writer.plain(number, item)
                except Corrupt as error:
                    self._note_failure(error)
            yield b"".join(pieces)

    def _section_blocks(self, places: Sequence[int], items: Sequence[Item]) -> Iterator[bytes]:
        held: list[bytes] = []
        held_bytes = 0
        try:
            for piece in self._section_pieces(places, items):
                held.append(piece)
                held_bytes += len(piece)
                if held_bytes >= BLOCK_BYTES:
                    yield b"".join(held)
                    held, held_bytes = [], 0
        except PliError:
            yield b"".join(held)  # or the end of a response that has begun would be missing
            raise
        yield b"".join(held)

    def _section_pieces(self, places: Sequence[int], items: Sequence[Item]) -> Iterator[bytes]:
        session = self.session
        messages, account = session.services.messages, session.open_mailbox().account
        writer = _Writer(session, items)
        for start in range(0, len(places), BODY_PAGE_ITEMS):
            permit = session.permit()
            page = self._open_page(places[start : start + BODY_PAGE_ITEMS])
            seen = self._mark_seen([item for _number, item in page])
            for number, item in page:
                reader = SectionReader(messages, account, permit, item)
                yield from self._whole(
                    writer.with_sections(number, item, reader, tells_flags=item.row.uid in seen)
                )

    def _whole(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """A response; none when its start cannot be opened. Raises ConnectionAbortedError when its rest cannot."""
        head: list[bytes] = []
        try:
            _take_head(pieces, head)
        except (Corrupt, Malformed) as error:
            self._note_failure(error)
            return
        yield from head
        try:
            yield from pieces
        except PliError as error:
            raise ConnectionAbortedError from error  # nothing but closing tells that a literal is torn

    def _note_failure(self, error: PliError) -> None:
        """The command's answer: that a message is damaged outweighs that a part cannot be decoded."""
        if not isinstance(self.failure, Corrupt):
            self.failure = error

    def _open_page(self, places: Sequence[int]) -> list[tuple[int, OpenedItem]]:
        """The page with its message numbers; when an item of it is damaged, the others one by one."""
        session, selected = self.session, self.session.open_mailbox()
        account, mailbox_id = selected.account, selected.info.mailbox_id
        uids = selected.view.uids
        number_of = {uids[at]: at + 1 for at in places}
        opened: list[OpenedItem] = []
        messages = session.services.messages
        try:
            if self._sections:
                opened = messages.page_with_octets(account, mailbox_id, list(number_of))
            else:
                opened = messages.page(account, mailbox_id, uid_ranges(list(number_of)))
        except Corrupt as error:
            self._note_failure(error)
            for uid in number_of:
                opened += self._open_alone(uid)
        self.has_gone |= len(opened) < len(number_of) and not self.failure
        return [(number_of[item.row.uid], item) for item in opened]

    def _open_alone(self, uid: int) -> list[OpenedItem]:
        selected = self.session.open_mailbox()
        try:
            return self.session.services.messages.page(
                selected.account, selected.info.mailbox_id, [(uid, uid)]
            )
        except Corrupt:
            return []

    def _mark_seen(self, page: Sequence[OpenedItem]) -> frozenset[int]:
        r"""Reading without PEEK sets \Seen (RFC 9051 §6.4.5); the UIDs whose flags the response must tell."""
        selected = self.session.open_mailbox()
        if selected.is_read_only or all(section.is_peek for section in self._sections):
            return frozenset()
        uids = [item.row.uid for item in page if not item.row.flags & Flag.SEEN]
        if not uids:
            return frozenset()
        account, mailbox_id = selected.account, selected.info.mailbox_id
        messages = self.session.services.messages
        change = (FlagChange.ADD, int(Flag.SEEN))
        marked = messages.mark_flags(account, mailbox_id, uid_ranges(uids), change)
        selected.view.note_flags(FlagsChanged(uid, flags, marked.modseq) for uid, flags in marked.changed)
        return frozenset(uid for uid, _flags in marked.changed)


def pull_blocks(blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    """About BLOCK_BYTES of a stream, and whether it ended. One hop to the pool."""
    pulled: list[bytes] = []
    room = BLOCK_BYTES
    for block in blocks:
        pulled.append(block)
        room -= len(block)
        if room <= 0:
            return b"".join(pulled), False
    return b"".join(pulled), True


def _take_head(pieces: Iterator[bytes], head: list[bytes]) -> None:
    """The first pieces of a response, up to about BLOCK_BYTES: most responses whole."""
    room = BLOCK_BYTES
    for piece in pieces:
        head.append(piece)
        room -= len(piece)
        if room <= 0:
            return


class _Writer:
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
                b"INTERNALDATE " + _format_moment(opened.row.received_at)
            )
        case FetchItem.SAVEDATE:
            return lambda _view, _number, opened, _summary: b"SAVEDATE " + _format_moment(opened.row.saved_at)
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


def _format_moment(seconds: int) -> bytes:
    """A date-time in UTC, as ``encode.format_date_time`` writes it, with the day remembered."""
    day, rest = divmod(seconds, _DAY_SECONDS)
    minutes, second = divmod(rest, 60)
    hour, minute = divmod(minutes, 60)
    return b'"%b %02d:%02d:%02d +0000"' % (_format_day(day), hour, minute, second)


@lru_cache(maxsize=4096)
def _format_day(day: int) -> bytes:
    at = date.fromordinal(_EPOCH_DAY + day)
    return f"{at.day:2d}-{MONTHS[at.month - 1]}-{at.year:04d}".encode("ascii")


def _format_columns(view: MailboxView, places: Sequence[int], items: Sequence[Item]) -> bytes:
    """Responses that need nothing but the view: one template over parallel columns."""
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
            case _:
                words.append("FLAGS %s")
                columns.append(_flag_texts(view, places))
    template = f"* %d FETCH ({' '.join(words)})\r\n"
    numbers = [at + 1 for at in places]
    return "".join([template % row for row in zip(numbers, *columns, strict=True)]).encode("ascii")


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
