"""NOTIFY (RFC 5465): telling a client, without being asked, what it wanted to know of mailboxes that it has not
selected, and how the selected one is told.

What a mailbox looked like when it was last told is remembered; one look at the account's mailboxes finds what is
different. The change feed only says that there is something.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailserver.imap.commands import Notify, NotifyEvent, NotifyFilter, NotifyGroup, StatusItem
from mailserver.imap.encode import (
    DELIMITER,
    format_list,
    format_metadata_change,
    format_old_name,
    format_status,
)
from mailserver.imap.listing import SPECIAL_USE, SPECIAL_USE_ENTRY
from mailserver.imap.states import Feature
from mailserver.model.account import Role
from mailserver.model.ids import MailboxId
from mailserver.service.annotations import Entries
from mailserver.service.boxes import NAMESPACE
from mailserver.service.named_mailboxes import NamedMailbox

_MESSAGE_EVENTS = frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE})
_READING_EVENTS = _MESSAGE_EVENTS | {NotifyEvent.MAILBOX_METADATA_CHANGE, NotifyEvent.SERVER_METADATA_CHANGE}


@dataclass(frozen=True, slots=True)
class _Known:
    """A mailbox as the client was last told of it. ``entries``: names of its annotations with a hash of their values;
    ``server_entries``: the account's.
    """

    name: str
    role: Role
    is_subscribed: bool
    uidvalidity: int
    exists: int
    uidnext: int
    unseen: int
    modseq: int
    entries: frozenset[tuple[str, int]]
    server_entries: frozenset[tuple[str, int]]


class Notifier:
    """One per connection, from NOTIFY SET on. Pure but for what it is given to look at."""

    def __init__(self, command: Notify) -> None:
        self._groups = command.groups
        self._known: dict[MailboxId, _Known] = {}
        self._selected = next((group for group in command.groups if group.filter.is_selected), None)

    @property
    def tells_selected(self) -> bool:
        """Whether changes of the selected mailbox are told between commands and during IDLE (RFC 5465 §3.1, §4)."""
        return self._selected is not None and bool(self._selected.events)

    @property
    def delays_expunges(self) -> bool:
        """SELECTED-DELAYED (RFC 5465 §6.2): message numbers stay until a command allows them to move."""
        return self._selected is not None and self._selected.filter is NotifyFilter.SELECTED_DELAYED

    @property
    def selected(self) -> NotifyGroup | None:
        return self._selected

    @property
    def watches_others(self) -> bool:
        return any(not group.filter.is_selected for group in self._groups)

    def learn(self, mailboxes: Iterable[NamedMailbox]) -> None:
        """Take the present state as told."""
        self._known = {each.mailbox_id: _known(each) for each in mailboxes}

    def learn_own(self, mailboxes: Iterable[NamedMailbox], name: str) -> None:
        """What this client itself did with a name is no news (RFC 5465 §5): of that mailbox, its superiors and inferiors
        all is told but what happened to their messages.
        """
        present = {each.mailbox_id: each for each in mailboxes}
        known = {key: was for key, was in self._known.items() if key in present or was.name != name}
        for mailbox_id, each in present.items():
            if _is_near(each.name, name):
                now = _known(each)
                was = known.get(mailbox_id, now)
                counts = (was.uidvalidity, was.exists, was.uidnext, was.unseen, was.modseq)
                labels = (now.name, now.role, now.is_subscribed)
                known[mailbox_id] = _Known(*labels, *counts, now.entries, now.server_entries)
        self._known = known

    def format_refusals(self, mailboxes: Iterable[NamedMailbox], *, is_utf8: bool) -> list[bytes]:
        """What is watched and may be listed, but not read (RFC 5465 §3.1)."""
        return [
            format_list(["\\NoAccess"], each.name, is_utf8=is_utf8)
            for each in mailboxes
            if not each.may_read and self._events_wanted(each)
        ]

    def format_states(
        self, mailboxes: Iterable[NamedMailbox], selected: MailboxId | None, enabled: set[Feature]
    ) -> list[bytes]:
        """STATUS of every other mailbox whose messages are watched (NOTIFY SET STATUS, RFC 5465 §3.1)."""
        return [
            _format_state(_known(each), _MESSAGE_EVENTS, enabled)
            for each in mailboxes
            if each.mailbox_id != selected and self._events_of(each) & _MESSAGE_EVENTS
        ]

    def format_news(
        self, mailboxes: list[NamedMailbox], selected: MailboxId | None, enabled: set[Feature]
    ) -> list[bytes]:
        """What is different from what was told, as LIST, STATUS and METADATA responses; it is told with this."""
        is_utf8 = not enabled.isdisjoint({Feature.UTF8, Feature.REV2})
        before, now = self._known, {each.mailbox_id: _known(each) for each in mailboxes}
        events = {each.mailbox_id: self._events_of(each) for each in mailboxes}
        affected = self._names_affected(now, events)
        by_name = {each.name: each for each in now.values()} if affected else {}
        superiors = {above for name in by_name for above in _superiors(name)}
        responses = [
            _format_name(name, old, by_name.get(name), has_children=name in superiors, is_utf8=is_utf8)
            for name, old in affected.items()
        ]
        for mailbox_id, each in now.items():
            was = before.get(mailbox_id)
            if mailbox_id != selected:
                changed = _changes(was, each) & events[mailbox_id]
                if changed:
                    responses.append(_format_state(each, changed, enabled))
            if was is not None:
                responses += self._format_entries(was, each, events[mailbox_id], is_utf8=is_utf8)
        self._known = now
        return responses

    def _names_affected(
        self, now: dict[MailboxId, _Known], events: dict[MailboxId, frozenset[NotifyEvent]]
    ) -> dict[str, str | None]:
        """Names to list, with the old one of what was renamed (RFC 5465 §5.4, §5.5)."""
        found: dict[str, str | None] = {}
        for mailbox_id, gone in self._known.items():
            if mailbox_id not in now and NotifyEvent.MAILBOX_NAME in self._events_named(gone.name):
                self._affect(found, gone.name)
        both = [(self._known[each], now[each]) for each in now.keys() & self._known.keys()]
        moves = {was.name: each.name for was, each in both if was.name != each.name}
        for mailbox_id, each in now.items():
            was, wanted = self._known.get(mailbox_id), events[mailbox_id]
            if was is None:
                if NotifyEvent.MAILBOX_NAME in wanted:
                    self._affect(found, each.name)
            elif was.name != each.name:
                if NotifyEvent.MAILBOX_NAME in wanted and not _follows(was.name, each.name, moves):
                    found[each.name] = was.name
            elif was.is_subscribed != each.is_subscribed and NotifyEvent.SUBSCRIPTION_CHANGE in wanted:
                found.setdefault(each.name)
        return found

    def _affect(self, found: dict[str, str | None], name: str) -> None:
        """A mailbox that was made or deleted, and its direct parent, a mailbox or not."""
        found.setdefault(name)
        parent = name.rpartition(DELIMITER)[0]
        if parent and NotifyEvent.MAILBOX_NAME in self._events_named(parent):
            found.setdefault(parent)

    def _format_entries(
        self, was: _Known, now: _Known, events: frozenset[NotifyEvent], *, is_utf8: bool
    ) -> list[bytes]:
        """RFC 5465 §5.6, §5.7: the names of annotations that changed, those that were taken away too."""
        told = []
        names = sorted({name for name, _value in was.entries ^ now.entries})
        if names and NotifyEvent.MAILBOX_METADATA_CHANGE in events:
            told.append(format_metadata_change(now.name, names, is_utf8=is_utf8))
        names = sorted({name for name, _value in was.server_entries ^ now.server_entries})
        if names and any(NotifyEvent.SERVER_METADATA_CHANGE in group.events for group in self._groups):
            told.append(format_metadata_change("", names, is_utf8=is_utf8))
        return told

    def _events_of(self, mailbox: NamedMailbox) -> frozenset[NotifyEvent]:
        """Those wanted; of what is in a mailbox nothing is told to who may not read it."""
        events = self._events_wanted(mailbox)
        return events if mailbox.may_read else events - _READING_EVENTS

    def _events_wanted(self, mailbox: NamedMailbox) -> frozenset[NotifyEvent]:
        """Of every group that covers a mailbox (RFC 5465 §6)."""
        groups = (
            group.events for group in self._groups if not group.filter.is_selected and _covers(group, mailbox)
        )
        return frozenset[NotifyEvent]().union(*groups)

    def _events_named(self, name: str) -> frozenset[NotifyEvent]:
        """The events of a mailbox of which only the name is left."""
        groups = (
            group.events
            for group in self._groups
            if not group.filter.is_selected and _covers_name(group, name)
        )
        return frozenset[NotifyEvent]().union(*groups)


def _follows(old: str, new: str, moves: Mapping[str, str]) -> bool:
    """Whether a mailbox has its new name from a superior that was renamed: no event of its own (RFC 5465 §5.4)."""
    return any(
        new == renamed + old[len(above) :]
        for above in _superiors(old)
        if (renamed := moves.get(above)) is not None
    )


def _superiors(name: str) -> Iterator[str]:
    """The names above a name, the nearest first."""
    while DELIMITER in name:
        name = name.rpartition(DELIMITER)[0]
        yield name


def _is_near(one: str, other: str) -> bool:
    """Whether the names are equal, or one is below the other."""
    return one == other or one.startswith(other + DELIMITER) or other.startswith(one + DELIMITER)


def _format_name(
    name: str, old_name: str | None, found: _Known | None, *, has_children: bool, is_utf8: bool
) -> bytes:
    """LIST of a name as it is after the event, accurate in all attributes; ``found`` is the mailbox that has it."""
    attributes = [] if found is not None else ["\\NonExistent"]
    if found is not None and found.role in SPECIAL_USE:
        attributes.append(SPECIAL_USE[found.role])
    if found is not None and found.is_subscribed:
        attributes.append("\\Subscribed")
    attributes.append("\\HasChildren" if has_children else "\\HasNoChildren")
    more = b"" if old_name is None else format_old_name(old_name, is_utf8=is_utf8)
    return format_list(attributes, name, is_utf8=is_utf8, more=more)


def _known(each: NamedMailbox) -> _Known:
    row = each.info.row
    counts = (row.uidvalidity, row.exists_count, row.uidnext, row.unseen_count, row.highestmodseq)
    entries = each.info.entries
    if each.role in SPECIAL_USE:
        entries = (*entries, (SPECIAL_USE_ENTRY, SPECIAL_USE[each.role].encode("ascii")))
    server = each.info.server_entries if each.account.member is None else ()
    return _Known(each.name, each.role, each.info.is_subscribed, *counts, _hashed(entries), _hashed(server))


def _hashed(entries: Entries) -> frozenset[tuple[str, int]]:
    return frozenset((name, hash(value)) for name, value in entries)


def _changes(was: _Known | None, now: _Known) -> frozenset[NotifyEvent]:
    if was is None:
        return frozenset({NotifyEvent.MESSAGE_NEW} if now.exists else ())
    found: set[NotifyEvent] = set()
    if now.uidnext > was.uidnext:
        found.add(NotifyEvent.MESSAGE_NEW)
    if now.exists - was.exists < now.uidnext - was.uidnext:
        found.add(NotifyEvent.MESSAGE_EXPUNGE)
    is_other = now.uidvalidity != was.uidvalidity or now.unseen != was.unseen
    if is_other or (now.modseq != was.modseq and not found):
        found.add(NotifyEvent.FLAG_CHANGE)
    return frozenset(found)


def _format_state(now: _Known, changed: frozenset[NotifyEvent], enabled: set[Feature]) -> bytes:
    """RFC 5465 §5.1 to §5.3: what a client needs to see that something arrived, left or was marked."""
    values = [(StatusItem.MESSAGES, now.exists), (StatusItem.UIDNEXT, now.uidnext)]
    values.append((StatusItem.UIDVALIDITY, now.uidvalidity))
    if NotifyEvent.FLAG_CHANGE in changed or NotifyEvent.MESSAGE_NEW in changed:
        values.append((StatusItem.UNSEEN, now.unseen))
    if Feature.CONDSTORE in enabled:
        values.append((StatusItem.HIGHESTMODSEQ, now.modseq))
    return format_status(now.name, values, is_utf8=not enabled.isdisjoint({Feature.UTF8, Feature.REV2}))


def _covers(group: NotifyGroup, mailbox: NamedMailbox) -> bool:
    match group.filter:
        case NotifyFilter.INBOXES:  # where mail is delivered
            return mailbox.role is Role.INBOX
        case NotifyFilter.PERSONAL:
            return mailbox.account.member is None
        case NotifyFilter.SUBSCRIBED:
            return mailbox.info.is_subscribed
        case _:
            return _covers_name(group, mailbox.name)


def _covers_name(group: NotifyGroup, name: str) -> bool:
    match group.filter:
        case NotifyFilter.PERSONAL:
            return not name.startswith(NAMESPACE + DELIMITER)
        case NotifyFilter.SUBSCRIBED:
            return True
        case NotifyFilter.MAILBOXES:
            return name in group.names
        case NotifyFilter.SUBTREE:
            return any(name == top or name.startswith(top + "/") for top in group.names)
        case _:
            return False
