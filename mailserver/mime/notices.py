"""Notices that come back about a message: delivery reports (RFC 3464) and disposition notifications (RFC 8098), in
every spelling known (facts/mssante §3.6). What is malformed is no notice, only mail.

A notice is known by its machine part, the child of a multipart/report, wherever that stands outside an enclosed
message; a subject alone says nothing. Pure; reads a bounded number of octets.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mailserver.mime.encoded_words import decode_words
from mailserver.mime.headers import HeaderBlock, find_message_id
from mailserver.mime.part import Part
from mailserver.mime.report_parts import (
    MACHINE_BYTES,
    STATUSES,
    Read,
    find_machine_part,
    find_once,
    find_original,
    read_head,
    read_part,
    reported_names,
    split_groups,
)
from mailserver.model.address import Address
from mailserver.model.notice import NoticeState

_DISPOSITIONS = frozenset({"message/disposition-notification", "message/global-disposition-notification"})
_MACHINE_TYPES = _DISPOSITIONS | STATUSES
# disposition-mode ";" disposition-type [ "/" modifier ] (RFC 8098 §3.2.6); the mode is left out by some
_DISPOSITION = re.compile(rb"(?:[^;^]*+;)?+[ \t]*+([A-Za-z]++)[ \t;]*+(?:/(.*+))?+", re.DOTALL)
_IS_FAILURE = re.compile(rb"[ \t,]*+(?:error|failure|failed)\b", re.IGNORECASE)
_CODE = re.compile(rb"(?:^|[\s:;,/])(90[0-6])(?![0-9])")
_SUBJECT_CODE = re.compile(r"\[[^\[\]]{1,40}int[ée]gration[^\[\]]{0,20}\][ ]?\[(90[0-6])\]", re.IGNORECASE)
_TYPES = {
    b"displayed": NoticeState.DISPLAYED,
    b"dispatched": NoticeState.DISPATCHED,
    b"processed": NoticeState.PROCESSED,
    b"deleted": NoticeState.DELETED,
    b"failed": NoticeState.FAILED,  # of the standard before RFC 8098
}
_ACTIONS = {
    b"failed": NoticeState.FAILED,
    b"delivered": NoticeState.DELIVERED,
    b"relayed": NoticeState.RELAYED,
    b"expanded": NoticeState.RELAYED,  # RFC 3464 §2.3.3: delivered to a list, which answers for itself
}


@dataclass(frozen=True, slots=True, repr=False)
class RecipientNews:
    """What a notice says of one recipient: the addresses it may have been known by, the original one first; a code of
    900–906 with a failure, else 0. ``original`` is the one that the sender wrote to, where the notice says so.
    """

    names: tuple[Address, ...]
    state: NoticeState
    code: int = 0
    original: Address | None = None

    def __repr__(self) -> str:
        return f"RecipientNews({self.state}, {self.code})"


@dataclass(frozen=True, slots=True, repr=False)
class MessageNotice:
    """A notice about the message with this Message-ID, brackets kept. ``is_disposition``: of the recipient's own doing,
    not of a server on the way.
    """

    original_id: str
    is_disposition: bool
    news: tuple[RecipientNews, ...]

    def __repr__(self) -> str:
        return f"MessageNotice({self.news!r})"


def find_notice(root: Part, read: Read) -> MessageNotice | None:
    """The one notice in a message; None for everything else."""
    found = find_machine_part(root, _MACHINE_TYPES)
    if found is None:
        return None
    report, part = found
    octets = read_part(part, read, MACHINE_BYTES).lstrip(b"\r\n")
    head = read_head(root, read)
    is_disposition = part.content.content_type in _DISPOSITIONS
    stated = None
    if is_disposition:
        fields = HeaderBlock(octets)
        news = _disposition_news(fields, head)
        stated = find_message_id(fields.find(b"original-message-id") or b"")
    else:
        news = _status_news(octets)
    original_id = stated or _enclosed_id(report, read) or _answered_id(head)
    return MessageNotice(original_id, is_disposition, news) if news and original_id else None


def _disposition_news(fields: HeaderBlock, head: HeaderBlock) -> tuple[RecipientNews, ...]:
    value = find_once(fields, b"disposition")
    match = _DISPOSITION.fullmatch(value or b"")
    state = _TYPES.get(match[1].lower()) if match else None
    if match is None or state is None:
        return ()
    modifier = match[2] or b""
    errors = [each for name in (b"error", b"failure") for each in fields.find_all(name) if each]
    names = reported_names([fields.find(b"original-recipient"), fields.find(b"final-recipient")])
    original = next(iter(reported_names([find_once(fields, b"original-recipient")])), None)
    if not errors and not _has_failed(modifier) and state is not NoticeState.FAILED:
        return (RecipientNews(names, state, original=original),)
    code = _code_of([modifier, *errors], head)
    return (RecipientNews(names, NoticeState.FAILED, code, original),)


def _has_failed(modifier: bytes) -> bool:
    """RFC 8098 §3.2.6.3: several modifiers are parted by commas."""
    return any(_IS_FAILURE.match(each) for each in modifier.split(b",", 20)[:20])


def _code_of(texts: Iterable[bytes], head: HeaderBlock) -> int:
    for text in texts:
        if match := _CODE.search(text[:500]):
            return int(match[1])
    stated = _SUBJECT_CODE.search(decode_words(head.find(b"subject") or b"")[:500])
    return int(stated[1]) if stated else 0


def _status_news(octets: bytes) -> tuple[RecipientNews, ...]:
    """RFC 3464 §2.1: groups of fields parted by empty lines; those of a recipient have an action."""
    found = []
    for fields in split_groups(octets):
        words = (find_once(fields, b"action") or b"").split(None, 1)
        state = _ACTIONS.get(words[0].lower()) if words else None
        names = reported_names([fields.find(b"original-recipient"), fields.find(b"final-recipient")])
        if state is not None and names:
            found.append(RecipientNews(names, state))
    return tuple(found)


def _enclosed_id(report: Part, read: Read) -> str | None:
    """The Message-ID of the original that came back with the report, whole or its header."""
    original = find_original(report, read)
    return None if original is None else _one_id(original, b"message-id")


def _answered_id(head: HeaderBlock) -> str | None:
    return _one_id(head, b"in-reply-to")


def _one_id(fields: HeaderBlock, name: bytes) -> str | None:
    value = find_once(fields, name)
    return find_message_id(value) if value is not None else None
