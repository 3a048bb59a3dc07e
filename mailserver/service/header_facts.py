"""What policy needs of a message's header block: authors, ids, marks. Addresses that do not parse are kept as bad."""

import re
from dataclasses import dataclass

from mailserver.mime.addresses import parse_address_list
from mailserver.mime.encoded_words import decode_words
from mailserver.mime.headers import HeaderBlock, find_message_id, find_message_ids
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed

# RFC 6522 §3: what a null sender may carry; RFC 3834 §5: automatic answers
_REPORT = re.compile(rb"\s*multipart/report\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """Facts of one header block. ``authors`` is empty when From is absent; None when an author is no address."""

    authors: tuple[Address, ...] | None
    author_name: str
    reply_to: Address | None
    message_id: str
    answered: str | None
    subject: str
    end_mark: str | None
    receipt_to: Address | None
    is_report: bool
    from_count: int


def read_header_facts(head: bytes) -> HeaderFacts:
    """Read the facts once; never raises."""
    block = HeaderBlock(head)
    raw_from = block.find(b"from") or b""
    answered = find_message_ids(block.find(b"in-reply-to") or b"")
    mark = block.find(b"x-mss-mes")
    automatic = block.find(b"auto-submitted")
    return HeaderFacts(
        _addresses(raw_from),
        next((each.display_name for each in parse_address_list(raw_from).mailboxes), ""),
        _one(block.find(b"reply-to")),
        find_message_id(block.find(b"message-id") or b"") or "",
        answered[0] if answered else None,
        decode_words(block.find(b"subject") or b"").strip(),
        None if mark is None else mark.decode("ascii", "replace"),
        _one(block.find(b"disposition-notification-to")),
        bool(_REPORT.match(block.find(b"content-type") or b""))
        or (automatic is not None and automatic.lower().startswith(b"auto-replied")),
        block.count(b"from"),
    )


def _addresses(value: bytes) -> tuple[Address, ...] | None:
    listed = parse_address_list(value)
    try:
        found = tuple(parse_address(each.text) for each in listed.mailboxes)
    except Malformed:
        return None
    return found if listed.is_complete else None


def _one(value: bytes | None) -> Address | None:
    addresses = _addresses(value or b"")
    return addresses[0] if addresses else None
