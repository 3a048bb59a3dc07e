"""Reports that we write: delivery status (RFC 3464) and the receipt of an integrated document (RFC 8098).

Both are multipart/report (RFC 6522) with three parts. The original goes out with its line ends normalised (S1);
it is streamed, never held.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailserver.mime.composer import (
    Letter,
    format_boundary,
    format_delimiter,
    format_letter_header,
    format_multipart_field,
    format_text_part,
)
from mailserver.mime.dates import format_date
from mailserver.mime.header_writer import check_message_id, check_value, format_field
from mailserver.model.address import Address, DomainName
from mailserver.model.errors import Malformed

_LONE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_STATUS = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}")  # RFC 3463 §2
_CODE = re.compile(r"[0-9]{3}")


class DeliveryAction(StrEnum):
    """RFC 3464 §2.3.3; we expand for nobody. RELAYED: to a server that makes no reports of its own."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True, repr=False)
class RecipientStatus:
    """One recipient's fate. ``diagnostic`` is the remote reply, one line, may be empty; ``original`` is the address that
    the sender gave with ORCPT, may be empty; ``retry_until`` is for a delay.
    """

    recipient: Address
    action: DeliveryAction
    status: str
    remote: DomainName | None = None
    diagnostic: str = ""
    original: str = ""
    retry_until: datetime | None = None

    def __post_init__(self) -> None:
        if not _STATUS.fullmatch(self.status):
            raise Malformed("status")

    def __repr__(self) -> str:
        return f"RecipientStatus({self.action}, {self.status})"


@dataclass(frozen=True, slots=True, repr=False)
class DsnFacts:
    """What a report says of the message: who reports, when it came, and the sender's own ENVID (may be empty)."""

    reporter: DomainName
    arrival: datetime
    envelope_id: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Original:
    """The message that a report is about, in chunks: its header block, or all of it."""

    chunks: Iterable[bytes]
    is_whole: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Receipt:
    """What an MDN says of one message (facts/mssante §3.6). ``error`` is (code 900-906, label), or None."""

    reporter: str
    recipient: Address
    original_message_id: str
    original_subject: str
    error: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.error and not _CODE.fullmatch(self.error[0]):
            raise Malformed("receipt-code")

    def __repr__(self) -> str:
        return f"Receipt({self.error[0] if self.error else 'processed'})"


def stream_dsn(
    letter: Letter, nonce: str, facts: DsnFacts, statuses: Iterable[RecipientStatus], original: Original
) -> Iterator[bytes]:
    """A delivery status notification: ``letter`` (its text for people), one group per recipient, and the original.
    The envelope sender is the caller's to leave empty (RFC 3464 §2). Malformed.
    """
    head = [
        format_field("Reporting-MTA", ["dns;", str(facts.reporter)]),
        format_field("Arrival-Date", format_date(facts.arrival).split(" ")),
    ]
    if facts.envelope_id:  # RFC 3464 §2.2.1
        head.insert(0, format_field("Original-Envelope-Id", [facts.envelope_id]))
    fields = b"\r\n".join(b"".join(group) for group in [head, *map(_format_status, statuses)])
    if original.is_whole:
        types = ("delivery-status", "message/delivery-status", "message/rfc822")
        return _stream_report(letter, nonce, types, fields, normalise_lines(original.chunks))
    header = _normalise(b"".join(original.chunks)).rstrip(b"\r\n") + b"\r\n"
    types = ("delivery-status", "message/delivery-status", "text/rfc822-headers")
    return _stream_report(letter, nonce, types, fields, [header])


def _format_status(status: RecipientStatus) -> list[bytes]:
    fields = [
        format_field("Final-Recipient", [_address_type(status.recipient), str(status.recipient)]),
        format_field("Action", [status.action.value]),
        format_field("Status", [status.status]),
    ]
    if status.original:  # RFC 3464 §2.3.1
        fields.insert(0, format_field("Original-Recipient", ["rfc822;", status.original]))
    if status.remote:
        fields.append(format_field("Remote-MTA", ["dns;", str(status.remote)]))
    if status.diagnostic:
        text = check_value(status.diagnostic)[:500].encode("ascii", "replace").decode()
        fields.append(format_field("Diagnostic-Code", ["smtp;", *text.split()]))
    if status.retry_until:  # RFC 3464 §2.3.9
        fields.append(format_field("Will-Retry-Until", format_date(status.retry_until).split(" ")))
    return fields


def _address_type(address: Address) -> str:
    return "rfc822;" if address.is_ascii else "utf-8;"  # RFC 6533 §3


def receipt_subject(receipt: Receipt) -> str:
    """The original's subject; on failure the national prefix before it (facts/mssante §3.6)."""
    if receipt.error is None:
        return receipt.original_subject
    return f"[KO Intégration système !][{receipt.error[0]}] {receipt.original_subject}"


def stream_mdn(letter: Letter, nonce: str, receipt: Receipt, original: Iterable[bytes]) -> Iterator[bytes]:
    """A disposition notification with the whole original, as the national guide shows it. Malformed.

    ``letter.subject`` is ``receipt_subject(receipt)``; ``original`` yields the stored octets.
    """
    recipient = [_address_type(receipt.recipient), str(receipt.recipient)]
    outcome = "processed/error" if receipt.error else "processed"
    fields = [
        format_field("Reporting-UA", check_value(receipt.reporter).split()),
        format_field("Original-Recipient", recipient),
        format_field("Final-Recipient", recipient),
        format_field("Original-Message-ID", [check_message_id(receipt.original_message_id)]),
        format_field("Disposition", ["automatic-action/MDN-sent-automatically;", outcome]),
    ]
    if receipt.error:
        code, label = receipt.error
        fields.append(format_field("Error", f"{code}^{check_value(label)}".split()))
    types = ("disposition-notification", "message/disposition-notification", "message/rfc822")
    return _stream_report(letter, nonce, types, b"".join(fields), normalise_lines(original))


def _stream_report(
    letter: Letter, nonce: str, types: tuple[str, str, str], fields: bytes, original: Iterable[bytes]
) -> Iterator[bytes]:
    report_type, fields_type, original_type = types
    boundary = format_boundary(nonce, "r")
    delimiter = format_delimiter(boundary)
    head = b"".join(
        [
            format_letter_header(letter),
            b"Auto-Submitted: auto-replied\r\n",  # RFC 3834 §5: nothing answers a report
            format_multipart_field("report", boundary, report_type),
            delimiter,
            format_text_part(letter.text, "plain"),
            delimiter,
            format_field("Content-Type", [fields_type]),
            b"" if fields.isascii() else b"Content-Transfer-Encoding: 8bit\r\n",
            b"\r\n",
            fields,
            delimiter,
            format_field("Content-Type", [original_type]),
            b"Content-Transfer-Encoding: 8bit\r\n\r\n",
        ]
    )
    return _emit_report(head, original, format_delimiter(boundary, is_last=True))


def _emit_report(head: bytes, original: Iterable[bytes], last: bytes) -> Iterator[bytes]:
    yield head
    yield from original
    yield last


def normalise_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines, each ending in CRLF; NUL is dropped (S1: what we send is normalised)."""
    is_pending = False
    for chunk in chunks:
        octets = chunk.replace(b"\0", b"")
        if is_pending:
            octets = b"\r" + octets
        is_pending = octets.endswith(b"\r")
        yield _LONE.sub(b"\r\n", octets[:-1] if is_pending else octets)
    if is_pending:
        yield b"\r\n"


def _normalise(octets: bytes) -> bytes:
    return _LONE.sub(b"\r\n", octets.replace(b"\0", b""))
