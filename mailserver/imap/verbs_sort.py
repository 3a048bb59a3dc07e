"""SORT and THREAD (RFC 5256 §3): a SEARCH whose result is then read, summary by summary, and put in order."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from mailserver.imap.base_subject import find_base
from mailserver.imap.commands import Sort, Thread, ThreadAlgorithm
from mailserver.imap.progress import Progress
from mailserver.imap.search import fold
from mailserver.imap.session import Reply, Session, done
from mailserver.imap.sorting import reader_of, sent_or_received, sort_all
from mailserver.imap.threads import (
    Threaded,
    Threads,
    format_threads,
    normal_id,
    thread_by_references,
    thread_by_subject,
)
from mailserver.imap.verbs_search import (
    SUMMARY_PAGE_ITEMS,
    demand_search,
    find_places,
    in_pages,
    saving,
    tell_result,
)
from mailserver.mime.summary import HeaderSummary
from mailserver.mime.summary_wire import SummaryView, format_summary
from mailserver.model.errors import Corrupt, Malformed

T = TypeVar("T")
Read = Callable[[int, SummaryView], T]
"""What is kept of a message, from its internal date and its summary."""

NOTHING = SummaryView(format_summary(HeaderSummary(0, 0, b"()", b"", b"", (), ())))
"""What is read of a damaged message: it keeps a place in the list, by its internal date (S12)."""


async def run_sort(session: Session, command: Sort) -> Reply:
    """RFC 5256 §3; with RETURN the answer is an ESEARCH in the sorted order (RFC 5267 §3.1)."""
    return await saving(session, command.returns, _sort(session, command))


async def _sort(session: Session, command: Sort) -> Reply:
    readers = [reader_of(criterion.key) for criterion in command.criteria]
    places, columns = await _read(session, command, readers)
    ordered = await session.wire.call(sort_all, places, columns, command.criteria)
    tell_result(session, command, ordered, "SORT")
    return done("SORT")


async def run_thread(session: Session, command: Thread) -> Reply:
    """RFC 5256 §3. Threads are made in the pool too: of many messages that takes a while."""
    thread, read = _ALGORITHMS[command.algorithm]
    places, (messages,) = await _read(session, command, [read])
    uids = session.open_mailbox().view.uids
    numbers = [uids[at] for at in places] if command.uid else [at + 1 for at in places]
    session.wire.send(await session.wire.call(_format, thread, messages, numbers))
    return done("THREAD")


def _format(
    thread: Callable[[Sequence[Threaded]], Threads], messages: Sequence[Threaded], numbers: Sequence[int]
) -> bytes:
    return format_threads(thread(messages), numbers)


def _read_subject(received_at: int, summary: SummaryView) -> Threaded:
    base, is_reply = find_base(summary.subject)
    return Threaded(sent_or_received(received_at, summary), fold(base), is_reply)


def _read_references(received_at: int, summary: SummaryView) -> Threaded:
    base, is_reply = find_base(summary.subject)
    return Threaded(
        sent_or_received(received_at, summary),
        fold(base),
        is_reply,
        normal_id(summary.message_id),
        [normal_id(each) for each in summary.ancestors()],
    )


_ALGORITHMS = {
    ThreadAlgorithm.ORDEREDSUBJECT: (thread_by_subject, _read_subject),
    ThreadAlgorithm.REFERENCES: (thread_by_references, _read_references),
}


async def _read(
    session: Session, command: Sort | Thread, readers: Sequence[Read[T]]
) -> tuple[list[int], list[list[T]]]:
    """The places of what is found, and what each reader keeps of each message: parallel lists. Messages that left
    meanwhile are missing.
    """
    demand_search(session, command)
    progress = Progress(session)
    places = await find_places(session, command.key, progress, rounds_after=1)
    columns: list[list[T]] = [[] for _ in readers]
    work = partial(_read_page, session, readers, columns)
    return await in_pages(session, places, SUMMARY_PAGE_ITEMS, work, progress), columns


def _read_page(
    session: Session, readers: Sequence[Read[T]], columns: Sequence[list[T]], places: Sequence[int]
) -> list[int]:
    """Fills the columns; the places that were there. A damaged message is read as one that says nothing (S12)."""
    selected = session.open_mailbox()
    uids = selected.view.uids
    place_of = {uids[at]: at for at in places}
    scan = session.services.messages.scan(selected.account, selected.info.mailbox_id, list(place_of))
    fills = [(read, column.append) for read, column in zip(readers, columns, strict=True)]
    for row in scan.rows:
        try:
            summary = SummaryView(scan.open(row))
        except (Corrupt, Malformed):
            summary = NOTHING
        for read, fill in fills:
            fill(read(row.received_at, summary))
    return [place_of[row.uid] for row in scan.rows]
