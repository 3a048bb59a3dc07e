"""The sequencer (L5): one at a time, by a fenced lease, it moves pending leaves into the tree, has the custodian's
signer sign the new head, and writes tiles and checkpoint in one transaction. It runs beside the signer, away from
the workers, who write its input: each leaf is checked, and an account whose chain does not follow is set aside, so
that it keeps nobody else's entries from the tree.

The signer is ahead of the store only when a commit was lost after a signature; the same leaves are then given again
in the order that the signer holds.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mailserver.audit.entry import parse_leaf
from mailserver.audit.merkle import leaf_hash
from mailserver.audit.sign_request import MAX_LEAVES, SignerHead, format_sign_request, parse_signer_head
from mailserver.audit.tiles import Tile, grow_tiles
from mailserver.crypto.secret import random_id
from mailserver.model.errors import Conflict, Malformed, NotFound
from mailserver.model.ids import NOBODY, AccountId
from mailserver.service.log_check import is_signed_log
from mailserver.store import leases, log_rows
from mailserver.store.database import Connection
from mailserver.store.log_rows import PendingLeaf, PendingPage
from mailserver.store.store import Store
from mailserver.store.writer import Unit

LEASE_NAME = "log-sequencer"
LEASE_SECONDS = 60
ASIDE_SECONDS = 600
"""An account that was set aside is looked at again, and named again in the operator's log, after this time."""
"""Units of the log as a whole sort before every account's."""

SignLog = Callable[[bytes], bytes]
"""The custodian's verb: a sign request in, the signer's head out."""

logger = logging.getLogger("pli.sequencer")


@dataclass(frozen=True, slots=True)
class _Batch:
    """Leaves to place from ``size`` on, and the pseudonyms of their accounts."""

    size: int
    leaves: list[PendingLeaf]
    pseudonyms: dict[AccountId, bytes]


