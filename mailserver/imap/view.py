"""MailboxView: what one session believes about its selected mailbox (RFC 9051 §5.2, §5.5, §7.5.1).

Parallel columns sorted by UID; a message's number is its place, plus one. The store tells it Changes; it answers with
the untagged responses that make the client believe the same. A vanished message keeps its place until its EXPUNGE is
sent, so that numbers never move under a command that uses them.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache

from mailserver.imap.encode import (
    format_exists,
    format_expunge,
    format_fetch,
    format_recent,
    format_vanished,
)
from mailserver.imap.flags import format_flags
from mailserver.imap.sequence_set import Run, SequenceSet, compact
from mailserver.model.errors import NotFound
from mailserver.model.mailbox_columns import TYPECODE, MailboxColumns, parse_columns, without


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message is in the mailbox; UIDs arrive in ascending order."""

    uid: int
    flags: int
    modseq: int


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    uid: int
    flags: int
    modseq: int


@dataclass(frozen=True, slots=True)
class Vanished:
    uid: int


Change = Arrived | FlagsChanged | Vanished


@dataclass(frozen=True, slots=True)
class Dialect:
    """What this client is told along with flags: UID, MODSEQ (RFC 7162 §3.2), RECENT (gone in IMAP4rev2); and whether
    messages leave by VANISHED with their UIDs instead of EXPUNGE with their numbers (RFC 7162 §3.2.10).
    """

    with_uid: bool = False
    with_modseq: bool = False
    with_recent: bool = True
    with_vanished: bool = False


_LOWEST_OCTET = 0 if sys.byteorder == "little" else array(TYPECODE).itemsize - 1
_FLAGS_AT_ONCE = 4096
"""So many are looked at in one go: the first unseen message often stands near the beginning."""


@cache
def _lacking(bit: int) -> bytes:
    """Octet → 1 when it lacks the bit, else 0."""
    return bytes(not octet & bit for octet in range(256))


