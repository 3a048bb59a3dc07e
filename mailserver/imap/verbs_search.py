"""SEARCH (RFC 9051 §6.4.4): columns first, in one pass; then sealed summaries and bodies, page by page in the pool."""

from collections.abc import Sequence

from mailserver.imap.candidates import MessageUnderTest
from mailserver.imap.commands import Search
from mailserver.imap.encode import format_search
from mailserver.imap.search import Cost, Plan, plan_search
from mailserver.imap.session import Reply, Session, done
from mailserver.model.errors import Corrupt
from mailserver.service.messages import OpenedItem, uid_ranges

SUMMARY_PAGE_ITEMS = 500
BODY_PAGE_ITEMS = 16


async def run_search(session: Session, command: Search) -> Reply:
    """The numbers, or with UID the UIDs, of what matches."""
    view = session.open_mailbox().view
    plan = plan_search(command.key, view)
    places = plan.narrow(view)
    if not plan.is_decided:
        places = await _test(session, plan, places)
    found = [view.uids[at] for at in places] if command.uid else [at + 1 for at in places]
    session.wire.send(format_search(found))
    return done("SEARCH")


async def _test(session: Session, plan: Plan, places: Sequence[int]) -> list[int]:
    step = BODY_PAGE_ITEMS if plan.cost is Cost.MESSAGE else SUMMARY_PAGE_ITEMS
    found: list[int] = []
    for start in range(0, len(places), step):
        found += await session.wire.call(_test_page, session, plan, places[start : start + step])
        await session.wire.drain()
    return found


def _test_page(session: Session, plan: Plan, places: Sequence[int]) -> list[int]:
    uids = session.open_mailbox().view.uids
    place_of = {uids[at]: at for at in places}
    found = []
    for item in _open_page(session, list(place_of), with_octets=plan.cost is Cost.MESSAGE):
        place = place_of[item.row.uid]
        if plan.is_match(MessageUnderTest(session, item).candidate(place + 1)):
            found.append(place)
    return found


def _open_page(session: Session, uids: Sequence[int], *, with_octets: bool) -> list[OpenedItem]:
    """The page; a damaged item is found by nothing and hides no other (S12)."""
    selected, messages = session.open_mailbox(), session.services.messages
    account, mailbox_id = selected.account, selected.info.mailbox_id
    try:
        if with_octets:
            return messages.page_with_octets(account, mailbox_id, uids)
        return messages.page(account, mailbox_id, uid_ranges(uids))
    except Corrupt:
        if len(uids) == 1:
            return []
    return [item for uid in uids for item in _open_page(session, [uid], with_octets=with_octets)]
