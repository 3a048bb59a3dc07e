"""SEARCH (RFC 9051 §6.4.4): columns first, in one pass; then sealed summaries and bodies, page by page in the pool."""

import logging
from collections.abc import Awaitable, Sequence

from mailserver.imap.candidates import MessageUnderTest
from mailserver.imap.commands import ResultOption, Returns, Search
from mailserver.imap.parse_search import CHARSETS
from mailserver.imap.results import format_esearch, format_numbers
from mailserver.imap.search import Cost, Plan, plan_search
from mailserver.imap.search_keys import has_modseq
from mailserver.imap.session import Reply, Session, done
from mailserver.imap.states import Feature
from mailserver.imap.text_candidates import TextGatherer, find_texts, look_up
from mailserver.model.errors import Corrupt, Malformed, PliError
from mailserver.service.messages import OpenedItem, uid_ranges

SUMMARY_PAGE_ITEMS = 500
BODY_PAGE_ITEMS = 16
_EVERYTHING = Returns(frozenset({ResultOption.ALL}))

logger = logging.getLogger("pli.imap")


async def run_search(session: Session, command: Search) -> Reply:
    """RFC 9051 §6.4.4; a client of IMAP4rev2 never sees a SEARCH response."""
    return await saving(session, command, _search(session, command))


async def _search(session: Session, command: Search) -> Reply:
    places = await find_places(session, command)
    tell_result(session, command, places, "SEARCH")
    return done("SEARCH")


async def saving(session: Session, command: Search, search: Awaitable[Reply]) -> Reply:
    """A search that was to be saved and fails leaves ``$`` empty (RFC 5182 §2.1)."""
    try:
        return await search
    except PliError:
        if command.returns is not None and command.returns.saves:
            session.open_mailbox().view.save_result(())
        raise


async def find_places(session: Session, command: Search) -> list[int]:
    """Places (message number less one) of what matches, ascending. The sealed index answers for the texts that it
    covers. Raises Malformed ``bad_charset``.
    """
    view = session.open_mailbox().view
    if has_modseq(command.key):
        session.enable_condstore()
    if command.charset is not None and command.charset not in CHARSETS:
        raise Malformed("bad_charset")
    plan = plan_search(command.key, view)
    places = plan.narrow(view)
    texts = find_texts(command.key)
    if not (texts and places):
        return await _test(session, plan, places)
    hits = await look_up(session, texts, places)
    known = plan_search(hits.resolve(command.key), view)
    found = await _test(session, known, [at for at in known.narrow(view) if view.uids[at] in hits.covered])
    gatherer = TextGatherer(session, hits.spans)
    found += await _test(session, plan, [at for at in places if view.uids[at] not in hits.covered], gatherer)
    await session.wire.call(gatherer.finish)
    return sorted(found)


def tell_result(session: Session, command: Search, places: Sequence[int], verb: str) -> None:
    """The numbers, or with UID the UIDs, of a result in its order; and ``$``, when it is to be saved."""
    view, returns = session.open_mailbox().view, command.returns
    if returns is None and Feature.REV2 in session.enabled:
        returns = _EVERYTHING
    numbers = [view.uids[at] for at in places] if command.uid else [at + 1 for at in places]
    concerned = places if returns is None else returns.concerned(places)
    highest = None
    if concerned and has_modseq(command.key):
        highest = max(view.modseqs[at] for at in concerned)
    if returns is None:
        session.wire.send(format_numbers(verb, numbers, highest_modseq=highest))
        return
    if returns.saves:
        view.save_result(concerned)
    if not returns.is_silent:
        esearch = format_esearch(session.tag, numbers, returns, uid=command.uid, highest_modseq=highest)
        session.wire.send(esearch)


async def _test(
    session: Session, plan: Plan, places: Sequence[int], gatherer: TextGatherer | None = None
) -> list[int]:
    if plan.is_decided:
        return list(places)
    step = BODY_PAGE_ITEMS if plan.cost is Cost.MESSAGE else SUMMARY_PAGE_ITEMS
    found: list[int] = []
    for start in range(0, len(places), step):
        page = places[start : start + step]
        found += await session.wire.call(_test_page, session, plan, page, gatherer)
        await session.wire.drain()
    return found


def _test_page(
    session: Session, plan: Plan, places: Sequence[int], gatherer: TextGatherer | None
) -> list[int]:
    uids = session.open_mailbox().view.uids
    place_of = {uids[at]: at for at in places}
    found = []
    for item in _open_page(session, list(place_of), with_octets=plan.cost is Cost.MESSAGE):
        place = place_of[item.row.uid]
        message = MessageUnderTest(session, item)
        if _is_match(plan, message, place + 1):
            found.append(place)
        if gatherer is not None and (entry := message.entry) is not None:
            gatherer.take(place, entry)
    return found


def _is_match(plan: Plan, message: MessageUnderTest, number: int) -> bool:
    """Whether a message is found: a damaged one never is, and hides no other (S12)."""
    try:
        return plan.is_match(message.candidate(number))
    except Corrupt as error:
        logger.error("a message does not open for SEARCH", extra={"code": error.code})  # noqa: TRY400 # no trace of use
        return False


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
