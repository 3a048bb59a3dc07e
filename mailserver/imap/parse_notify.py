"""NOTIFY's arguments (RFC 5465 §8). Stands after the verb and its space."""

from mailserver.imap.commands import FetchItem, Notify, NotifyEvent, NotifyFilter, NotifyGroup, SectionItem
from mailserver.imap.cursor import Cursor
from mailserver.imap.parse_messages import parse_fetch_list
from mailserver.model.errors import Malformed

_MOST_GROUPS = 32
_MOST_NAMES = 256
_MOST_EVENTS = 16
_MESSAGES = frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE})
_OF_MESSAGES = _MESSAGES | {NotifyEvent.FLAG_CHANGE}
_NAMED = frozenset({NotifyFilter.SUBTREE, NotifyFilter.MAILBOXES})
_Items = tuple[FetchItem | SectionItem, ...]


def parse_notify(cursor: Cursor) -> Notify:
    """Malformed ``bad_events`` for events that do not go together (RFC 5465 §5)."""
    match cursor.keyword():
        case "NONE":
            return Notify(())
        case "SET":
            return _parse_set(cursor)
        case _:
            raise Malformed("bad_parameter")


def _parse_set(cursor: Cursor) -> Notify:
    cursor.space()
    wants_status = not cursor.is_before(b"(")
    if wants_status:
        if cursor.keyword() != "STATUS":
            raise Malformed("bad_parameter")
        cursor.space()
    groups: list[NotifyGroup] = []
    unknown: list[str] = []
    while True:
        if len(groups) == _MOST_GROUPS:
            raise Malformed("too_many_items")
        groups.append(_parse_group(cursor, unknown))
        if not cursor.skip(b" "):
            break
    if sum(group.filter.is_selected for group in groups) > 1:
        raise Malformed("bad_parameter", "selected twice")
    return Notify(tuple(groups), wants_status, tuple(dict.fromkeys(unknown)))


def _parse_group(cursor: Cursor, unknown: list[str]) -> NotifyGroup:
    cursor.need(b"(")
    try:
        chosen = NotifyFilter(cursor.keyword())
    except ValueError:
        raise Malformed("bad_parameter") from None
    names: tuple[str, ...] = ()
    if chosen in _NAMED:
        cursor.space()
        if cursor.is_before(b"("):
            names = cursor.listed(cursor.mailbox, most=_MOST_NAMES)
        else:
            names = (cursor.mailbox(),)
    cursor.space()
    events: set[NotifyEvent] = set()
    items: _Items = ()
    if cursor.is_before(b"("):
        for event, wanted in cursor.listed(lambda: _parse_event(cursor, chosen, unknown), most=_MOST_EVENTS):
            events |= {event} if event is not None else set()
            items += wanted
    elif cursor.keyword() != "NONE":
        raise Malformed("bad_parameter")
    cursor.need(b")")
    if chosen.is_selected and events - _OF_MESSAGES:
        raise Malformed("bad_events", "of the selected mailbox its messages alone")
    has_messages = events & _MESSAGES
    if has_messages and has_messages != _MESSAGES:
        raise Malformed("bad_events", "MessageNew and MessageExpunge go together")
    if NotifyEvent.FLAG_CHANGE in events and not has_messages:
        raise Malformed("bad_events", "FlagChange needs MessageNew")
    return NotifyGroup(chosen, names, frozenset(events), items)


def _parse_event(
    cursor: Cursor, chosen: NotifyFilter, unknown: list[str]
) -> tuple[NotifyEvent | None, _Items]:
    name = cursor.keyword()
    try:
        event = NotifyEvent(name)
    except ValueError:
        unknown.append(name)
        return None, ()
    items: _Items = ()
    if event is NotifyEvent.MESSAGE_NEW and cursor.is_before(b" ("):
        if not chosen.is_selected:
            raise Malformed("bad_events", "only the selected mailbox's messages are fetched")
        cursor.space()
        items = parse_fetch_list(cursor)
    return event, items
