"""APPEND and REPLACE, line by line between their literals (RFC 4466 §6 append-message, RFC 4469 §5, RFC 8508 §5)."""

from mailserver.imap.commands import (
    Append,
    MessageBegins,
    MessageEnds,
    OctetsFollow,
    Replace,
    Step,
    UrlPart,
)
from mailserver.imap.cursor import Cursor
from mailserver.imap.framing import RawCommand
from mailserver.imap.parse_mailboxes import MOST_FLAGS
from mailserver.model.errors import Malformed

URL_BYTES = 4096


def parse_append(cursor: Cursor) -> Append:
    """From the mailbox to the first literal, or to the end of a command that has none."""
    mailbox = cursor.mailbox()
    return Append(mailbox, _parse_messages(cursor))


def parse_replace(cursor: Cursor, uid: bool) -> Replace:
    """RFC 8508 §5: one message gives way to one."""
    message = cursor.sequence_set(may_be_saved=False)
    if len(message.ranges) > 1 or message.ranges[0][0] != message.ranges[0][1]:
        raise Malformed("one_message_only")
    cursor.space()
    mailbox = cursor.mailbox()
    steps = _parse_messages(cursor)
    _demand_one(steps, before=0)
    return Replace(message, mailbox, steps, uid)


def parse_further(raw: RawCommand, after: OctetsFollow, *, is_only: bool) -> tuple[Step, ...]:
    """What follows a literal, up to the next one or to the end; ``is_only``: no further message (REPLACE).

    Raises Malformed.
    """
    cursor = Cursor(raw)
    if after.is_utf8:
        cursor.need(b")")
    steps = _parse_parts(cursor) if after.is_part else (MessageEnds(),)
    if MessageEnds() in steps and not cursor.is_at_end():
        steps = (*steps, *_parse_messages(cursor))
    if is_only:
        _demand_one(steps, before=1)
    cursor.end()
    return steps


def _demand_one(steps: tuple[Step, ...], *, before: int) -> None:
    if before + sum(isinstance(step, MessageBegins) for step in steps) > 1:
        raise Malformed("one_message_only")


def _parse_messages(cursor: Cursor) -> tuple[Step, ...]:
    """``1*(SP append-message)``, of which only the last may wait for octets."""
    steps: list[Step] = []
    while not steps or not cursor.is_at_end():
        steps += _parse_message(cursor)
        if isinstance(steps[-1], OctetsFollow):
            break
    return tuple(steps)


def _parse_message(cursor: Cursor) -> tuple[Step, ...]:
    """``SP [flag-list SP] [date-time SP] append-data``."""
    cursor.space()
    flags: tuple[str, ...] = ()
    if cursor.is_before(b"("):
        flags = cursor.listed(cursor.flag, most=MOST_FLAGS, may_be_empty=True)
        cursor.space()
    date = None
    if cursor.is_before(b'"'):
        date = cursor.date_time()
        cursor.space()
    begin = MessageBegins(tuple(dict.fromkeys(flags)), date)
    if cursor.skip_word(b"UTF8 (~"):  # RFC 6855 §4
        return begin, OctetsFollow(cursor.streamed_bytes(), is_binary=True, is_utf8=True)
    if not cursor.skip_word(b"CATENATE ("):
        is_binary = cursor.skip(b"~")
        return begin, OctetsFollow(cursor.streamed_bytes(), is_binary=is_binary)
    return begin, *_parse_parts(cursor, is_first=True)


def _parse_parts(cursor: Cursor, *, is_first: bool = False) -> tuple[Step, ...]:
    """``cat-part *(SP cat-part) ")"``, as far as the next literal of a TEXT."""
    steps: list[Step] = []
    while is_first or not cursor.skip(b")"):
        if not is_first:
            cursor.space()
        is_first = False
        if cursor.skip_word(b"TEXT "):
            return (*steps, OctetsFollow(cursor.streamed_bytes(), is_part=True))
        if cursor.skip_word(b"UTF8 (~"):  # RFC 6855 §4
            octets = OctetsFollow(cursor.streamed_bytes(), is_part=True, is_binary=True, is_utf8=True)
            return (*steps, octets)
        if not cursor.skip_word(b"URL "):
            raise Malformed("bad_part")
        url = cursor.astring()
        if len(url) > URL_BYTES:
            raise Malformed("too_long")
        steps.append(UrlPart(url))
    return (*steps, MessageEnds())
