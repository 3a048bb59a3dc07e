"""SEARCH without a store: what a key tree needs to be decided, and the decision (RFC 9051 §6.4.4).

A tree is split by what it costs: columns that are clear at rest, the header summary, the message's own octets. The
dear parts are asked only for messages that passed the cheap ones. Text matches anywhere, without case or accents.
"""

import operator
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from functools import lru_cache
from typing import Protocol, assert_never

from mailserver.imap.envelope_fields import FieldMatcher
from mailserver.imap.flags import find_flag_bit
from mailserver.imap.search_keys import (
    NOTHING,
    AgeKey,
    AndKey,
    DateField,
    DateKey,
    DateOrder,
    EmailIdKey,
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
from mailserver.mime.summary_wire import SummaryView
from mailserver.model.ids import EmailId

SUMMARY_FIELDS = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to"}
)
"""Header fields that the stored summary answers (RFC 9051 §7.5.2 ENVELOPE)."""

_MARKS = re.compile(r"[\u0300-\u036f\u0483-\u0487\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")
_ASCII = bytes(range(128))
_FOLDED_ONE_BY_ONE = 64
"""Other than ASCII, how many characters a text may be made of to be folded one character after another."""


_EPOCH = date(1970, 1, 1)
_DAY_SECONDS = 86400
_COMPARED: dict[DateOrder, Callable[[int, int], bool]] = {
    DateOrder.BEFORE: operator.lt,
    DateOrder.ON: operator.eq,
    DateOrder.SINCE: operator.ge,
}


class Cost(IntEnum):
    """What a key needs, cheapest first. MESSAGE opens the body: an access that is logged."""

    COLUMNS = 0
    SUMMARY = 1
    MESSAGE = 2


class Candidate(Protocol):
    """One message under test. What is sealed is opened only when it is asked for. Times are seconds since the epoch."""

    @property
    def number(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def modseq(self) -> int: ...
    @property
    def is_recent(self) -> bool: ...
    @property
    def received_at(self) -> int: ...
    @property
    def saved_at(self) -> int: ...
    @property
    def email_id(self) -> EmailId: ...
    @property
    def summary(self) -> SummaryView: ...
    def subject(self) -> str:
        """Decoded and whole."""

    def sent_day(self) -> date | None:
        """The day that the Date field writes, whatever its time and zone."""

    def header_field(self, name: str) -> Iterable[str]:
        """The values of a field that the summary does not hold, decoded."""

    def text(self, with_header: bool) -> str:
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
    def rounds(self) -> int:
        """How often messages that ``narrow`` left are gone through: by summaries, by messages, both or not at all."""
        return bool(self.columns or self.summary) + bool(self.message)

    def cheap_test(self) -> Test | None:
        """Of what ``narrow`` left, by columns and summary; None: there is nothing to ask of them."""
        tests = (*self.columns, *self.summary)
        return _all_of(tests) if tests else None

    def deep_test(self) -> Test | None:
        """Of what the cheap test left, by the messages themselves; None as above."""
        return _all_of(self.message) if self.message else None

    def narrow(self, view: MailboxView) -> list[int]:
        """Places (message number less one) that flags and sets leave; vanished messages are never among them."""
        mask, wanted, flags = self.flag_mask, self.flag_wanted, view.flags
        places = [at for start, stop in self.runs for at in range(start, stop) if flags[at] & mask == wanted]
        if not view.vanished:
            return places
        uids, vanished = view.uids, view.vanished
        return [at for at in places if uids[at] not in vanished]


def plan_search(key: SearchKey, view: MailboxView, now: int) -> Plan:
    """Split ``key`` for ``view`` as it is now, at ``now`` in seconds: a later ``apply`` that expunges makes the plan
    stale.
    """
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
                parts[cost_of(part)].append(_compile(part, view, now))
    if is_set & is_clear:
        runs = []
    tests = (tuple(parts[cost]) for cost in Cost)
    return Plan(tuple(runs), is_set | is_clear, is_set, *tests)


def cost_of(key: SearchKey) -> Cost:
    """The dearest data that deciding ``key`` may open."""
    match key:
        case EveryKey() | FlagKey() | RecentKey() | SetKey() | ModseqKey() | AgeKey() | EmailIdKey():
            return Cost.COLUMNS
        case SizeKey():
            return Cost.SUMMARY
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


def _compile(key: SearchKey, view: MailboxView, now: int) -> Test:
    match key:
        case EveryKey():
            return lambda _: True
        case FlagKey():
            return _flag_test(key, view)
        case RecentKey():
            return lambda candidate: candidate.is_recent
        case DateKey():
            return _date_test(key)
        case AgeKey(seconds, is_younger):  # RFC 5032 §2: both hold what is exactly as old
            target = now - seconds
            if is_younger:
                return lambda candidate: candidate.received_at >= target
            return lambda candidate: candidate.received_at <= target
        case EmailIdKey(email_id):
            return lambda candidate: candidate.email_id == email_id
        case SizeKey(size_bytes, is_larger):
            if is_larger:
                return lambda candidate: candidate.summary.size_bytes > size_bytes
            return lambda candidate: candidate.summary.size_bytes < size_bytes
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
            inner = _compile(key.key, view, now)
            return lambda candidate: not inner(candidate)
        case OrKey():
            choices = _compile_cheapest_first((key.left, key.right), view, now)
            return lambda candidate: any(test(candidate) for test in choices)
        case AndKey():
            return _all_of(_compile_cheapest_first(key.keys, view, now))
        case _:
            assert_never(key)


def _compile_cheapest_first(keys: Iterable[SearchKey], view: MailboxView, now: int) -> tuple[Test, ...]:
    return tuple(_compile(key, view, now) for key in sorted(keys, key=cost_of))


def _all_of(tests: tuple[Test, ...]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda candidate: all(test(candidate) for test in tests)


def _flag_test(key: FlagKey, view: MailboxView) -> Test:
    bit = find_flag_bit(key.flag, view.keywords) or 0
    wanted = bit if key.is_set else 0
    if not bit:
        return lambda _: not key.is_set
    return lambda candidate: candidate.flags & bit == wanted


def _date_test(key: DateKey) -> Test:
    """Only the day counts (RFC 9051 §6.4.4, RFC 8514 §4.2); a message without a date is found by no SENT key."""
    wanted, compare = (key.day - _EPOCH).days, _COMPARED[key.order]
    if key.field is DateField.INTERNAL:
        return lambda candidate: compare(candidate.received_at // _DAY_SECONDS, wanted)
    if key.field is DateField.SAVED:
        return lambda candidate: compare(candidate.saved_at // _DAY_SECONDS, wanted)

    def is_sent(candidate: Candidate) -> bool:
        sent_at = candidate.summary.sent_at
        if sent_at is None:
            return False
        near = sent_at // _DAY_SECONDS
        if abs(near - wanted) > 1:  # whatever its zone, the field writes this day or a neighbour of it
            return compare(near, wanted)
        day = candidate.sent_day()
        return day is not None and compare((day - _EPOCH).days, wanted)

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
    if name == "subject" and needle:
        return lambda candidate: needle in fold(candidate.subject())
    if name in SUMMARY_FIELDS:
        matcher = FieldMatcher(name, key.text, fold)
        return lambda candidate: matcher.is_match(candidate.summary.envelope)
    return lambda candidate: any(needle in fold(value) for value in candidate.header_field(name))
