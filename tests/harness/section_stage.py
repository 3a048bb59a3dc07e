"""One message as a SectionReader sees it, without a store: what was read of it is counted."""

from dataclasses import dataclass, field

from mailserver.imap.sections import SectionReader
from mailserver.mime.scanner import MessageScanner
from mailserver.mime.summary import summarise
from mailserver.mime.summary_wire import format_summary
from mailserver.service.messages import OpenedItem


@dataclass
class StagedMessage:
    """Stands for ``Messages`` and for its ``MessageReader``."""

    octets: bytes
    reads: list[tuple[int, int]] = field(default_factory=list)

    def section_reader(self) -> SectionReader:
        scanner = MessageScanner()
        scanner.feed(self.octets)
        root = scanner.close()
        summary = format_summary(summarise(root, scanner.head, len(self.octets)))
        return SectionReader(self, None, None, OpenedItem(None, None, summary))

    def reader(self, _account, _item, _size_bytes, _permit):
        return self

    def read(self, start: int, stop: int) -> bytes:
        self.reads.append((start, stop))
        return self.octets[start:stop]

    @property
    def read_bytes(self) -> int:
        return sum(stop - start for start, stop in self.reads)


def stage(encoding: str, body: bytes, content_type: str = "application/octet-stream") -> StagedMessage:
    """A message of one part."""
    head = f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return StagedMessage(head.encode() + body)
