"""FETCH as a stream of octets (RFC 9051 §6.4.5, §7.5.2): made page by page, in the pool, never whole in memory.

Three sources by cost: what is clear; the sealed summary; the message's own octets, which need a MailPermit. A
database transaction ends before a page's octets leave. A message that fails its integrity check is left out, the rest
flows (S12), and the command ends with NO.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mailserver.imap.commands import BodySection, Fetch, FetchItem, SectionItem, SectionText
from mailserver.imap.fetch_columns import CLEAR_ITEMS, VIEW_ITEMS, format_columns
from mailserver.imap.fetch_items import Item, Line, ResponseWriter
from mailserver.imap.previews import PREVIEW_ITEMS
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.mime.summary_wire import SummaryView
from mailserver.model.account import Flag
from mailserver.model.errors import Corrupt, Malformed, PliError
from mailserver.model.rights import Right
from mailserver.service.mail_permit import MailPermit
from mailserver.service.messages import OpenedItem
from mailserver.store.item_changes import FlagChange
from mailserver.store.items import uid_ranges

PAGE_ITEMS = 500
BODY_PAGE_ITEMS = 16
PERMIT_ITEMS = 31 * BODY_PAGE_ITEMS
COLUMN_PAGE_ITEMS = 8000
BLOCK_BYTES = 256 * 1024
"""About what one hop to the pool brings back."""

_HEADER_TEXTS = frozenset({SectionText.HEADER, SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT})


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
        if self.command.partial is not None:
            places = self.command.partial.part_of(places)
        since = self.command.changed_since  # RFC 9394 §3.4: of what PARTIAL leaves
        if since is not None:
            modseqs = view.modseqs
            places = [at for at in places if modseqs[at] > since]
            if FetchItem.MODSEQ not in items:
                items = (*items, FetchItem.MODSEQ)  # RFC 7162 §3.1.4.1
        if self.command.uid and FetchItem.UID not in items:
            items = (FetchItem.UID, *items)  # RFC 9051 §6.4.9
        if CLEAR_ITEMS.issuperset(items):
            yield from self._clear_blocks(places, items)
        elif self._sections:
            yield from self._section_blocks(places, items)
        else:
            yield from self._summary_blocks(places, items)

    def _clear_blocks(self, places: Sequence[int], items: Sequence[Item]) -> Iterator[bytes]:
        selected, messages = self.session.open_mailbox(), self.session.services.messages
        view = selected.view
        needs_stamps = not VIEW_ITEMS.issuperset(items)
        for start in range(0, len(places), COLUMN_PAGE_ITEMS):
            page = places[start : start + COLUMN_PAGE_ITEMS]
            if not needs_stamps:
                yield format_columns(view, page, items)
                continue
            place_of = {view.uids[at]: at for at in page}
            ranges = uid_ranges(list(place_of))
            stamps = messages.list_stamps(selected.account, selected.info.mailbox_id, ranges)
            self.has_gone |= len(stamps) < len(page)
            yield format_columns(view, [place_of[stamp.uid] for stamp in stamps], items, stamps)

    def _summary_blocks(self, places: Sequence[int], items: Sequence[Item]) -> Iterator[bytes]:
        writer = ResponseWriter(self.session, items)
        for start in range(0, len(places), PAGE_ITEMS):
            page = places[start : start + PAGE_ITEMS]
            if PREVIEW_ITEMS.isdisjoint(items):
                yield writer.page(self._scan_page(page))
            else:
                yield from self._preview_block(writer, page)

    def _scan_page(self, places: Sequence[int]) -> list[Line]:
        """What the summaries of a page say, without what is damaged."""
        selected = self.session.open_mailbox()
        uids = selected.view.uids
        number_of = {uids[at]: at + 1 for at in places}
        messages = self.session.services.messages
        scan = messages.scan(selected.account, selected.info.mailbox_id, list(number_of))
        self.has_gone |= len(scan.rows) < len(number_of)
        open_summary, lines = scan.open, []
        for row in scan.rows:
            try:
                lines.append(Line(number_of[row.uid], row, SummaryView(open_summary(row))))
            except Corrupt as error:
                self._note_failure(error)
            except Malformed:
                self._note_failure(Corrupt("summary"))
        return lines

    def _preview_block(self, writer: ResponseWriter, places: Sequence[int]) -> Iterator[bytes]:
        """A page with the first words of each message; when one is damaged, the others one by one."""
        page = self._open_page(places)
        if self._shows_words and self._is_shared:
            self.session.permit_messages([item for _number, item in page])
        try:
            yield writer.page([Line(number, item.row, item.view(), item) for number, item in page])
        except Corrupt:
            for number, item in page:
                try:
                    yield writer.page([Line(number, item.row, item.view(), item)])
                except Corrupt as error:
                    self._note_failure(error)

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
        writer = ResponseWriter(session, items)
        permits = self._permits(places)
        for start in range(0, len(places), BODY_PAGE_ITEMS):
            permit = next(permits)
            page = self._open_page(places[start : start + BODY_PAGE_ITEMS])
            seen = self._mark_seen([item for _number, item in page])
            for number, item in page:
                reader = SectionReader(messages, account, permit, item)
                yield from self._whole(
                    writer.with_sections(number, item, reader, tells_flags=item.row.uid in seen)
                )

    def _permits(self, places: Sequence[int]) -> Iterator[MailPermit]:
        """Leave to read each body page in turn; of a shared box, PERMIT_ITEMS messages are logged in one commit."""
        session = self.session
        for start in range(0, len(places), PERMIT_ITEMS):
            part = places[start : start + PERMIT_ITEMS]
            if not self._is_shared or (all(map(_is_header, self._sections)) and not self._shows_words):
                permit = session.permit()
            else:
                opened = [item for _number, item in self._open_page(part, with_octets=False)]
                permit = session.permit_pieces(opened) if self._continues else session.permit_messages(opened)
            for _page in range(0, len(part), BODY_PAGE_ITEMS):
                yield permit

    @property
    def _is_shared(self) -> bool:
        return self.session.open_mailbox().account.member is not None

    @property
    def _shows_words(self) -> bool:
        return FetchItem.PREVIEW in self.command.items

    @property
    def _continues(self) -> bool:
        """Whether only later pieces of messages are asked for: they belong to the reading of the first."""
        later = (each.partial is not None and each.partial.offset > 0 for each in self._sections)
        return all(later) and not self._shows_words

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

    def _open_page(
        self, places: Sequence[int], *, with_octets: bool | None = None
    ) -> list[tuple[int, OpenedItem]]:
        """The page with its message numbers; when an item of it is damaged, the others one by one."""
        session, selected = self.session, self.session.open_mailbox()
        account, mailbox_id = selected.account, selected.info.mailbox_id
        uids = selected.view.uids
        number_of = {uids[at]: at + 1 for at in places}
        opened: list[OpenedItem] = []
        messages = session.services.messages
        try:
            if self._sections if with_octets is None else with_octets:
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
        if Right.SEEN not in selected.account.rights_in(selected.info.mailbox_id):
            return frozenset()  # RFC 4314 §4
        uids = [item.row.uid for item in page if not item.row.flags & Flag.SEEN]
        if not uids:
            return frozenset()
        account, mailbox_id = selected.account, selected.info.mailbox_id
        messages = self.session.services.messages
        change = (FlagChange.ADD, int(Flag.SEEN))
        marked = messages.mark_flags(account, mailbox_id, uid_ranges(uids), change)
        selected.view.note_flags(marked.changed, marked.modseq)
        return frozenset(uid for uid, _flags in marked.changed)


def _is_header(section: SectionItem) -> bool:
    """Whether a section is of the message's own header, which a listing tells in part already."""
    return (
        isinstance(section, BodySection)
        and not section.section.part
        and section.section.text in _HEADER_TEXTS
    )


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
