"""SEARCH (RFC 9051 §6.4.4): what needs no opening first; then sealed summaries and bodies, page by page in the pool."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from mailserver.imap.candidates import MessageUnderTest, SummaryUnderTest
from mailserver.imap.commands import ResultOption, Returns, Search, Sort, Thread
from mailserver.imap.parse_search import CHARSETS
from mailserver.imap.progress import Progress
from mailserver.imap.results import format_esearch, format_numbers
from mailserver.imap.search import Plan, Test, plan_search
from mailserver.imap.search_keys import SearchKey, has_modseq
from mailserver.imap.session import Reply, Session, done, now_seconds
from mailserver.imap.states import Feature
from mailserver.imap.text_candidates import TextGatherer, find_texts, look_up
from mailserver.model.errors import Corrupt, Malformed, PliError
from mailserver.service.messages import OpenedItem

T = TypeVar("T")
SUMMARY_PAGE_ITEMS = 500
BODY_PAGE_ITEMS = 16
_EVERYTHING = Returns(frozenset({ResultOption.ALL}))

logger = logging.getLogger("pli.imap")


async def run_search(session: Session, command: Search) -> Reply:
    """RFC 9051 §6.4.4; a client of IMAP4rev2 never sees a SEARCH response."""
    if command.returns is None and Feature.REV2 in session.enabled:
        command = replace(command, returns=_EVERYTHING)
    return await saving(session, command.returns, _search(session, command))


async def _search(session: Session, command: Search) -> Reply:
    demand_search(session, command)
    places = await find_places(session, command.key, Progress(session))
    tell_result(session, command, places, "SEARCH")
    return done("SEARCH")


async def saving(session: Session, returns: Returns | None, search: Awaitable[Reply]) -> Reply:
    """A search that was to be saved and fails leaves ``$`` empty (RFC 5182 §2.1)."""
    try:
        return await search
    except PliError:
        if returns is not None and returns.saves:
            session.open_mailbox().view.save_result(())
        raise


def demand_search(session: Session, command: Search | Sort | Thread) -> None:
    """What comes before any search. Raises Malformed ``bad_charset``."""
    if has_modseq(command.key):
        session.enable_condstore()
    if command.charset is not None and Feature.UTF8 in session.enabled:
        raise Malformed("charset_with_utf8", "RFC 6855 §3")
    if command.charset is not None and command.charset not in CHARSETS:
        raise Malformed("bad_charset")


async def find_places(
    session: Session, key: SearchKey, progress: Progress, *, rounds_after: int = 0
) -> list[int]:
    """Places (message number less one) of what matches, ascending. The sealed index answers for the texts that it
    covers. ``rounds_after``: how often the caller will go through what is found.
    """
    with session.one_search():
        return await _find_places(session, key, progress, rounds_after)


async def _find_places(session: Session, key: SearchKey, progress: Progress, rounds_after: int) -> list[int]:
    view, now = session.open_mailbox().view, now_seconds()
    plan = plan_search(key, view, now)
    places = plan.narrow(view)
    texts = find_texts(key)
    if not (texts and places):
        progress.expect(plan.rounds + rounds_after, len(places))
        return await _test(session, plan, places, progress)
    hits = await look_up(session, texts, places)
    known = plan_search(hits.resolve(key), view, now)
    covered = [at for at in known.narrow(view) if view.uids[at] in hits.covered]
    unknown = [at for at in places if view.uids[at] not in hits.covered]
    rounds = (known.rounds if covered else 0) + (plan.rounds if unknown else 0)
    progress.expect(rounds + rounds_after, len(places))
    found = await _test(session, known, covered, progress) if covered else []
    if unknown:
        gatherer = TextGatherer(session, hits.spans)
        found += await _test(session, plan, unknown, progress, gatherer)
        await session.wire.call(gatherer.finish)
    return sorted(found)


def tell_result(session: Session, command: Search | Sort, places: Sequence[int], verb: str) -> None:
    """The numbers, or with UID the UIDs, of a result in its order; and ``$``, when it is to be saved."""
    view, returns = session.open_mailbox().view, command.returns
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
    session: Session,
    plan: Plan,
    places: list[int],
    progress: Progress,
    gatherer: TextGatherer | None = None,
) -> list[int]:
    """What of these places matches: messages are opened only when they passed every test of their summaries."""
    cheap, deep = plan.cheap_test(), plan.deep_test()
    if cheap is not None:
        work = partial(_find_summaries, session, cheap)
        places = await in_pages(session, places, SUMMARY_PAGE_ITEMS, work, progress)
    if deep is not None:
        work = partial(_find_messages, session, deep, gatherer)
        places = await in_pages(session, places, BODY_PAGE_ITEMS, work, progress)
    return places


async def in_pages(
    session: Session,
    places: Sequence[int],
    page_items: int,
    work: Callable[[Sequence[int]], Sequence[T]],
    progress: Progress,
) -> list[T]:
    """One round through messages: ``work`` on a page of places in the pool, hop by hop; what it gives, together."""
    progress.begin(len(places))
    found: list[T] = []
    for start in range(0, len(places), page_items):
        found += await session.wire.call(work, places[start : start + page_items])
        progress.note(len(places) - start - page_items)
        await session.wire.drain()
    return found


def _find_summaries(session: Session, test: Test, places: Sequence[int]) -> list[int]:
    selected = session.open_mailbox()
    view, uids = selected.view, selected.view.uids
    place_of = {uids[at]: at for at in places}
    scan = session.services.messages.scan(selected.account, selected.info.mailbox_id, list(place_of))
    candidate = SummaryUnderTest(view, scan.open)
    found = []
    for row in scan.rows:
        place = place_of[row.uid]
        candidate.move_to(place + 1, row)
        try:
            if test(candidate):
                found.append(place)
        except (Corrupt, Malformed) as error:
            _note_damage(error)
    return found


def _find_messages(
    session: Session, test: Test, gatherer: TextGatherer | None, places: Sequence[int]
) -> list[int]:
    uids = session.open_mailbox().view.uids
    place_of = {uids[at]: at for at in places}
    found = []
    for item in _open_page(session, list(place_of)):
        place = place_of[item.row.uid]
        message = MessageUnderTest(session, item, place + 1)
        try:
            if test(message):
                found.append(place)
        except (Corrupt, Malformed) as error:
            _note_damage(error)
        if gatherer is not None and (entry := message.entry) is not None:
            gatherer.take(place, entry)
    return found


def _note_damage(error: PliError) -> None:
    """A damaged message is found by nothing, and hides no other (S12)."""
    logger.error("a message does not open for SEARCH", extra={"code": error.code})


def _open_page(session: Session, uids: Sequence[int]) -> list[OpenedItem]:
    """The page with its octets, without what is damaged."""
    selected = session.open_mailbox()
    try:
        return session.services.messages.page_with_octets(selected.account, selected.info.mailbox_id, uids)
    except Corrupt as error:
        if len(uids) == 1:
            _note_damage(error)
            return []
    return [item for uid in uids for item in _open_page(session, [uid])]
