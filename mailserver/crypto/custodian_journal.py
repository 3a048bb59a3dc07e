"""The custodian's own journal: JSON lines, each naming the SHA-256 of the line before it.

A line is written before the act it describes is answered; when it cannot be, the act is refused. Cutting the end
leaves no trace in the file itself: its head belongs in the access log and the backups.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailserver.model.errors import Corrupt, Unavailable

FIRST_PREVIOUS = "0" * 64
_TAIL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One act; ``basis`` says why it was right, without private data."""

    number: int
    time: datetime
    verb: str
    account: str
    basis: str
    previous: str


@dataclass(frozen=True, slots=True)
class JournalHead:
    """How many lines there are, and the SHA-256 (hex) of the last."""

    count: int
    digest: str


def format_journal_line(line: JournalLine) -> bytes:
    """One line of JSON with sorted keys, newline included."""
    fields = {
        "number": line.number,
        "time": line.time.astimezone(UTC).isoformat(),
        "verb": line.verb,
        "account": line.account,
        "basis": line.basis,
        "previous": line.previous,
    }
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def parse_journal_line(raw: bytes) -> JournalLine:
    """The line of ``raw``; Corrupt("custodian-journal") unless these are the exact bytes that it formats to."""
    try:
        fields = json.loads(raw)
        time = datetime.fromisoformat(fields["time"])
        line = JournalLine(
            int(fields["number"]),
            time,
            fields["verb"],
            fields["account"],
            fields["basis"],
            fields["previous"],
        )
        exact = format_journal_line(line) == raw
    except (ValueError, KeyError, TypeError):
        exact = False
    if not exact:
        raise Corrupt("custodian-journal")
    return line


class Journal:
    """Appends to an open descriptor. Not thread-safe: the custodian holds its lock."""

    __slots__ = ("_descriptor", "_failed", "head", "recent")

    def __init__(self, descriptor: int) -> None:
        """Find the head; an unfinished last line (a crash while writing) is removed. Corrupt when the rest is no journal."""
        self._descriptor = descriptor
        self._failed = False
        size = os.fstat(descriptor).st_size
        start = max(0, size - _TAIL_BYTES)
        tail = os.pread(descriptor, size - start, start)
        kept = tail.rfind(b"\n") + 1
        if kept < len(tail):
            os.ftruncate(descriptor, start + kept)
        lines = tail[:kept].splitlines(keepends=True)
        if start:
            del lines[:1]
        self.recent = [parse_journal_line(raw) for raw in lines]
        self.head = JournalHead(0, FIRST_PREVIOUS)
        if lines:
            self.head = JournalHead(self.recent[-1].number, _digest(lines[-1]))

    def append(self, time: datetime, verb: str, account: bytes, basis: str, *, sync: bool) -> None:
        """Write one line, durable when ``sync``; Unavailable("custodian-journal") when it cannot.

        After a failed sync every later call is refused too: the process must start again.
        """
        if self._failed:
            raise Unavailable("custodian-journal")
        line = JournalLine(self.head.count + 1, time, verb, account.hex(), basis, self.head.digest)
        raw = format_journal_line(line)
        self._failed = True
        try:
            is_written = self._write(raw, sync=sync)
        except OSError:  # R5: what is on the disk is unknown; only opening again tells
            raise Unavailable("custodian-journal") from None
        self._failed = False
        if not is_written:
            raise Unavailable("custodian-journal")
        self.head = JournalHead(line.number, _digest(raw))

    def _write(self, raw: bytes, *, sync: bool) -> bool:
        """Whether the line is down; False without a trace when the disk is full. OSError when neither is known."""
        size = os.fstat(self._descriptor).st_size
        try:
            is_whole = os.write(self._descriptor, raw) == len(raw)
        except OSError:
            is_whole = False
        if not is_whole:
            os.ftruncate(self._descriptor, size)
            return False
        if sync:
            os.fdatasync(self._descriptor)
        return True

    def close(self) -> None:
        os.close(self._descriptor)


def verify_journal(path: Path) -> JournalHead:
    """Read the whole journal and return its head; Corrupt("custodian-journal") at the first line out of its chain."""
    with path.open("rb") as file:
        return _verify(file)


def _verify(lines: Iterable[bytes]) -> JournalHead:
    head = JournalHead(0, FIRST_PREVIOUS)
    for raw in lines:
        line = parse_journal_line(raw)
        if line.previous != head.digest or line.number != head.count + 1:
            raise Corrupt("custodian-journal")
        head = JournalHead(line.number, _digest(raw))
    return head


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
