"""BODY[…] of one message (RFC 9051 §6.4.5.1): which octets a section names, read in slices of bounded size.

What is sent is what is stored, octet for octet. No section of a message that has no such part: NIL.
"""

from collections.abc import Iterator, Sequence

from mailserver.imap.commands import BodySection, Partial, Section, SectionText
from mailserver.imap.encode import format_body_label, format_literal_mark
from mailserver.mime.section import Span, filter_header_fields, locate_section
from mailserver.mime.summary import HeaderSummary
from mailserver.mime.summary_wire import SummaryView, parse_summary
from mailserver.model.errors import Corrupt, Malformed
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import MailPermit
from mailserver.service.messages import MessageReader, Messages, OpenedItem

SLICE_BYTES = 256 * 1024
_FIELD_TEXTS = frozenset({SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT})


class SectionReader:
    """The octets of one message. Blocking: for the pool."""

    def __init__(
        self, messages: Messages, account: OpenAccount, permit: MailPermit, item: OpenedItem
    ) -> None:
        self._messages = messages
        self._account = account
        self._permit = permit
        self._item = item
        self._reader: MessageReader | None = None
        self._summary: HeaderSummary | None = None

    def pieces(self, section: BodySection) -> Iterator[bytes]:
        """The item's name and its value, in pieces of at most SLICE_BYTES."""
        label = format_body_label(section)
        if section.section.text in _FIELD_TEXTS:
            yield from self._field_pieces(label, section)
            return
        span = self.locate(section.section)
        if span is None:
            yield label + b" NIL"
            return
        span = cut_span(span, section.partial)
        yield label + b" " + format_literal_mark(span.size_bytes)
        yield from self.slices(span)

    def find_content(self, section: Section, partial: Partial | None) -> Iterator[bytes] | None:
        """The section's octets alone, in the same pieces; None when the message has no such part."""
        span = self.locate(section)
        if span is None:
            return None
        if section.text not in _FIELD_TEXTS:
            return self.slices(cut_span(span, partial))
        return iter([self._fields(span, section, partial)])

    def verify(self, sections: Sequence[BodySection]) -> None:
        """Open what these sections will send when it is more than one slice; raises Corrupt.

        Once a literal has begun nothing but closing can tell that it is torn, and a client that asks again each time
        would never get past such a message (S12).
        """
        if self.size_bytes * len(sections) <= SLICE_BYTES:
            return
        located = [(self.locate(each.section), each.partial) for each in sections]
        self.verify_spans([cut_span(span, partial) for span, partial in located if span is not None])

    def verify_spans(self, spans: Sequence[Span]) -> None:
        """As ``verify``, for octets that are sent as they stand."""
        if sum(span.size_bytes for span in spans) > SLICE_BYTES:
            for span in spans:
                for _octets in self.slices(span):
                    pass

    def slices(self, span: Span, step_bytes: int = SLICE_BYTES) -> Iterator[bytes]:
        """The octets of a span, in order, in pieces of at most ``step_bytes``."""
        reader = self._open()
        for start in range(span.start, span.end, step_bytes):
            yield reader.read(start, min(span.end, start + step_bytes))

    def _fields(self, span: Span, section: Section, partial: Partial | None) -> bytes:
        is_inverted = section.text is SectionText.HEADER_FIELDS_NOT
        octets = filter_header_fields(self.read(span), section.fields, invert=is_inverted)
        kept = cut_span(Span(0, len(octets)), partial)
        return octets[kept.start : kept.end]

    def locate(self, section: Section) -> Span | None:
        """Where the section's octets are; those of HEADER for a subset of header fields."""
        if not section.part:
            return _locate_in_message(SummaryView(self._item.summary), section.text)
        text = SectionText.HEADER if section.text in _FIELD_TEXTS else section.text
        words = [*map(str, section.part), *([text.value] if text else [])]
        spans = locate_section(self._parsed(), ".".join(words))
        return spans[0] if spans else None

    def read(self, span: Span) -> bytes:
        """Octets of a span, whole: for headers and bounded texts only."""
        return self._open().read(span.start, span.end)

    def parsed(self) -> HeaderSummary:
        """The message's summary. Raises Corrupt when it cannot be read."""
        return self._parsed()

    def _field_pieces(self, label: bytes, section: BodySection) -> Iterator[bytes]:
        span = self.locate(section.section)
        if span is None:
            yield label + b" NIL"
            return
        octets = self._fields(span, section.section, section.partial)
        yield label + b" " + format_literal_mark(len(octets)) + octets

    @property
    def size_bytes(self) -> int:
        """The message's size as stored."""
        return SummaryView(self._item.summary).size_bytes

    def _parsed(self) -> HeaderSummary:
        if self._summary is None:
            try:
                self._summary = parse_summary(self._item.summary)
            except Malformed:
                raise Corrupt("summary") from None
        return self._summary

    def _open(self) -> MessageReader:
        if self._reader is None:
            self._reader = self._messages.reader(self._account, self._item, self.size_bytes, self._permit)
        return self._reader


def _locate_in_message(summary: SummaryView, text: SectionText) -> Span:
    """Sections of the message itself: two sizes tell, so the list of its parts stays closed."""
    if text is SectionText.ALL:
        return Span(0, summary.size_bytes)
    if text is SectionText.TEXT:
        return Span(summary.header_bytes, summary.size_bytes)
    return Span(0, summary.header_bytes)


def cut_span(span: Span, partial: Partial | None) -> Span:
    """``<offset.count>`` of a span, cut at the section's end (RFC 9051 §6.4.5)."""
    if partial is None:
        return span
    start = min(span.end, span.start + partial.offset)
    return Span(start, min(span.end, start + partial.count))
