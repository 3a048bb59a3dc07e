"""SEARCH without a store: what a key tree needs to be decided, and the decision (RFC 9051 §6.4.4).

A tree is split by what it costs: columns that are clear at rest, the header summary, the message's own octets. The
dear parts are asked only for messages that passed the cheap ones. Text matches anywhere, without case or accents.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from functools import lru_cache
from typing import assert_never

from mailserver.imap.flags import find_flag_bit
from mailserver.imap.search_keys import (
    NOTHING,
    AndKey,
    DateField,
    DateKey,
    DateOrder,
    EveryKey,
    FlagKey,
    HeaderKey,
    ModseqKey,
    NotKey,
    OrKey,
    RecentKey,
    SearchKey,
    SetKey,
    SizeKey,
    TextKey,
)
from mailserver.imap.sequence_set import Run, intersect_runs
from mailserver.imap.view import MailboxView

SUMMARY_FIELDS = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to"}
)
"""Header fields that the stored summary answers (RFC 9051 §7.5.2 ENVELOPE)."""

_MARKS = re.compile(r"[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_ASCII = bytes(range(128))
_FOLDED_ONE_BY_ONE = 64
"""Other than ASCII, how many characters a text may be made of to be folded one character after another."""


class Cost(IntEnum):
    """What a key needs, cheapest first. MESSAGE opens the body: an access that is logged."""

    COLUMNS = 0
    SUMMARY = 1
    MESSAGE = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """One message under test. The callables open sealed data, are called only when needed and should remember.

    ``internal_day`` and ``sent_day`` disregard time and zone. Fields and texts are decoded.
    """

    number: int
    flags: int
    modseq: int
    is_recent: bool
    internal_day: date
    size_bytes: int
    sent_day: Callable[[], date | None]
    summary_field: Callable[[str], Iterable[str]]
    header_field: Callable[[str], Iterable[str]]
    text: Callable[[bool], str]
    """Every decoded text of the message, folded (``fold``); with its header when the argument is true."""


Test = Callable[[Candidate], bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """What decides a search over one view, dearer parts last. ``flags & mask == wanted`` and ``runs`` come first."""

    runs: tuple[Run, ...]
    flag_mask: int
    flag_wanted: int
    columns: tuple[Test, ...]
    summary: tuple[Test, ...]
    message: tuple[Test, ...]

    @property
    def cost(self) -> Cost:
        """The dearest data that may be opened."""
        if self.message:
            return Cost.MESSAGE
        return Cost.SUMMARY if self.summary else Cost.COLUMNS

    @property
    def is_decided(self) -> bool:
        """Whether ``narrow`` alone gives the answer."""
        return not (self.columns or self.summary or self.message)

    def is_match(self, candidate: Candidate) -> bool:
        """Whether a message that ``narrow`` left is found."""
        tests = (*self.columns, *self.summary, *self.message)
        return all(test(candidate) for test in tests)

    def narrow(self, view: MailboxView) -> list[int]:
        """Places (message number less one) that flags and sets leave; vanished messages are never among them."""
        mask, wanted, flags = self.flag_mask, self.flag_wanted, view.flags
        places = [at for start, stop in self.runs for at in range(start, stop) if flags[at] & mask == wanted]
        if not view.vanished:
            return places
        uids, vanished = view.uids, view.vanished
        return [at for at in places if uids[at] not in vanished]


def plan_search(key: SearchKey, view: MailboxView) -> Plan:
    """Split ``key`` for ``view`` as it is now: a later ``apply`` that expunges makes the plan stale."""
    runs: list[Run] = [(0, view.exists)]
    is_set = is_clear = 0
    parts: dict[Cost, list[Test]] = {cost: [] for cost in Cost}
    for part in _conjuncts(key):
        match part:
            case SetKey():
                runs = intersect_runs(runs, view.runs_of(part.messages, uid=part.uid))
            case FlagKey():
                bit = find_flag_bit(part.flag, view.keywords)
                if bit is None:
                    runs = [] if part.is_set else runs
                elif part.is_set:
                    is_set |= bit
                else:
                    is_clear |= bit
            case EveryKey():
                pass
            case _:
                runs = [] if part == NOTHING else runs
                parts[cost_of(part)].append(_compile(part, view))
    if is_set & is_clear:
        runs = []
    tests = (tuple(parts[cost]) for cost in Cost)
    return Plan(tuple(runs), is_set | is_clear, is_set, *tests)


def cost_of(key: SearchKey) -> Cost:
    """The dearest data that deciding ``key`` may open."""
    match key:
        case EveryKey() | FlagKey() | RecentKey() | SizeKey() | SetKey() | ModseqKey():
            return Cost.COLUMNS
        case DateKey():
            return Cost.SUMMARY if key.field is DateField.SENT else Cost.COLUMNS
        case HeaderKey():
            return Cost.SUMMARY if key.name in SUMMARY_FIELDS else Cost.MESSAGE
        case TextKey():
            return Cost.MESSAGE
        case NotKey():
            return cost_of(key.key)
        case OrKey():
            return max(cost_of(key.left), cost_of(key.right))
        case AndKey():
            return max(map(cost_of, key.keys))
        case _:
            assert_never(key)


def fold(text: str) -> str:
    """``text`` without case, accents and compatibility forms, for comparison only."""
    if text.isascii():
        return text.lower()
    octets = text.encode("utf-8", "surrogatepass").translate(None, _ASCII)
    foreign = set(octets.decode("utf-8", "surrogatepass"))
    if len(foreign) > _FOLDED_ONE_BY_ONE:
        return _fold_whole(text)
    folded = text
    for character in foreign:
        alone = _fold_alone(character)
        if alone is None:
            return _fold_whole(text)
        folded = folded.replace(character, alone)
    return folded.lower()


def _fold_whole(text: str) -> str:
    # œ and æ have no compatibility form, yet nobody types them: "cœur" is found by "coeur"
    once = unicodedata.normalize("NFKD", text.casefold().replace("œ", "oe").replace("æ", "ae"))
    return _MARKS.sub("", unicodedata.normalize("NFKD", once.casefold()))


@lru_cache(maxsize=4096)
def _fold_alone(character: str) -> str | None:
    """What stands for ``character`` in any folded text; None when its neighbours or a second folding matter."""
    folded = _fold_whole(character)
    is_free = not any(map(unicodedata.combining, folded)) and folded.lower() == folded
    return folded if is_free and _fold_whole(folded) == folded else None


def _conjuncts(key: SearchKey) -> list[SearchKey]:
    if isinstance(key, AndKey):
        return [part for inner in key.keys for part in _conjuncts(inner)]
    return [key]


def _compile(key: SearchKey, view: MailboxView) -> Test:
    match key:
        case EveryKey():
            return lambda _: True
        case FlagKey():
            return _flag_test(key, view)
        case RecentKey():
            return lambda candidate: candidate.is_recent
        case DateKey():
            return _date_test(key)
        case SizeKey(size_bytes, is_larger):
            if is_larger:
                return lambda candidate: candidate.size_bytes > size_bytes
            return lambda candidate: candidate.size_bytes < size_bytes
        case ModseqKey(modseq):
            return lambda candidate: candidate.modseq >= modseq
        case SetKey():
            return _set_test(view.runs_of(key.messages, uid=key.uid))
        case HeaderKey():
            return _header_test(key)
        case TextKey(text, with_header):
            needle = fold(text)
            return lambda candidate: needle in candidate.text(with_header)
        case NotKey():
            inner = _compile(key.key, view)
            return lambda candidate: not inner(candidate)
        case OrKey():
            choices = _compile_cheapest_first((key.left, key.right), view)
            return lambda candidate: any(test(candidate) for test in choices)
        case AndKey():
            tests = _compile_cheapest_first(key.keys, view)
            return lambda candidate: all(test(candidate) for test in tests)
        case _:
            assert_never(key)


def _compile_cheapest_first(keys: Iterable[SearchKey], view: MailboxView) -> list[Test]:
    return [_compile(key, view) for key in sorted(keys, key=cost_of)]


def _flag_test(key: FlagKey, view: MailboxView) -> Test:
    bit = find_flag_bit(key.flag, view.keywords) or 0
    wanted = bit if key.is_set else 0
    if not bit:
        return lambda _: not key.is_set
    return lambda candidate: candidate.flags & bit == wanted


def _date_test(key: DateKey) -> Test:
    """Only the day counts (RFC 9051 §6.4.4); a message without a date is found by no SENT key."""
    compare: Callable[[date], bool]
    match key.order:
        case DateOrder.BEFORE:
            compare = key.day.__gt__
        case DateOrder.ON:
            compare = key.day.__eq__
        case DateOrder.SINCE:
            compare = key.day.__le__
        case _:
            assert_never(key.order)
    if key.field is DateField.INTERNAL:
        return lambda candidate: compare(candidate.internal_day)

    def is_sent(candidate: Candidate) -> bool:
        day = candidate.sent_day()
        return day is not None and compare(day)

    return is_sent


def _set_test(runs: list[Run]) -> Test:
    starts = [start for start, _ in runs]

    def is_in(candidate: Candidate) -> bool:
        place = candidate.number - 1
        at = bisect_right(starts, place)
        return at > 0 and place < runs[at - 1][1]

    return is_in


def _header_test(key: HeaderKey) -> Test:
    needle, name = fold(key.text), key.name
    if name in SUMMARY_FIELDS:
        return lambda candidate: any(needle in fold(value) for value in candidate.summary_field(name))
    return lambda candidate: any(needle in fold(value) for value in candidate.header_field(name))
