"""The summary of a finished intake: parsed once, in bounded memory, off the event loop."""

from dataclasses import dataclass, replace

from mailserver.mime.headers import HeaderBlock
from mailserver.mime.limits import DEFAULT_LIMITS
from mailserver.mime.part import Part
from mailserver.mime.preview import first_words
from mailserver.mime.scanner import MessageScanner
from mailserver.mime.summary import HeaderSummary, summarise
from mailserver.service.intake import Intake


@dataclass(frozen=True, slots=True)
class Parsed:
    """The MIME tree, the summary and the header block of one message."""

    root: Part
    summary: HeaderSummary
    head: bytes
    headers: HeaderBlock


def parse_intake(intake: Intake) -> Parsed:
    """Scan a finished intake. Raises OverLimit when headers or steps pass S4's limits."""
    scanner = MessageScanner(DEFAULT_LIMITS)
    for chunk in intake.chunks():
        scanner.feed(chunk)
    root = scanner.close()
    head = intake.read(0, root.body_start)
    headers = HeaderBlock(head) if scanner.headers is None else scanner.headers
    summary = summarise(root, head, intake.size_bytes, headers)
    return Parsed(root, replace(summary, preview=first_words(summary, intake.read)), head, headers)
