"""PREVIEW of the messages of one FETCH (RFC 8970). Blocking: for the pool.

A preview shows the first words of a body, so it needs a MailPermit like any reading of one (L1). Summaries hold it
since version 2; for older ones it is made from the message, or with LAZY left out.
"""

from mailserver.imap.commands import FetchItem
from mailserver.imap.encode import format_string
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.mime.preview import first_words
from mailserver.mime.section import Span
from mailserver.mime.summary_wire import SummaryView
from mailserver.service.messages import OpenedItem

PREVIEW_ITEMS = frozenset({FetchItem.PREVIEW, FetchItem.PREVIEW_LAZY})


class Previews:
    """Made once for each command that asks for previews: by then the reading is in the log."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._permit = session.permit()

    def format_item(self, item: OpenedItem, summary: SummaryView, *, is_lazy: bool) -> bytes:
        """The item and its value; NIL only when it was asked for with LAZY (RFC 8970 §3.2)."""
        preview = summary.preview
        if preview is None:
            if is_lazy:
                return b"PREVIEW NIL"
            preview = self._read(item)
        return b"PREVIEW " + format_string(preview)

    def _read(self, item: OpenedItem) -> bytes:
        session = self._session
        reader = SectionReader(session.services.messages, session.open_mailbox().account, self._permit, item)
        words = first_words(reader.parsed(), lambda start, stop: reader.read(Span(start, stop)))
        return words.encode("utf-8")
