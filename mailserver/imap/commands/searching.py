"""SEARCH, SORT and THREAD (RFC 9051 §6.4.4, RFC 5256 §3), and which part of a result is asked for (RFC 4731 §3.1,
RFC 5182, RFC 5267 §3, RFC 9394).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from mailserver.imap.search_keys import SearchKey
from mailserver.model.errors import Malformed

T = TypeVar("T")


class ResultOption(StrEnum):
    """RFC 4731 §3.1, and RFC 5182 §2 for SAVE."""

    MIN = "MIN"
    MAX = "MAX"
    ALL = "ALL"
    COUNT = "COUNT"
    SAVE = "SAVE"


@dataclass(frozen=True, slots=True)
class ResultRange:
    """PARTIAL's range (RFC 9394 §4): places in a result from 1, or from its end when negative; in either order."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if self.first * self.last <= 0:
            raise Malformed("bad_partial")

    def part_of(self, result: Sequence[T]) -> Sequence[T]:
        """What of ``result`` the range covers; empty when it lies outside (RFC 9394 §3.1)."""
        low, high = sorted((self.first, self.last))
        if low > 0:
            return result[low - 1 : high]
        return result[max(0, len(result) + low) : max(0, len(result) + high + 1)]


@dataclass(frozen=True, slots=True)
class Returns:
    """RETURN (…): what is told of a result. Without any option that is ALL (RFC 4731 §3.1)."""

    options: frozenset[ResultOption]
    partial: ResultRange | None = None

    def __post_init__(self) -> None:
        if self.partial is not None and ResultOption.ALL in self.options:  # RFC 9394 §3.1
            raise Malformed("bad_result_option", "PARTIAL and ALL exclude each other")

    @property
    def saves(self) -> bool:
        """Whether the result becomes ``$`` (RFC 5182 §2)."""
        return ResultOption.SAVE in self.options

    @property
    def is_silent(self) -> bool:
        """SAVE alone: nothing is told (RFC 5182 §1)."""
        return self.options == {ResultOption.SAVE} and self.partial is None

    def concerned(self, places: Sequence[int]) -> Sequence[int]:
        """The messages of a result that the answer speaks of: those that SAVE keeps (RFC 5182 §2.4, RFC 9394 §3.2) and
        whose highest mod-sequence is told (RFC 4731 §3.2).
        """
        has = self.options
        ends = has & {ResultOption.MIN, ResultOption.MAX}
        if has & {ResultOption.ALL, ResultOption.COUNT} or not (ends or self.partial):
            return places
        chosen = set(self.partial.part_of(places)) if self.partial else set()
        if ResultOption.MIN in has:
            chosen.update(places[:1])
        if ResultOption.MAX in has:
            chosen.update(places[-1:])
        return sorted(chosen)


@dataclass(frozen=True, slots=True)
class Search:
    """RFC 9051 §6.4.4; texts are already decoded from ``charset``, unless that is one we lack."""

    key: SearchKey
    charset: str | None = None
    uid: bool = False
    returns: Returns | None = None


class SortKey(StrEnum):
    """RFC 5256 §3; the last two RFC 5957 §4."""

    ARRIVAL = "ARRIVAL"
    CC = "CC"
    DATE = "DATE"
    FROM = "FROM"
    SIZE = "SIZE"
    SUBJECT = "SUBJECT"
    TO = "TO"
    DISPLAYFROM = "DISPLAYFROM"
    DISPLAYTO = "DISPLAYTO"


@dataclass(frozen=True, slots=True)
class SortCriterion:
    key: SortKey
    is_reverse: bool = False


@dataclass(frozen=True, slots=True)
class Sort:
    """RFC 5256 §3; with ``returns``, RFC 5267 §3. The first criterion matters most."""

    criteria: tuple[SortCriterion, ...]
    key: SearchKey
    charset: str
    uid: bool = False
    returns: Returns | None = None


class ThreadAlgorithm(StrEnum):
    """RFC 5256 §3."""

    ORDEREDSUBJECT = "ORDEREDSUBJECT"
    REFERENCES = "REFERENCES"


@dataclass(frozen=True, slots=True)
class Thread:
    """RFC 5256 §3."""

    algorithm: ThreadAlgorithm
    key: SearchKey
    charset: str
    uid: bool = False
