"""TEXT and BODY answered by the sealed index: for the messages that it covers, texts become sets of UIDs.

What it does not cover is tested message by message as ever; the texts opened on the way are gathered, and those that lie
side by side in the mailbox are kept for the next search. Both ways look for the same folded needle in the same folded
text, so the index changes when an answer comes, never what it is (RFC 9051 §6.4.4).
"""

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from mailserver.imap.search import fold
from mailserver.imap.search_keys import NOTHING, AndKey, NotKey, OrKey, SearchKey, SetKey, TextKey
from mailserver.imap.sequence_set import compact
from mailserver.imap.session import Session
from mailserver.model.errors import PliError
from mailserver.service.text_segment import (
    ENTRY_BYTES,
    SEGMENT_BYTES,
    TextEntry,
    TextSegment,
    encode_text,
    pack_entries,
)
from mailserver.store.segment_rows import SegmentSpan

OPENED_BYTES = 2 * 1024 * 1024
"""Segments looked into in one hop to the pool, divided by how many texts are looked for."""
KEPT_BYTES = 1024 * 1024
"""Texts kept in one commit."""
LEAST_ITEMS = 8
"""Fewer messages than this, with no small segment beside them, are opened again at the next search."""

logger = logging.getLogger("pli.imap")


@dataclass(slots=True)
class TextHits:
    """What the index knows: the UIDs that it covers, and which of them each key finds."""

    found: dict[TextKey, set[int]]
    spans: list[SegmentSpan]
    covered: set[int] = field(default_factory=set)

    def resolve(self, key: SearchKey) -> SearchKey:
        """``key`` with UIDs in the place of its texts: the same answer for every message that is covered."""
        return _key_of(self._resolve(key))

    def _resolve(self, key: SearchKey) -> SearchKey | set[int]:
        match key:
            case TextKey():
                return self.found[key]
            case NotKey(inner):
                part = self._resolve(inner)
                return self.covered - part if isinstance(part, set) else NotKey(part)
            case OrKey():
                left, right = self._resolve(key.left), self._resolve(key.right)
                if isinstance(left, set) and isinstance(right, set):
                    return left | right
                return OrKey(_key_of(left), _key_of(right))
            case AndKey():
                parts = [self._resolve(part) for part in key.keys]
                sets = [part for part in parts if isinstance(part, set)]
                others = [part for part in parts if not isinstance(part, set)]
                decided = set.intersection(*sets) if sets else None
                if decided is None or others:
                    return AndKey((*([] if decided is None else [_key_of(decided)]), *others))
                return decided
            case _:
                return key


def _key_of(part: SearchKey | set[int]) -> SearchKey:
    if not isinstance(part, set):
        return part
    return SetKey(compact(sorted(part)), uid=True) if part else NOTHING


def find_texts(key: SearchKey) -> list[TextKey]:
    """The TEXT and BODY keys of a tree."""
    match key:
        case TextKey():
            return [key]
        case NotKey(inner):
            return find_texts(inner)
        case OrKey(left, right):
            return [*find_texts(left), *find_texts(right)]
        case AndKey(keys):
            return [text for part in keys for text in find_texts(part)]
        case _:
            return []


