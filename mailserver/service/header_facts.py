"""What policy needs of a message's header block: authors, ids, marks. Addresses are read strictly: one mailbox or none."""

import re
from dataclasses import dataclass

from mailserver.documents.mss_headers import StatedMss, read_mss_headers
from mailserver.mime.encoded_words import decode_words
from mailserver.mime.headers import HeaderBlock, find_message_id, find_message_ids
from mailserver.mime.strict_address import VALUE_BYTES, NamedAddress, parse_named_address
from mailserver.model.address import Address
from mailserver.model.errors import Malformed

# RFC 6522 §3: what a null sender may carry; RFC 3834 §5: automatic answers
_REPORT = re.compile(rb"\s*multipart/report\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """Facts of one header block. ``authors`` is empty when From is absent; None when it is not plain addresses alone.

    ``return_path`` is the first one, which delivery writes; None for the null sender. ``delivery_notice_to``: of
    Return-Receipt-To, which older programs write in place of a NOTIFY. ``is_report``: what a null sender may carry;
    ``is_automatic``: nobody typed it (a report, or Auto-Submitted).
    """

    authors: tuple[Address, ...] | None
    author_name: str
    reply_to: Address | None
    message_id: str
    answered: str | None
    subject: str
    mss: StatedMss
    receipt_to: Address | None
    return_path: Address | None
    delivery_notice_to: Address | None
    is_report: bool
    is_automatic: bool
    from_count: int


def read_header_facts(block: HeaderBlock) -> HeaderFacts:
    """Read the facts once; never raises."""
    author = _one(block, b"from")
    answered = find_message_ids(block.find(b"in-reply-to") or b"")
    automatic = (block.find(b"auto-submitted") or b"no").lower()
    is_multipart_report = bool(_REPORT.match(block.find(b"content-type") or b""))
    return HeaderFacts(
        _authors(block, author),
        "" if author is None else author.name,
        _address(_one(block, b"reply-to")),
        find_message_id(block.find(b"message-id") or b"") or "",
        answered[0] if answered else None,
        decode_words(block.find(b"subject") or b""),
        read_mss_headers(block),
        _address(_one(block, b"disposition-notification-to")),
        _return_path(block),
        _address(_one(block, b"return-receipt-to")),
        is_multipart_report or automatic.startswith(b"auto-replied"),
        is_multipart_report or automatic.partition(b";")[0].strip() != b"no",
        block.count(b"from"),
    )


def _authors(block: HeaderBlock, author: NamedAddress | None) -> tuple[Address, ...] | None:
    if author is not None:
        return (author.address,)
    value = block.find(b"from")
    if not value:
        return ()
    if len(value) > VALUE_BYTES:
        return None
    try:
        # a plain list has its own refusal; a comma that is not between two mailboxes makes none
        return tuple(parse_named_address(each).address for each in value.split(b","))
    except Malformed:
        return None


def _one(block: HeaderBlock, name: bytes) -> NamedAddress | None:
    """The address of a field that occurs once; None when two readers could find two."""
    values = block.find_all(name)
    if len(values) != 1:
        return None
    try:
        return parse_named_address(values[0])
    except Malformed:
        return None


def _return_path(block: HeaderBlock) -> Address | None:
    try:
        return parse_named_address(block.find(b"return-path") or b"").address
    except Malformed:
        return None


def _address(named: NamedAddress | None) -> Address | None:
    return None if named is None else named.address
