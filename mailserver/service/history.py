"""« Qui a consulté »: a person's own log, newest first. Reading it is in it too (L1).

What is said of its state is only what is so: how many lines the signed tree holds, how many wait. Without a receipt
kept outside this server the page proves nothing about omissions, and claims nothing (L9).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.audit.receipt import Purpose
from mailserver.service.access_log import LoggedEvent, LogReading, add_reading, read_log
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.store import log_rows
from mailserver.store.store import Store


@dataclass(frozen=True, slots=True)
class History:
    """``events`` newest first. ``signed`` and ``waiting`` count among them; ``has_more``: older lines exist."""

    events: Sequence[LoggedEvent]
    signed: int
    waiting: int
    has_more: bool


def permit_reading(
    store: Store, account: OpenAccount, origin: Origin, now: datetime, *, logs_in: bool = False
) -> LogReading:
    """Log that the account's log is read; ``logs_in``: by somebody who has just given the password, which is told
    too. Raises Unavailable when it cannot be logged.
    """
    return _permit(store, account, (origin, now), (EventKind.LOG_READ, Purpose.SHOW), logs_in=logs_in)


def permit_copy(
    store: Store, account: OpenAccount, origin: Origin, now: datetime, *, logs_in: bool = False
) -> LogReading:
    """As ``permit_reading``, for a copy that leaves this server."""
    return _permit(store, account, (origin, now), (EventKind.EXPORTED, Purpose.EXPORT), logs_in=logs_in)


def _permit(
    store: Store,
    account: OpenAccount,
    place: tuple[Origin, datetime],
    act: tuple[EventKind, Purpose],
    *,
    logs_in: bool,
) -> LogReading:
    (origin, now), (kind, purpose), who = place, act, actor_of(account)
    events = [AuditEvent(kind, now, who, AuditObject(ObjectKind.LOG), origin)]
    if logs_in:
        events.insert(0, AuditEvent(EventKind.LOGIN, now, who, AuditObject(ObjectKind.ACCOUNT), origin))
    return add_reading(store, account.account, events, purpose)


def read_history(store: Store, account: OpenAccount, origin: Origin, now: datetime, newest: int) -> History:
    """Log the reading, then read the ``newest`` lines. Raises Unavailable when it cannot be logged, Corrupt."""
    reading = permit_reading(store, account, origin, now)
    with store.database.read() as connection:
        checkpoint = log_rows.find_checkpoint(connection)
    size = checkpoint[0] if checkpoint else 0
    events = read_log(store, account.account, account.space_root(), reading, newest=newest + 1)
    shown = events[::-1][:newest]
    signed = sum(each.leaf_index is not None and each.leaf_index < size for each in shown)
    return History(shown, signed, len(shown) - signed, len(events) > newest)
