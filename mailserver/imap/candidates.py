"""Messages under test by a SEARCH: what the key tree asks for, opened only when it asks (RFC 9051 §6.4.4).

Blocking: for the pool. Reading a body or a header beyond the summary needs a MailPermit like any other reading (L1).
Only the first TEXT_BYTES of each text part are looked at, so that no message is ever held whole.
"""

import re
from collections.abc import Callable, Iterable
from datetime import date

from mailserver.imap.envelope_fields import find_field
from mailserver.imap.search import fold
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.imap.view import MailboxView
from mailserver.mime.dates import find_date
from mailserver.mime.decode import decode_body, decode_text
from mailserver.mime.encoded_words import decode_words
from mailserver.mime.headers import HeaderBlock, unfold
from mailserver.mime.section import Span
from mailserver.mime.summary import PartRow
from mailserver.mime.summary_wire import SummaryView
from mailserver.model.ids import EmailId
from mailserver.service.messages import OpenedItem
from mailserver.service.text_segment import TextEntry, make_entry
from mailserver.store.items import ItemRow
from mailserver.store.summary_rows import SummaryRow

Row = SummaryRow | ItemRow
TEXT_BYTES = 1024 * 1024
WHOLE_BYTES = 256 * 1024
"""A message up to this size is opened once, not part by part."""
_ZONE = re.compile(rb"(:[0-9]{2})\s+(?:[+-][0-9]{4}|[A-Za-z]{1,5}).*", re.DOTALL)


class SummaryUnderTest:
    """One message after another, whose key tree asks for no more than columns and the summary, opened at most once."""

    __slots__ = ("_glance", "_open_summary", "_row", "_view", "number")

    def __init__(self, view: MailboxView, open_summary: Callable[[Row], bytes]) -> None:
        self._view = view
        self._open_summary = open_summary

    def move_to(self, number: int, row: Row) -> None:
        """Stand before another message."""
        self.number = number
        self._row = row
        self._glance: SummaryView | None = None

    @property
    def flags(self) -> int:
        return self._view.flags[self.number - 1]

    @property
    def modseq(self) -> int:
        return self._view.modseqs[self.number - 1]

    @property
    def is_recent(self) -> bool:
        return self._view.is_recent(self._row.uid)

    @property
    def received_at(self) -> int:
        return self._row.received_at

    @property
    def saved_at(self) -> int:
        return self._row.saved_at

    @property
    def email_id(self) -> EmailId:
        return self._row.email_id

    @property
    def summary(self) -> SummaryView:
        """Raises Corrupt or Malformed when it cannot be read (S12)."""
        glance = self._glance
        if glance is None:
            glance = self._glance = SummaryView(self._open_summary(self._row))
        return glance

    def subject(self) -> str:
        """Decoded and whole."""
        summary = self.summary
        if summary.is_subject_whole:
            return summary.subject
        return "".join(find_field(summary.envelope, "subject"))

    def sent_day(self) -> date | None:
        """The day that the Date field writes, in its own zone."""
        texts = find_field(self.summary.envelope, "date")
        found = find_date(_ZONE.sub(rb"\1 +0000", texts[0].encode("utf-8", "replace"))) if texts else None
        return None if found is None else found.date()

    def header_field(self, name: str) -> Iterable[str]:  # noqa: ARG002 # for those that may open a message
        """Not of a summary: the plan's cost says so before."""
        raise AssertionError("a search of summaries asked for a header")

    def text(self, with_header: bool) -> str:  # noqa: ARG002
        """Not of a summary: the plan's cost says so before."""
        raise AssertionError("a search of summaries asked for a body")


class MessageUnderTest(SummaryUnderTest):
    """A message of which everything may be asked. Remembers what was opened."""

    __slots__ = ("_item", "_reader", "_session", "_texts", "_whole")

    def __init__(self, session: Session, item: OpenedItem, number: int) -> None:
        super().__init__(session.open_mailbox().view, lambda _row: item.summary)
        self.move_to(number, item.row)
        self._session = session
        self._item = item
        self._reader: SectionReader | None = None
        self._whole: bytes | None = None
        self._texts: tuple[str, str | None] | None = None

    def header_field(self, name: str) -> Iterable[str]:
        """Every value of a field, decoded; a name that no field can have has none."""
        wanted = name.encode("ascii", "replace")
        return [decode_words(value) for value in HeaderBlock(self._open_head()).find_all(wanted)]

    def text(self, with_header: bool) -> str:
        """The texts of the message, one after another, decoded and folded once; its own header first when asked."""
        header, body = self._folded()
        if body is None:
            return header if with_header else ""
        return f"{header}\n{body}" if with_header else body

    @property
    def entry(self) -> TextEntry | None:
        """The same for the index, when ``text`` was asked for."""
        return None if self._texts is None else make_entry(self._item.row.uid, *self._texts)

    def _folded(self) -> tuple[str, str | None]:
        """Header and body; no body when no part has anything to say."""
        if self._texts is None:
            header = fold(self._header_text(self._open_head()))
            pieces = list(self._part_texts())
            self._texts = header, fold("\n".join(pieces)) if pieces else None
        return self._texts

    def _part_texts(self) -> Iterable[str]:
        for index, row in enumerate(self._open().parsed().parts):
            if index:
                yield self._header_text(self._read(row.header_start, row.body_start))
            if row.content_type.startswith("text/"):
                yield self._decode(row)

    def _decode(self, row: PartRow) -> str:
        octets = self._read(row.body_start, min(row.body_end, row.body_start + TEXT_BYTES))
        return decode_text(decode_body(octets, row.encoding), row.charset)

    def _header_text(self, head: bytes) -> str:
        return decode_words(unfold(head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ")))

    def _open_head(self) -> bytes:
        return self._read(0, self.summary.header_bytes)

    def _read(self, start: int, stop: int) -> bytes:
        if self.summary.size_bytes > WHOLE_BYTES:
            return self._open().read(Span(start, stop))
        if self._whole is None:
            self._whole = self._open().read(Span(0, self.summary.size_bytes))
        return self._whole[start:stop]

    def _open(self) -> SectionReader:
        if self._reader is None:
            session = self._session
            messages, account = session.services.messages, session.open_mailbox().account
            self._reader = SectionReader(messages, account, session.permit_search(), self._item)
        return self._reader
