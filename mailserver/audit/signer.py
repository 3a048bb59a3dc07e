"""The log's signer, on the custodian's side, with a state of its own (L5, L7).

It never takes a root from its caller: it receives leaf data, checks that the batch continues its tree and each
account's chain, appends to its own frontier, and signs only what is already synced to its disk. So it cannot be
led to sign two trees that differ under one name, even by a caller that lost its database. A missing state file is an
error, never a new log: only ``create_log_state`` makes one. After a restore the log goes on under another name
(``app.log_reopening``), from a state of its own; the one before stays as it was.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from threading import Lock

from mailserver.audit.checkpoint import Checkpoint, is_log_of, sign_checkpoint
from mailserver.audit.entry import AccountHead, LeafData, parse_leaf
from mailserver.audit.merkle import Frontier, format_frontier, parse_frontier
from mailserver.audit.sign_request import (
    SignerHead,
    SignRequest,
    format_signer_head,
    parse_sign_request,
)
from mailserver.crypto.log_keys import LogSigningKeys
from mailserver.model.errors import Conflict, Corrupt, NotFound, Unavailable

_SCHEMA = (
    "CREATE TABLE tree (id INTEGER PRIMARY KEY CHECK (id = 1), origin TEXT, frontier BLOB, signed_at TEXT)",
    "CREATE TABLE head (pseudonym BLOB PRIMARY KEY, count INTEGER, last BLOB) WITHOUT ROWID",
    "CREATE TABLE tail (leaf_index INTEGER PRIMARY KEY, leaf_hash BLOB)",
)


def create_log_state(state_path: Path, origin: str) -> None:
    """The state of a log without leaves. Raises Conflict("log-state") when the file exists."""
    Checkpoint(origin, 0, Frontier().root())
    try:
        state_path.touch(mode=0o600, exist_ok=False)
    except FileExistsError as error:
        raise Conflict("log-state") from error
    with closing(_connect(state_path)) as db:
        db.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            db.execute(statement)
        db.execute("INSERT INTO tree VALUES (1, ?, ?, '')", (origin, format_frontier(Frontier())))
        db.execute("COMMIT")


def _connect(state_path: Path) -> sqlite3.Connection:
    # TRUNCATE syncs the emptied journal, so a commit that returned is not rolled back by a power cut
    db = sqlite3.connect(state_path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        db.execute("PRAGMA journal_mode=TRUNCATE")
        db.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error:
        db.close()
        raise
    return db


def _open_state(state_path: Path, origin: str) -> tuple[sqlite3.Connection, str]:
    """The state and its log's own name, which is ``origin`` or one that this was reopened as."""
    db = _connect(state_path)
    try:
        has_tree = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'tree'").fetchone()[0]
        row = db.execute("SELECT origin FROM tree").fetchone() if has_tree else None
    except sqlite3.Error:
        db.close()
        raise
    if row is None or not is_log_of(row[0], origin):
        db.close()
        raise Conflict("log-origin")
    return db, row[0]


