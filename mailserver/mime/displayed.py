"""The read receipt of a person who opened a message: a disposition notification of type *displayed* (RFC 8098 §3.2.6).

The person acted and the server sends it by itself; nothing of the original is sent back (RFC 8098 §3 allows that).
Deterministic: time, ids and boundary are arguments.
"""

from dataclasses import dataclass

from mailserver.mime.composer import (
    Letter,
    format_boundary,
    format_delimiter,
    format_letter_header,
    format_multipart_field,
    format_text_part,
)
from mailserver.mime.header_writer import check_message_id, format_field
from mailserver.model.address import Address, DomainName

_TYPE = "disposition-notification"


@dataclass(frozen=True, slots=True, repr=False)
class Displayed:
    """Which message, for whom, on what server."""

    reporter: DomainName
    reader: Address
    original_message_id: str

    def __repr__(self) -> str:
        return "Displayed(…)"


def format_displayed(letter: Letter, nonce: str, displayed: Displayed) -> bytes:
    """The whole notification: ``letter`` is its header and its text for people. Raises Malformed."""
    boundary = format_boundary(nonce, "r")
    address_type = "rfc822;" if displayed.reader.is_ascii else "utf-8;"  # RFC 6533 §3
    fields = b"".join(
        [
            format_field("Reporting-UA", [f"{displayed.reporter};", "Pli"]),
            format_field("Final-Recipient", [address_type, str(displayed.reader)]),
            format_field("Original-Message-ID", [check_message_id(displayed.original_message_id)]),
            format_field("Disposition", ["manual-action/MDN-sent-automatically;", "displayed"]),
        ]
    )
    return b"".join(
        [
            format_letter_header(letter),
            b"Auto-Submitted: auto-replied\r\n",  # RFC 3834 §5: nothing answers a report
            format_multipart_field("report", boundary, _TYPE),
            b"\r\n",
            format_delimiter(boundary),
            format_text_part(letter.text, "plain"),
            format_delimiter(boundary),
            format_field("Content-Type", [f"message/{_TYPE}"]),
            b"" if fields.isascii() else b"Content-Transfer-Encoding: 8bit\r\n",
            b"\r\n",
            fields,
            format_delimiter(boundary, is_last=True),
        ]
    )
