"""Messages under test by a SEARCH: what the key tree asks for, opened only when it asks (RFC 9051 §6.4.4).

Blocking: for the pool. Reading a body or a header beyond the summary needs a MailPermit like any other reading (L1).
Only the first TEXT_BYTES of each text part are looked at, so that no message is ever held whole.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime

from mailserver.imap.envelope_fields import find_field
from mailserver.imap.search import Candidate, fold
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.mime.dates import find_date
from mailserver.mime.decode import decode_body, decode_text
from mailserver.mime.encoded_words import decode_words
from mailserver.mime.headers import HeaderBlock, unfold
from mailserver.mime.section import Span
from mailserver.mime.summary import PartRow
from mailserver.mime.summary_wire import SummaryView
from mailserver.service.messages import OpenedItem
from mailserver.service.text_segment import TextEntry, make_entry

TEXT_BYTES = 1024 * 1024
WHOLE_BYTES = 256 * 1024
"""A message up to this size is opened once, not part by part."""
_ZONE = re.compile(rb"(:[0-9]{2})\s+(?:[+-][0-9]{4}|[A-Za-z]{1,5}).*", re.DOTALL)


class MessageUnderTest:
    """Remembers what was opened for one message."""

    def __init__(self, session: Session, item: OpenedItem) -> None:
        self._session = session
        self._item = item
        self._reader: SectionReader | None = None
        self._whole: bytes | None = None
        self._texts: tuple[str, str | None] | None = None
        self._summary = SummaryView(item.summary)

    def candidate(self, number: int) -> Candidate:
        """The message as a key tree sees it."""
        view, row = self._session.open_mailbox().view, self._item.row
        return Candidate(
            number=number,
            flags=view.flags[number - 1],
            modseq=view.modseqs[number - 1],
            is_recent=view.is_recent(row.uid),
            internal_day=datetime.fromtimestamp(row.received_at, UTC).date(),
            size_bytes=self._summary.size_bytes,
            sent_day=self.sent_day,
            summary_field=self.summary_field,
            header_field=self.header_field,
            text=self.text,
        )

    def sent_day(self) -> date | None:
        """The day that the Date field writes, in its own zone."""
        texts = find_field(self._summary.envelope, "date")
        found = find_date(_ZONE.sub(rb"\1 +0000", texts[0].encode("utf-8", "replace"))) if texts else None
        return None if found is None else found.date()

    def summary_field(self, name: str) -> Iterable[str]:
        return find_field(self._summary.envelope, name)

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
        return self._read(0, self._summary.header_bytes)

    def _read(self, start: int, stop: int) -> bytes:
        if self._summary.size_bytes > WHOLE_BYTES:
            return self._open().read(Span(start, stop))
        if self._whole is None:
            self._whole = self._open().read(Span(0, self._summary.size_bytes))
        return self._whole[start:stop]

    def _open(self) -> SectionReader:
        if self._reader is None:
            session = self._session
            messages, account = session.services.messages, session.open_mailbox().account
            self._reader = SectionReader(messages, account, session.permit(), self._item)
        return self._reader
