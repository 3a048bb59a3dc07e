"""NOTIFY (RFC 5465): which changes of which mailboxes a client wants to be told without asking."""

from dataclasses import dataclass
from enum import StrEnum

from mailserver.imap.commands.messages import FetchItem, SectionItem


class NotifyEvent(StrEnum):
    """RFC 5465 §5, by their names in capitals. Annotations of messages do not exist here."""

    MESSAGE_NEW = "MESSAGENEW"
    MESSAGE_EXPUNGE = "MESSAGEEXPUNGE"
    FLAG_CHANGE = "FLAGCHANGE"
    MAILBOX_NAME = "MAILBOXNAME"
    SUBSCRIPTION_CHANGE = "SUBSCRIPTIONCHANGE"
    MAILBOX_METADATA_CHANGE = "MAILBOXMETADATACHANGE"
    SERVER_METADATA_CHANGE = "SERVERMETADATACHANGE"


class NotifyFilter(StrEnum):
    """RFC 5465 §6."""

    SELECTED = "SELECTED"
    SELECTED_DELAYED = "SELECTED-DELAYED"
    INBOXES = "INBOXES"
    PERSONAL = "PERSONAL"
    SUBSCRIBED = "SUBSCRIBED"
    SUBTREE = "SUBTREE"
    MAILBOXES = "MAILBOXES"

    @property
    def is_selected(self) -> bool:
        return self in {NotifyFilter.SELECTED, NotifyFilter.SELECTED_DELAYED}


@dataclass(frozen=True, slots=True)
class NotifyGroup:
    """Mailboxes and what is told of them. ``names``: of SUBTREE and MAILBOXES; ``items``: fetched of each new message
    of the selected mailbox.
    """

    filter: NotifyFilter
    names: tuple[str, ...]
    events: frozenset[NotifyEvent]
    items: tuple[FetchItem | SectionItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """NOTIFY SET, or NOTIFY NONE without groups. ``wants_status``: the state of the other mailboxes comes at once.

    ``unknown``: events that this server does not have (RFC 5465 §5: BADEVENT).
    """

    groups: tuple[NotifyGroup, ...]
    wants_status: bool = False
    unknown: tuple[str, ...] = ()