class LogSigner:
    """Signs one log. Safe to call from several threads; one process at a time holds the lock of the file."""

    def __init__(self, state_path: Path, keys: LogSigningKeys, origin: str) -> None:
        """Raises NotFound, Corrupt or Unavailable("log-state"); Conflict("log-origin") for another log's state."""
        if not state_path.is_file():
            raise NotFound("log-state")
        self._keys = keys
        self._lock = Lock()
        try:
            self._db, self.origin = _open_state(state_path, origin)
        except sqlite3.OperationalError as error:
            raise Unavailable("log-state") from error
        except sqlite3.DatabaseError as error:
            raise Corrupt("log-state") from error

    def close(self) -> None:
        """Release the state file."""
        self._db.close()

    def sign_leaves(self, first_index: int, leaves: Sequence[bytes], now: datetime) -> bytes:
        """Append ``leaves`` at ``first_index`` and return the signed checkpoint of the tree.

        Leaves that the last batch already holds, byte for byte and at the same index, are passed over: a
        sequencer that never saw the answer may repeat its request, alone or with more leaves behind.
        Raises Conflict: "log-fork" (a gap, or other leaves at signed indexes), "log-sequence" (an account's
        chain does not follow; the detail is its pseudonym); Malformed; OverLimit; Unavailable("log-state") when the disk refuses. Then
        nothing has changed.
        """
        request = SignRequest(first_index, tuple(leaves))
        parsed = [parse_leaf(leaf) for leaf in request.leaves]
        with self._lock:
            frontier = self._append(first_index, parsed, now)
        return self._sign(frontier)

    def current(self) -> SignerHead:
        """Where the signer stands, freshly signed."""
        with self._lock:
            try:
                frontier = self._frontier()
                tail = self._tail()
            except sqlite3.Error as error:
                raise Unavailable("log-state") from error
        first = frontier.size - len(tail)
        return SignerHead(frontier.size, first, tuple(tail), self._sign(frontier))

    def list_heads(self) -> dict[bytes, AccountHead]:
        """The end of each account's chain as it was signed, by pseudonym."""
        with self._lock:
            rows = self._db.execute("SELECT pseudonym, count, last FROM head").fetchall()
        return {pseudonym: AccountHead(pseudonym, count, last) for pseudonym, count, last in rows}

    def answer(self, request: bytes, now: datetime) -> bytes:
        """``sign_leaves`` over a channel: a request's bytes in, the signer's head out; no leaves only asks."""
        parsed = parse_sign_request(request)
        if parsed.leaves:
            self.sign_leaves(parsed.first_index, parsed.leaves, now)
        return format_signer_head(self.current())

    def _append(self, first_index: int, leaves: list[LeafData], now: datetime) -> Frontier:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            frontier = self._frontier()
            fresh = leaves[self._already_signed(frontier.size, first_index, leaves) :]
            if not fresh:
                return frontier
            hashes = self._follow_chains(fresh)
            frontier = self._keep(frontier, first_index, hashes, now)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise Unavailable("log-state") from error
        else:
            return frontier
        finally:
            if self._db.in_transaction:
                with suppress(
                    sqlite3.Error
                ):  # the first error is the one to tell; SQLite rolls back on close
                    self._db.execute("ROLLBACK")

    def _already_signed(self, size: int, first_index: int, leaves: list[LeafData]) -> int:
        """How many of ``leaves`` are the signed tail again. Raises Conflict("log-fork")."""
        tail = self._tail()
        offset = first_index - (size - len(tail))
        if offset < 0 or first_index > size:
            raise Conflict("log-fork")
        repeated = tail[offset : offset + len(leaves)]
        if repeated != [leaf.leaf_hash() for leaf in leaves[: len(repeated)]]:
            raise Conflict("log-fork")
        return len(repeated)

    def _follow_chains(self, leaves: list[LeafData]) -> list[bytes]:
        """Move each account's head over its leaves; return the leaf hashes. Raises Conflict("log-sequence", the
        pseudonym in hexadecimal): one account whose chain breaks must not keep the others waiting.
        """
        heads: dict[bytes, AccountHead] = {}
        hashes = []
        for leaf in leaves:
            head = heads.get(leaf.pseudonym) or self._head(leaf.pseudonym)
            try:
                heads[leaf.pseudonym] = head = head.accept(leaf)
            except Conflict as error:
                raise Conflict(error.code, leaf.pseudonym.hex()) from error
            hashes.append(head.last)
        self._db.executemany(
            "INSERT OR REPLACE INTO head VALUES (?, ?, ?)",
            [(head.pseudonym, head.count, head.last) for head in heads.values()],
        )
        return hashes

    def _keep(self, frontier: Frontier, first_index: int, hashes: list[bytes], now: datetime) -> Frontier:
        grown = frontier.extend(hashes)
        # the tail is the whole last request, its repeated part included: it may come once more
        self._db.execute("DELETE FROM tail WHERE leaf_index < ?", (first_index,))
        self._db.executemany("INSERT INTO tail VALUES (?, ?)", enumerate(hashes, frontier.size))
        self._db.execute(
            "UPDATE tree SET frontier = ?, signed_at = ?", (format_frontier(grown), now.isoformat())
        )
        return grown

    def _frontier(self) -> Frontier:
        row = self._db.execute("SELECT frontier FROM tree").fetchone()
        return parse_frontier(row[0])

    def _tail(self) -> list[bytes]:
        rows = self._db.execute("SELECT leaf_hash FROM tail ORDER BY leaf_index")
        return [row[0] for row in rows]

    def _head(self, pseudonym: bytes) -> AccountHead:
        row = self._db.execute("SELECT count, last FROM head WHERE pseudonym = ?", (pseudonym,)).fetchone()
        return AccountHead(pseudonym, row[0], row[1]) if row else AccountHead(pseudonym)

    def _sign(self, frontier: Frontier) -> bytes:
        return sign_checkpoint(Checkpoint(self.origin, frontier.size, frontier.root()), self._keys)
