"""SequenceSet: message numbers or UIDs as a client names them (RFC 9051 §9 sequence-set).

A set is a tuple of ranges; it is never expanded. Against a mailbox it becomes *runs*: sorted, disjoint, half-open
slices of the mailbox's columns, found by bisection, so that ``1:*`` over 100 000 messages is one slice.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailserver.imap.grammar import MAX_NUMBER, SEQUENCE_RANGE
from mailserver.model.errors import Malformed

STAR = MAX_NUMBER + 1
"""Stands for ``*``, the largest number in use; sorts above every number."""

Run = tuple[int, int]
"""First index and the index after the last one."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """Ranges (first, last) with first ≤ last, in the client's order; ``STAR`` may be either end.

    ``is_saved``: it is ``$``, which has no ranges of its own and which only a view can resolve (RFC 5182 §2.1).
    """

    ranges: tuple[tuple[int, int], ...]
    is_saved: bool = False

    def __post_init__(self) -> None:
        is_empty = not self.ranges
        if is_empty != self.is_saved or any(not 1 <= first <= last <= STAR for first, last in self.ranges):
            raise Malformed("bad_sequence_set")

    def resolved(self, highest: int) -> list[tuple[int, int]]:
        """Sorted, disjoint ranges once ``*`` is ``highest`` (0: empty mailbox, where ``*`` names nothing).

        A range holds its ends in either order, so ``559:*`` always holds the last message (RFC 9051 §9 seq-range).
        """
        concrete = sorted(
            _with_star(first, last, highest) for first, last in self.ranges if highest or last < STAR
        )
        merged: list[tuple[int, int]] = []
        for first, last in concrete:
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return merged

    def runs_of_uids(self, uids: Sequence[int]) -> list[Run]:
        """Slices of the sorted column ``uids`` that this set of UIDs names; unknown UIDs are passed over."""
        highest = uids[-1] if len(uids) else 0
        runs: list[Run] = []
        start = 0
        for first, last in self.resolved(highest):
            begin = bisect_left(uids, first, start)
            start = bisect_right(uids, last, begin)
            if begin < start:
                _add_run(runs, begin, start)
        return runs

    def runs_of_numbers(self, exists: int) -> list[Run]:
        """Slices of a mailbox of ``exists`` messages that this set of message numbers names, clipped to it."""
        return [(first - 1, min(last, exists)) for first, last in self.resolved(exists) if first <= exists]

    def is_within(self, exists: int) -> bool:
        """Whether every message number named exists; if not, RFC 9051 §9 asks for BAD. ``n:*`` asks for one message."""
        return all(last <= exists or (last == STAR and exists > 0) for _, last in self.ranges)


SAVED = SequenceSet((), is_saved=True)
"""``$``."""


def parse_sequence_set(text: bytes, *, most_ranges: int) -> SequenceSet:
    """RFC 9051 §9 sequence-set; Malformed ``bad_sequence_set``, or ``too_many_ranges`` beyond ``most_ranges``."""
    if text == b"$":
        return SAVED
    if text.count(b",") >= most_ranges:
        raise Malformed("too_many_ranges")
    return SequenceSet(tuple(_parse_range(piece) for piece in text.split(b",")))


def format_sequence_set(numbers: SequenceSet) -> bytes:
    """The wire form; parsing it gives an equal set."""
    if numbers.is_saved:
        return b"$"
    return b",".join(_format_range(first, last) for first, last in numbers.ranges)


def compact(numbers: Iterable[int]) -> SequenceSet:
    """The set that holds exactly these numbers; Malformed when there are none.

    Order is kept, as COPYUID (RFC 4315 §3) and a sorted result (RFC 5267 §3.2) need: only what ascends by one is a
    range.
    """
    ranges: list[tuple[int, int]] = []
    first = last = 0
    for number in numbers:
        if number == last + 1 and first:
            last = number
            continue
        if first:
            ranges.append((first, last))
        first = last = number
    if first:
        ranges.append((first, last))
    return SequenceSet(tuple(ranges))


def intersect_runs(left: list[Run], right: list[Run]) -> list[Run]:
    """The runs that are in both; each list sorted and disjoint, as the result."""
    both: list[Run] = []
    at_left = at_right = 0
    while at_left < len(left) and at_right < len(right):
        start = max(left[at_left][0], right[at_right][0])
        stop = min(left[at_left][1], right[at_right][1])
        if start < stop:
            both.append((start, stop))
        if left[at_left][1] < right[at_right][1]:
            at_left += 1
        else:
            at_right += 1
    return both


def _with_star(first: int, last: int, highest: int) -> tuple[int, int]:
    one = highest if first == STAR else first
    other = highest if last == STAR else last
    return (one, other) if one <= other else (other, one)


def _add_run(runs: list[Run], begin: int, end: int) -> None:
    if runs and runs[-1][1] == begin:
        runs[-1] = (runs[-1][0], end)
    else:
        runs.append((begin, end))


def _parse_range(piece: bytes) -> tuple[int, int]:
    found = SEQUENCE_RANGE.fullmatch(piece)
    if found is None:
        raise Malformed("bad_sequence_set")
    one = _parse_end(found[1])
    other = one if found[2] is None else _parse_end(found[2])
    return (one, other) if one <= other else (other, one)


def _parse_end(text: bytes) -> int:
    if text == b"*":
        return STAR
    number = int(text)
    if number > MAX_NUMBER:
        raise Malformed("bad_sequence_set")
    return number


def _format_range(first: int, last: int) -> bytes:
    one = b"*" if first == STAR else b"%d" % first
    if first == last:
        return one
    return one + b":" + (b"*" if last == STAR else b"%d" % last)