class MailboxView:
    """One per selected mailbox; not thread-safe. ``keywords`` are the mailbox's own, as they stand now."""

    def __init__(
        self,
        uids: Iterable[int],
        flags: Iterable[int],
        modseqs: Iterable[int],
        *,
        keywords: tuple[str, ...] = (),
        recent_from: int | None = None,
    ) -> None:
        r"""Columns of one length, UIDs strictly ascending, or Corrupt ``bad_columns``.

        ``recent_from``: the first UID that no session was told about before (RFC 3501 §2.3.2); None: none is recent.
        """
        self._take(parse_columns(uids, flags, modseqs), keywords, recent_from)

    @classmethod
    def of_columns(
        cls, columns: MailboxColumns, keywords: tuple[str, ...] = (), recent_from: int | None = None
    ) -> "MailboxView":
        """A view of columns that are sound already and belong to others too: copied at the first change."""
        view = cls.__new__(cls)
        view._take(columns, keywords, recent_from, is_shared=True)  # noqa: SLF001 # of its own class
        return view

    def _take(
        self,
        columns: MailboxColumns,
        keywords: tuple[str, ...],
        recent_from: int | None,
        *,
        is_shared: bool = False,
    ) -> None:
        self.keywords = keywords
        self._uids, self._flags, self._modseqs = columns.uids, columns.flags, columns.modseqs
        self._is_shared = is_shared
        self._vanished: set[int] = set()
        self._saved: SequenceSet | None = None
        self._next_uid = self._uids[-1] + 1 if self._uids else 1
        self._recent_from = self._next_uid if recent_from is None else recent_from

    def _own(self) -> None:
        """Before any change: columns that belong to others too are copied."""
        if self._is_shared:
            self._uids, self._flags, self._modseqs = self._uids[:], self._flags[:], self._modseqs[:]
            self._is_shared = False

    @property
    def exists(self) -> int:
        """The number of messages the client counts, vanished ones that it was not told of included."""
        return len(self._uids)

    @property
    def recent(self) -> int:
        return len(self._uids) - bisect_left(self._uids, self._recent_from)

    @property
    def uids(self) -> Sequence[int]:
        """The UID column; not to be changed, and not to be kept across ``apply``."""
        return self._uids

    @property
    def flags(self) -> Sequence[int]:
        """The flag column, parallel to ``uids``."""
        return self._flags

    @property
    def modseqs(self) -> Sequence[int]:
        """The modseq column, parallel to ``uids``."""
        return self._modseqs

    def uid_at(self, number: int) -> int:
        """The UID of message ``number``, from 1; NotFound ``no_such_message``."""
        if not 1 <= number <= len(self._uids):
            raise NotFound("no_such_message")
        return self._uids[number - 1]

    def find_number(self, uid: int) -> int | None:
        """The message number of ``uid``."""
        at = bisect_left(self._uids, uid)
        return at + 1 if at < len(self._uids) and self._uids[at] == uid else None

    @property
    def vanished(self) -> AbstractSet[int]:
        """UIDs of messages that are gone though the client still counts them; not to be changed."""
        return self._vanished

    def forget_recent(self) -> None:
        r"""No message is \Recent any more, nor will be: there is no such flag in IMAP4rev2 (RFC 9051 §7.1)."""
        self._recent_from = 1 << 63

    def is_recent(self, uid: int) -> bool:
        return uid >= self._recent_from

    def first_unseen(self, seen_bit: int) -> int | None:
        """The number of the first message without that flag, a bit of the lowest eight (RFC 3501 §7.1 UNSEEN)."""
        flags, lacking = self._flags, _lacking(seen_bit)
        for start in range(0, len(flags), _FLAGS_AT_ONCE):
            octets = flags[start : start + _FLAGS_AT_ONCE].tobytes()
            at = octets[_LOWEST_OCTET :: flags.itemsize].translate(lacking).find(1)
            if at >= 0:
                return start + at + 1
        return None

    def runs_of(self, messages: SequenceSet, *, uid: bool) -> list[Run]:
        """Slices of the columns that a client's set names; ``$`` is what a SEARCH saved (RFC 5182 §2.1)."""
        if messages.is_saved:
            return self._saved.runs_of_uids(self._uids) if self._saved else []
        return messages.runs_of_uids(self._uids) if uid else messages.runs_of_numbers(len(self._uids))

    def uids_of(self, messages: SequenceSet, *, uid: bool) -> Sequence[int]:
        """The UIDs a client's set names, ascending; vanished ones included."""
        found = array("Q")
        for start, stop in self.runs_of(messages, uid=uid):
            found += self._uids[start:stop]
        return found

    def uid_ranges_of(self, uids: SequenceSet) -> list[tuple[int, int]]:
        """The sorted, disjoint UID ranges that a client's set of UIDs names, known here or not."""
        if uids.is_saved:
            return list(self._saved.ranges) if self._saved else []
        return uids.resolved(self._uids[-1] if self._uids else 0)

    def save_result(self, places: Iterable[int]) -> None:
        """Remember these messages as ``$`` until the next ``save_result`` (RFC 5182 §2.1).

        Kept as UIDs, so that what is expunged leaves by itself; a new SELECT has a new view, where ``$`` is empty.
        """
        uids = sorted(self._uids[at] for at in places)
        self._saved = compact(uids) if uids else None

    def note_flags(
        self,
        changed: Sequence[tuple[int, int]],
        modseq: int,
        foresee: Callable[[int], int] | None = None,
    ) -> list[int]:
        """Believe these (uid, flags), by UID, without telling: STORE .SILENT (RFC 9051 §6.4.6), and flags that a FETCH
        just told.

        ``foresee``: what the client takes the flags for that it was told last; the UIDs for which that is wrong.
        """
        surprising = []
        self._own()
        columns, modseqs = self._flags, self._modseqs
        for at, (uid, flags) in zip(self._places_of([uid for uid, _flags in changed]), changed, strict=True):
            if at is None:
                continue
            if foresee and foresee(columns[at]) != flags:
                surprising.append(uid)
            if modseq > modseqs[at]:
                columns[at], modseqs[at] = flags, modseq
        return surprising

    def _places_of(self, uids: Sequence[int]) -> Sequence[int | None]:
        """Where these ascending UIDs stand in the columns; most often they are neighbours."""
        if not uids:
            return ()
        start = bisect_left(self._uids, uids[0])
        if self._uids[start : start + len(uids)].tolist() == list(uids):
            return range(start, start + len(uids))
        return [None if number is None else number - 1 for number in map(self.find_number, uids)]

    def apply(
        self, changes: Iterable[Change], *, hold_expunges: bool, dialect: Dialect | None = None
    ) -> list[bytes]:
        """The responses that bring the client up to date, in the order EXPUNGE, EXISTS, RECENT, FETCH.

        What it already believes is not repeated. ``hold_expunges``: see ``states.holds_expunges``; those held come
        with the next call that does not hold.
        """
        dialect = dialect or Dialect()
        before, first_new = len(self._uids), self._next_uid
        told: set[int] = set()
        for change in changes:
            if isinstance(change, Vanished):
                self._vanish(change.uid, first_new)
            elif change.uid >= self._next_uid:
                self._append(change)
            elif self._believe(change, with_modseq=dialect.with_modseq) and change.uid < first_new:
                told.add(change.uid)
        has_arrived = len(self._uids) > before
        responses = [] if hold_expunges else self._expunge(with_vanished=dialect.with_vanished)
        if has_arrived:
            responses.append(format_exists(len(self._uids)))
            if dialect.with_recent:
                responses.append(format_recent(self.recent))
        responses += self.format_flags_of(sorted(told), dialect)
        return responses

    def format_flags_of(self, uids: Sequence[int], dialect: Dialect) -> list[bytes]:
        """FETCH responses with the flags of these messages, ascending; those that are gone are passed over."""
        recent_from = self._recent_from if dialect.with_recent else 1 << 63
        flags, modseqs, vanished = self._flags, self._modseqs, self._vanished
        named = zip(self._places_of(uids), uids, strict=True)
        here = [(at, uid) for at, uid in named if at is not None and uid not in vanished]
        combinations = [(flags[at], uid >= recent_from) for at, uid in here]
        texts = {each: format_flags(each[0], self.keywords, each[1]) for each in set(combinations)}
        template = b"* %d FETCH (FLAGS %b"
        columns: list[Iterable[object]] = [[at + 1 for at, _uid in here], map(texts.get, combinations)]
        if dialect.with_uid:
            template += b" UID %d"
            columns.append([uid for _at, uid in here])
        if dialect.with_modseq:
            template += b" MODSEQ (%d)"
            columns.append([modseqs[at] for at, _uid in here])
        template += b")\r\n"
        return [template % row for row in zip(*columns, strict=True)]

    def format_modseqs_of(self, uids: Iterable[int], *, with_uid: bool) -> list[bytes]:
        """FETCH responses with the mod-sequences alone: what a silent STORE still tells (RFC 7162 §3.1.3)."""
        responses = []
        for uid in uids:
            number = self.find_number(uid)
            if number is not None and uid not in self._vanished:
                pieces = [b"UID %d" % uid] if with_uid else []
                pieces.append(b"MODSEQ (%d)" % self._modseqs[number - 1])
                responses.append(format_fetch(number, pieces))
        return responses

    def _append(self, change: Arrived | FlagsChanged) -> None:
        self._own()
        self._uids.append(change.uid)
        self._flags.append(change.flags)
        self._modseqs.append(change.modseq)
        self._next_uid = change.uid + 1

    def _vanish(self, uid: int, first_new: int) -> None:
        """Wait for an EXPUNGE, unless the client was never told of the message."""
        at = bisect_left(self._uids, uid)
        if at == len(self._uids) or self._uids[at] != uid:
            return
        if uid < first_new:
            self._vanished.add(uid)
        else:
            self._own()
            del self._uids[at], self._flags[at], self._modseqs[at]

    def _believe(self, change: Arrived | FlagsChanged, *, with_modseq: bool = False) -> bool:
        """Take over flags; whether the client would see a difference. Older and unknown news change nothing."""
        number = self.find_number(change.uid)
        if number is None or change.modseq <= self._modseqs[number - 1]:
            return False
        self._own()
        is_different = self._flags[number - 1] != change.flags
        self._flags[number - 1] = change.flags
        self._modseqs[number - 1] = change.modseq
        return is_different or with_modseq

    def _expunge(self, *, with_vanished: bool) -> list[bytes]:
        """Forget the vanished messages in one pass; highest first, so that no number moves before it is told."""
        left = sorted(self._vanished)
        gone = [bisect_left(self._uids, uid) for uid in left]
        self._vanished.clear()
        if gone:
            self._uids = without(self._uids, gone)
            self._flags = without(self._flags, gone)
            self._modseqs = without(self._modseqs, gone)
            self._is_shared = False
        if with_vanished:
            return [format_vanished(compact(left))] if left else []
        return [format_expunge(at + 1) for at in reversed(gone)]
