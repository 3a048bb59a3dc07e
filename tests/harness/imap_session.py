"""A session without a connection: verbs are called as functions, in this thread."""

import asyncio
from collections.abc import Callable

from harness.imap_harness import ImapNode
from mailserver.imap.progress import Progress
from mailserver.imap.search import plan_search
from mailserver.imap.search_keys import SearchKey
from mailserver.imap.session import Selected, Session, now_seconds
from mailserver.imap.states import State
from mailserver.imap.verbs_search import _test, find_places
from mailserver.imap.view import MailboxView
from mailserver.model.account import Role
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import MailboxInfo


class StillWire:
    """Runs what is meant for the pool at once. ``hops`` names what ran."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.hops: list[str] = []

    def send(self, octets: bytes) -> None:
        self.sent.append(octets)

    async def drain(self) -> None:
        return None

    async def call(self, work: Callable, *args, **kwargs):
        self.hops.append(getattr(work, "func", work).__name__)
        return work(*args, **kwargs)


def open_session(node: ImapNode, account: OpenAccount, box: MailboxInfo | None = None) -> Session:
    """``box`` selected (INBOX unless given), as it is now."""
    if box is None:
        box = node.services.mailboxes.load_by_role(account, Role.INBOX)
    chosen = node.services.messages.select(account, box.mailbox_id, claims_recent=False)
    columns = zip(*chosen.rows, strict=True) if chosen.rows else ([], [], [])
    session = Session(node.services, StillWire(), "127.0.0.1", State.SELECTED, account=account)
    view = MailboxView(*columns)
    session.selected = Selected(account, box, view, chosen.row.highestmodseq, is_read_only=False)
    return session


def search(session: Session, key: SearchKey) -> list[int]:
    """The UIDs that match."""
    places = asyncio.run(find_places(session, key, Progress(session)))
    return [session.open_mailbox().view.uids[at] for at in places]


def scan(session: Session, key: SearchKey) -> list[int]:
    """The same search with no index at all."""
    view = session.open_mailbox().view
    plan = plan_search(key, view, now_seconds())
    places = asyncio.run(_test(session, plan, plan.narrow(view), Progress(session)))
    return [view.uids[at] for at in places]


def opened_bodies(session: Session) -> int:
    """In how many hops messages were looked at, one by one."""
    return session.wire.hops.count("_find_messages")