async def look_up(session: Session, texts: Sequence[TextKey], places: Sequence[int]) -> TextHits:
    """Ask the index about these places of the view, a few segments at a time."""
    uids = session.open_mailbox().view.uids
    spans = await session.wire.call(_list_spans, session)
    hits = TextHits({text: set() for text in texts}, spans)
    wanted = [uids[at] for at in places]
    concerned = [span for span in spans if _is_wanted(span, wanted)]
    for part in _portions(concerned, OPENED_BYTES // len(hits.found)):
        await session.wire.call(_look_into, session, part, hits)
        await session.wire.drain()
    return hits


def _list_spans(session: Session) -> list[SegmentSpan]:
    selected = session.open_mailbox()
    return session.services.search_index.list_spans(selected.account, selected.info.mailbox_id)


def _is_wanted(span: SegmentSpan, uids: Sequence[int]) -> bool:
    at = bisect_left(uids, span.first_uid)
    return at < len(uids) and uids[at] <= span.last_uid


def _portions(spans: Sequence[SegmentSpan], most_bytes: int) -> Iterator[list[SegmentSpan]]:
    part: list[SegmentSpan] = []
    for span in spans:
        part.append(span)
        if sum(each.stored_bytes for each in part) >= most_bytes:
            yield part
            part = []
    if part:
        yield part


def _look_into(session: Session, spans: Sequence[SegmentSpan], hits: TextHits) -> None:
    needles = [(key, encode_text(fold(key.text))) for key in hits.found]
    for segment in _open(session, spans):
        hits.covered.update(segment.uids)
        for key, needle in needles:
            hits.found[key].update(segment.find_uids(needle, with_header=key.with_header))


def _open(session: Session, spans: Sequence[SegmentSpan]) -> list[TextSegment]:
    selected, index = session.open_mailbox(), session.services.search_index
    return index.open_segments(selected.account, selected.info.mailbox_id, spans, session.permit_search())


class TextGatherer:
    """Texts that a search opened, in the order of the view: what lies side by side is kept together. For the pool.

    A segment less than half full at either end of a run is taken into it, so that small ones do not pile up.
    """

    def __init__(self, session: Session, spans: Sequence[SegmentSpan]) -> None:
        self._session = session
        self._spans = list(spans)
        self._run: list[TextEntry] = []
        self._run_bytes = 0
        self._has_taken_in = False
        self._next_place = 0
        self._pending: Future[None] | None = None
        self._is_refused = False

    def take(self, place: int, entry: TextEntry) -> None:
        """The text of the message at ``place``; places ascend."""
        if len(entry.text) > ENTRY_BYTES:
            return
        if place != self._next_place or not self._run:
            self._end_run()
            self._take_in(place - 1)
        self._next_place = place + 1
        self._add(entry)
        if self._run_bytes > KEPT_BYTES:
            *whole, self._run = pack_entries(self._run)
            self._run_bytes = sum(len(each.text) for each in self._run)
            self._keep([each for part in whole for each in part])

    def finish(self) -> None:
        """Nothing follows: what there is is kept, and committed on return."""
        self._end_run()
        self._wait()

    def _end_run(self) -> None:
        if not self._run:
            return
        self._take_in(self._next_place)
        if len(self._run) >= LEAST_ITEMS or self._has_taken_in or self._run_bytes > SEGMENT_BYTES // 2:
            self._keep(self._run)
        self._run, self._run_bytes, self._has_taken_in = [], 0, False

    def _add(self, entry: TextEntry) -> None:
        self._run.append(entry)
        self._run_bytes += len(entry.text)

    def _take_in(self, place: int) -> None:
        """Add the texts of the segment that covers the message at ``place``, when it is small."""
        uids, spans = self._session.open_mailbox().view.uids, self._spans
        if not 0 <= place < len(uids):
            return
        at = bisect_right(spans, uids[place], key=lambda span: span.first_uid) - 1
        if at < 0 or spans[at].last_uid < uids[place] or spans[at].stored_bytes > SEGMENT_BYTES // 2:
            return
        for segment in _open(self._session, [spans.pop(at)]):
            for entry in segment.entries():
                self._add(entry)
            self._has_taken_in = True

    def _keep(self, entries: Sequence[TextEntry]) -> None:
        """One commit at a time, so that what waits is bounded."""
        self._wait()
        selected, index = self._session.open_mailbox(), self._session.services.search_index
        with self._refusals():
            if not self._is_refused:
                self._pending = index.keep(selected.account, selected.info.mailbox_id, entries)

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            with self._refusals():
                pending.result()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """A store that cannot take texts (a full disk) costs the next search time, and is asked no more by this one."""
        try:
            yield
        except PliError as error:
            self._is_refused = True
            logger.warning("texts are not kept", extra={"code": error.code})
