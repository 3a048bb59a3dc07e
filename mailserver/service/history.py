"""« Qui a consulté »: a person's own log, newest first. Reading it is in it too (L1).

What is said of its state is only what is so: how many lines the signed tree holds, how many wait. Without a receipt
kept outside this server the page proves nothing about omissions, and claims nothing (L9).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailserver.audit.events import AuditEvent, AuditObject, EventKind, ObjectKind, Origin
from mailserver.service.access_log import LoggedEvent, add_entries, prepare_entry, read_log
from mailserver.service.keys import OpenAccount
from mailserver.service.mail_permit import actor_of
from mailserver.store import log_rows
from mailserver.store.database import Connection
from mailserver.store.store import Store
from mailserver.store.writer import Unit


@dataclass(frozen=True, slots=True)
class History:
    """``events`` newest first. ``signed`` and ``waiting`` count among them; ``has_more``: older lines exist."""

    events: Sequence[LoggedEvent]
    signed: int
    waiting: int
    has_more: bool


def read_history(store: Store, account: OpenAccount, origin: Origin, now: datetime, newest: int) -> History:
    """Log the reading, then read the ``newest`` lines. Raises Unavailable when it cannot be logged, Corrupt."""
    event = AuditEvent(EventKind.LOG_READ, now, actor_of(account), AuditObject(ObjectKind.LOG), origin)
    entry = prepare_entry(account.account, event)

    def run(connection: Connection) -> None:
        add_entries(connection, store.macs, [entry])

    store.writer.commit(Unit(account.account_id, run))
    with store.database.read() as connection:
        checkpoint = log_rows.find_checkpoint(connection)
    size = checkpoint[0] if checkpoint else 0
    events = read_log(store, account.account, account.space_root(), newest=newest + 1)
    shown = events[::-1][:newest]
    signed = sum(each.leaf_index is not None and each.leaf_index < size for each in shown)
    return History(shown, signed, len(shown) - signed, len(events) > newest)
