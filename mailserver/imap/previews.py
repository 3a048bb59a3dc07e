"""PREVIEW of the messages of one FETCH (RFC 8970). Blocking: for the pool.

A preview shows the first words of a body, so it needs a MailPermit like any reading of one (L1). Summaries hold it
since version 2; for older ones it is made from the message, or with LAZY left out. In a shared box LAZY gives none: a
listing would open every message there.
"""

from mailserver.imap.commands import FetchItem
from mailserver.imap.encode import format_string
from mailserver.imap.sections import SectionReader
from mailserver.imap.session import Session
from mailserver.mime.preview import first_words
from mailserver.mime.section import Span
from mailserver.mime.summary_wire import SummaryView
from mailserver.service.mail_permit import MailPermit
from mailserver.service.messages import OpenedItem

PREVIEW_ITEMS = frozenset({FetchItem.PREVIEW, FetchItem.PREVIEW_LAZY})


class Previews:
    """Made once for each command that asks for previews. Of a shared box the reading of each page is logged before it
    is written (``FetchStream``); what was not is logged here, one by one.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        is_shared = session.open_mailbox().account.member is not None
        self._permit = None if is_shared else session.permit()

    def format_value(self, item: OpenedItem, summary: SummaryView, *, is_lazy: bool) -> bytes:
        """The item's value; NIL only when it was asked for with LAZY (RFC 8970 §3.2)."""
        if self._permit is None and is_lazy:
            return b"NIL"
        permit = self._permit or self._session.permit_pieces([item])
        preview = summary.preview
        if preview is None:
            if is_lazy:
                return b"NIL"
            preview = self._read(item, permit)
        return format_string(preview)

    def _read(self, item: OpenedItem, permit: MailPermit) -> bytes:
        session = self._session
        reader = SectionReader(session.services.messages, session.open_mailbox().account, permit, item)
        words = first_words(reader.parsed(), lambda start, stop: reader.read(Span(start, stop)))
        return words.encode("utf-8")
