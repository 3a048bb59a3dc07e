"""NOTIFY (RFC 5465): telling a client, without being asked, what it wanted to know of mailboxes that it has not
selected, and how the selected one is told.

What a mailbox looked like when it was last told is remembered; one look at the account's mailboxes finds what is
different. The change feed only says that there is something.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from mailserver.imap.commands import Notify, NotifyEvent, NotifyFilter, NotifyGroup, StatusItem
from mailserver.imap.encode import format_list, format_renamed, format_status
from mailserver.imap.states import Feature
from mailserver.model.account import Role
from mailserver.model.ids import MailboxId
from mailserver.service.named_mailboxes import NamedMailbox

_MESSAGE_EVENTS = frozenset({NotifyEvent.MESSAGE_NEW, NotifyEvent.MESSAGE_EXPUNGE, NotifyEvent.FLAG_CHANGE})


@dataclass(frozen=True, slots=True)
class _Known:
    """A mailbox as the client was last told of it."""

    name: str
    is_subscribed: bool
    uidvalidity: int
    exists: int
    uidnext: int
    unseen: int
    modseq: int


class Notifier:
    """One per connection, from NOTIFY SET on. Pure but for what it is given to look at."""

    def __init__(self, command: Notify) -> None:
        self._groups = command.groups
        self._known: dict[MailboxId, _Known] = {}
        self._selected = next((group for group in command.groups if group.filter.is_selected), None)

    @property
    def tells_selected(self) -> bool:
        """Whether changes of the selected mailbox are told between commands (RFC 5465 §6.1); during IDLE they are told
        all the same when the client said nothing of the selected mailbox.
        """
        return self._selected is not None and bool(self._selected.events)

    @property
    def delays_expunges(self) -> bool:
        """SELECTED-DELAYED (RFC 5465 §6.2): message numbers stay until a command allows them to move."""
        return self._selected is not None and self._selected.filter is NotifyFilter.SELECTED_DELAYED

    @property
    def mutes_selected(self) -> bool:
        """The client asked for no news of the selected mailbox, IDLE or not (RFC 5465 §4)."""
        return self._selected is not None and not self._selected.events

    @property
    def selected(self) -> NotifyGroup | None:
        return self._selected

    @property
    def watches_others(self) -> bool:
        return any(not group.filter.is_selected for group in self._groups)

    def learn(self, mailboxes: Iterable[NamedMailbox]) -> None:
        """Take the present state as told."""
        self._known = {each.mailbox_id: _known(each) for each in mailboxes}

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
        """What is different from what was told, as LIST and STATUS responses; it is told with this."""
        is_utf8 = not enabled.isdisjoint({Feature.UTF8, Feature.REV2})
        responses: list[bytes] = []
        present = {each.mailbox_id: each for each in mailboxes}
        for mailbox_id, before in self._known.items():
            if mailbox_id not in present and NotifyEvent.MAILBOX_NAME in self._events_named(before.name):
                responses.append(format_list(["\\NonExistent"], before.name, is_utf8=is_utf8))
        for each in mailboxes:
            now, was = _known(each), self._known.get(each.mailbox_id)
            events = self._events_of(each)
            if was is None or was.name != now.name:
                if NotifyEvent.MAILBOX_NAME in events:
                    old = None if was is None else was.name
                    responses.append(format_renamed(now.name, old, is_utf8=is_utf8))
            elif was.is_subscribed != now.is_subscribed and NotifyEvent.SUBSCRIPTION_CHANGE in events:
                attributes = ["\\Subscribed"] if now.is_subscribed else []
                responses.append(format_list(attributes, now.name, is_utf8=is_utf8))
            if each.mailbox_id != selected:
                changed = _changes(was, now) & events
                if changed:
                    responses.append(_format_state(now, changed, enabled))
        self.learn(mailboxes)
        return responses

    def _events_of(self, mailbox: NamedMailbox) -> frozenset[NotifyEvent]:
        """The first group that covers a mailbox decides (RFC 5465 §6); of messages nothing is told to who may not read
        them.
        """
        for group in self._groups:
            if not group.filter.is_selected and _covers(group, mailbox):
                return group.events if mailbox.may_read else group.events - _MESSAGE_EVENTS
        return frozenset()

    def _events_named(self, name: str) -> frozenset[NotifyEvent]:
        """The events of a mailbox of which only the name is left."""
        for group in self._groups:
            if not group.filter.is_selected and _covers_name(group, name):
                return group.events
        return frozenset()


def _known(each: NamedMailbox) -> _Known:
    row = each.info.row
    counts = (row.uidvalidity, row.exists_count, row.uidnext, row.unseen_count, row.highestmodseq)
    return _Known(each.name, each.info.is_subscribed, *counts)


def _changes(was: _Known | None, now: _Known) -> frozenset[NotifyEvent]:
    if was is None:
        return frozenset({NotifyEvent.MESSAGE_NEW} if now.exists else ())
    found: set[NotifyEvent] = set()
    if now.uidnext > was.uidnext:
        found.add(NotifyEvent.MESSAGE_NEW)
    if now.exists - was.exists < now.uidnext - was.uidnext:
        found.add(NotifyEvent.MESSAGE_EXPUNGE)
    if now.unseen != was.unseen or (now.modseq != was.modseq and not found):
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
        case NotifyFilter.PERSONAL | NotifyFilter.SUBSCRIBED:
            return True
        case NotifyFilter.MAILBOXES:
            return name in group.names
        case NotifyFilter.SUBTREE:
            return any(name == top or name.startswith(top + "/") for top in group.names)
        case _:
            return False
