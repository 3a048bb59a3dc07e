"""What a mail client believes of its selected mailbox, from the server's untagged responses and nothing else."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_EXISTS = re.compile(r"\* (\d+) EXISTS")
_EXPUNGE = re.compile(r"\* (\d+) EXPUNGE")
_VANISHED = re.compile(r"\* VANISHED (\(EARLIER\) )?([\d:,]+)")
_FETCH = re.compile(r"\* (\d+) FETCH \((.*)\)")
_ITEM = re.compile(r"FLAGS \((?P<flags>[^)]*)\)|UID (?P<uid>\d+)|MODSEQ \((?P<modseq>\d+)\)")

Flags = frozenset[str]


@dataclass(eq=False)
class Known:
    """One message; None is what the server has not said."""

    uid: int | None = None
    flags: Flags | None = None
    modseq: int | None = None

    def __str__(self) -> str:
        flags = "?" if self.flags is None else " ".join(sorted(self.flags))
        return f"{self.uid or '?'} ({flags}) {self.modseq or ''}".strip()


def read_set(text: str) -> list[int]:
    """The numbers of a set without ``*``."""
    numbers: list[int] = []
    for piece in text.split(","):
        first, _, last = piece.partition(":")
        low, high = sorted((int(first), int(last or first)))
        numbers += range(low, high + 1)
    return numbers


@dataclass
class Picture:
    """Messages in order: the place is the message number, less one. ``has_qresync``: messages leave by VANISHED."""

    has_qresync: bool = False
    messages: list[Known] = field(default_factory=list)
    highest_modseq: int = 0
    """Of the MODSEQ items seen; what a client may remember once its command is answered (RFC 7162 §3.2)."""
    earlier: set[int] = field(default_factory=set)
    """UIDs told by VANISHED (EARLIER)."""
    told: set[int] = field(default_factory=set)
    """id() of each Known whose flags were told since this was last emptied."""
    has_shrunk: bool = False

    def take(self, line: str) -> None:
        """Believe one untagged response. AssertionError when it cannot be true."""
        if found := _EXISTS.fullmatch(line):
            count = int(found[1])
            assert count >= len(self.messages), "EXISTS takes messages away"
            self.messages += [Known() for _ in range(count - len(self.messages))]
        elif found := _EXPUNGE.fullmatch(line):
            assert not self.has_qresync, "EXPUNGE to a client that knows VANISHED"
            self._leave(int(found[1]) - 1)
        elif found := _VANISHED.fullmatch(line):
            assert self.has_qresync, "VANISHED to a client that did not ask for it"
            self._vanish(read_set(found[2]), is_earlier=bool(found[1]))
        elif found := _FETCH.fullmatch(line):
            self._fetch(int(found[1]) - 1, found[2])

    def _leave(self, at: int) -> None:
        assert 0 <= at < len(self.messages), "no such message number"
        del self.messages[at]
        self.has_shrunk = True

    def _vanish(self, uids: Iterable[int], *, is_earlier: bool) -> None:
        for uid in uids:
            at = next((at for at, each in enumerate(self.messages) if each.uid == uid), None)
            if is_earlier:
                assert at is None, "VANISHED (EARLIER) of a message that is still counted"
                self.earlier.add(uid)
                continue
            if at is None:  # one that arrived unseen: those come last
                unseen = [at for at, each in enumerate(self.messages) if each.uid is None]
                assert unseen, f"VANISHED of UID {uid}, which the client never had"
                at = unseen[-1]
            self._leave(at)

    def _fetch(self, at: int, items: str) -> None:
        assert 0 <= at < len(self.messages), "no such message number"
        known = self.messages[at]
        for item in _ITEM.finditer(items):
            if item["uid"] is not None:
                uid = int(item["uid"])
                assert known.uid in {None, uid}, f"message {at + 1} was UID {known.uid}"
                known.uid = uid
            elif item["flags"] is not None:
                known.flags = frozenset(item["flags"].split()) - {"\\Recent"}
                self.told.add(id(known))
            else:
                known.modseq = int(item["modseq"])
                self.highest_modseq = max(self.highest_modseq, known.modseq)
        assert not self.has_qresync or known.uid is not None, "FETCH without UID after ENABLE QRESYNC"

    def first_unknown(self) -> int | None:
        """The number of the first message of which something is not known."""
        return next(
            (n for n, each in enumerate(self.messages, 1) if each.uid is None or each.flags is None), None
        )

    def find_difference(self, truth: dict[int, Flags]) -> str | None:
        """Where what is believed is not so; what is not known yet is no difference."""
        uids = sorted(truth)
        if len(uids) != len(self.messages):
            return f"{len(self.messages)} messages, not {len(uids)}"
        for number, (uid, known) in enumerate(zip(uids, self.messages, strict=True), 1):
            if known.uid not in {None, uid} or known.flags not in {None, truth[uid]}:
                return f"message {number} is {known}, not {Known(uid, truth[uid])}"
        return None