class Sequencer:
    """``holder`` names who holds the lease; at random unless given."""

    def __init__(self, store: Store, sign: SignLog, holder: bytes | None = None) -> None:
        self._store = store
        self._sign = sign
        self._holder = holder or random_id()
        self._aside: dict[AccountId, int] = {}

    @property
    def set_aside(self) -> frozenset[AccountId]:
        """Accounts whose chain does not follow: their entries wait until an operator has looked."""
        return frozenset(self._aside)

    def find_oldest(self) -> int | None:
        """When the oldest entry that waits was written (seconds), accounts set aside left out."""
        with self._store.database.read() as connection:
            return log_rows.find_oldest_pending(connection, self.set_aside)

    def verify_tree(self) -> None:
        """Raises Conflict("log-fork") when the store's log is not the signer's: told before anything new is written."""
        signed = parse_signer_head(self._sign(format_sign_request(0, [])))
        with self._store.database.read() as connection:
            if not is_signed_log(connection, self._store.macs, signed):
                raise Conflict("log-fork")

    def step(self, now: datetime) -> int:
        """Sequence what waits, at most 1000 leaves. Returns how many; 0 when idle or another holds the lease.

        Raises Conflict("log-fork") when the store's tree is not the signer's: an operator must look.
        """
        at = int(now.timestamp())
        self._aside = {each: since for each, since in self._aside.items() if at < since + ASIDE_SECONDS}
        if self.find_oldest() is None:
            return 0
        if not self._store.writer.commit(Unit(NOBODY, lambda connection: self._lease(connection, at))):
            return 0
        while True:
            batch = self._take(at)
            if not batch.leaves:
                return 0
            answer = self._signed(batch, at)
            if answer is not None:
                self._place(batch, answer, at)
                return len(batch.leaves)

    def _lease(self, connection: Connection, at: int) -> bool:
        macs, period = self._store.macs, (at, LEASE_SECONDS)
        return leases.take_lease(connection, macs, LEASE_NAME, self._holder, period)

    def _take(self, at: int) -> _Batch:
        """The next leaves in tree order: what the signer has signed already comes first, in its order."""
        with self._store.database.read() as connection:
            found = log_rows.find_checkpoint(connection)
        size = 0 if found is None else found[0]
        head = parse_signer_head(self._sign(format_sign_request(size, [])))
        if head.size == size:
            batch = self._sound(size, self._read(MAX_LEAVES), at)
            # everything that was read is set aside: the accounts behind it come next
            while self._aside and not batch.leaves and self.find_oldest() is not None:
                batch = self._sound(size, self._read(MAX_LEAVES), at)
            return batch
        if head.size < size or head.tail_first > size:
            raise Conflict("log-fork")
        return self._repeated(size, head.tail[size - head.tail_first :], at)

    def _read(self, limit: int | None, *, skips: bool = True) -> PendingPage:
        skipped = self.set_aside if skips else frozenset()
        with self._store.database.read() as connection:
            return log_rows.read_pending(connection, self._store.macs, limit, skipped)

    def _repeated(self, size: int, signed: Sequence[bytes], at: int) -> _Batch:
        """What was signed may lie beyond one page, and may be an account's that was set aside since."""
        page = self._read(None, skips=False)
        by_hash = {leaf_hash(leaf.leaf): leaf for leaf in page.leaves}
        if any(value not in by_hash for value in signed):
            raise Conflict("log-fork")
        first, taken = [by_hash[value] for value in signed], set(signed)
        rest = [leaf for leaf in page.leaves if leaf_hash(leaf.leaf) not in taken]
        others = self._sound(size, PendingPage(rest, page.planted), at)
        return _Batch(size, [*first, *others.leaves][:MAX_LEAVES], others.pseudonyms)

    def _sound(self, size: int, page: PendingPage, at: int) -> _Batch:
        """Leaves that may be given to the signer: sound rows that stand under their own account's pseudonym."""
        with self._store.database.read() as connection:
            pseudonyms = log_rows.list_pseudonyms(connection, {leaf.account_id for leaf in page.leaves})
        for account_id in page.planted:
            self._put_aside(account_id, "row-mac", at)
        for leaf in page.leaves:
            if not _stands(leaf, pseudonyms.get(leaf.account_id)):
                self._put_aside(leaf.account_id, "log-leaf", at)
        leaves = [leaf for leaf in page.leaves if leaf.account_id not in self._aside]
        return _Batch(size, leaves, pseudonyms)

    def _signed(self, batch: _Batch, at: int) -> SignerHead | None:
        """The signer's answer; None once the account whose chain does not follow is set aside."""
        request = format_sign_request(batch.size, [leaf.leaf for leaf in batch.leaves])
        try:
            return parse_signer_head(self._sign(request))
        except Conflict as error:
            named = [each for each, name in batch.pseudonyms.items() if name.hex() == error.detail]
            if error.code != "log-sequence" or not named or named[0] in self._aside:
                raise
            self._put_aside(named[0], error.code, at)
            return None

    def _put_aside(self, account_id: AccountId, code: str, at: int) -> None:
        if account_id in self._aside:
            return
        self._aside[account_id] = at
        with self._store.database.read() as connection:
            pseudonym = log_rows.list_pseudonyms(connection, [account_id]).get(account_id, b"")
        logger.error(
            "an account's log does not follow and is set aside",
            extra={"pseudonym": pseudonym.hex(), "code": code},
        )

    def _place(self, batch: _Batch, answer: SignerHead, at: int) -> None:
        self._store.writer.commit(Unit(NOBODY, lambda connection: self._keep(connection, batch, answer, at)))

    def _keep(self, connection: Connection, batch: _Batch, answer: SignerHead, at: int) -> None:
        """Write tiles, places and checkpoint; the fence is the checkpoint itself, whose size must still be ours."""
        found = log_rows.find_checkpoint(connection)
        if (0 if found is None else found[0]) != batch.size or not self._lease(connection, at):
            raise Conflict("log-lease")

        def load(tile: Tile) -> bytes:
            hashes = log_rows.find_tile(connection, tile.level, tile.index)
            if hashes is None:
                raise NotFound("log-tile")
            return hashes

        hashes = [leaf_hash(leaf.leaf) for leaf in batch.leaves]
        for tile, content in list(grow_tiles(batch.size, hashes, load)):
            log_rows.mark_tile(connection, tile.level, tile.index, content)
        log_rows.mark_sequenced(connection, batch.leaves, batch.size)
        log_rows.add_checkpoint(connection, answer.size, at, answer.checkpoint)


def _stands(leaf: PendingLeaf, pseudonym: bytes | None) -> bool:
    try:
        parsed = parse_leaf(leaf.leaf)
    except Malformed:
        return False
    return (parsed.pseudonym, parsed.sequence) == (pseudonym, leaf.sequence)
