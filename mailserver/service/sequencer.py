"""The sequencer (L5): one at a time, by a fenced lease, it moves pending leaves into the tree, has the custodian's
signer sign the new head, and writes tiles and checkpoint in one transaction.

The signer is ahead of the store only when a commit was lost after a signature; the same leaves are then given again
in the order that the signer holds.
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from mailserver.audit.merkle import leaf_hash
from mailserver.audit.sign_request import MAX_LEAVES, SignerHead, format_sign_request, parse_signer_head
from mailserver.audit.tiles import Tile, grow_tiles
from mailserver.crypto.secret import random_id
from mailserver.model.errors import Conflict, NotFound
from mailserver.model.ids import AccountId
from mailserver.store import leases, log_rows
from mailserver.store.database import Connection
from mailserver.store.log_rows import PendingLeaf
from mailserver.store.store import Store
from mailserver.store.writer import Unit

LEASE_NAME = "log-sequencer"
LEASE_SECONDS = 60
_NOBODY = AccountId(bytes(16))
"""Units of the log as a whole sort before every account's."""

SignLog = Callable[[bytes], bytes]
"""The custodian's verb: a sign request in, the signer's head out."""


class Sequencer:
    def __init__(self, store: Store, sign: SignLog) -> None:
        self._store = store
        self._sign = sign
        self._holder = random_id()

    def step(self, now: datetime) -> int:
        """Sequence what waits, at most 1000 leaves. Returns how many; 0 when idle or another holds the lease.

        Raises Conflict("log-fork") when the store's tree is not the signer's: an operator must look.
        """
        at = int(now.timestamp())
        if not self._store.writer.commit(Unit(_NOBODY, lambda connection: self._lease(connection, at))):
            return 0
        with self._store.database.read() as connection:
            found = log_rows.find_checkpoint(connection)
            pending = log_rows.list_pending(connection, self._store.macs, MAX_LEAVES)
        size = 0 if found is None else found[0]
        if not pending:
            return 0
        leaves = self._ordered(pending, size)
        answer = parse_signer_head(self._sign(format_sign_request(size, [leaf.leaf for leaf in leaves])))
        self._store.writer.commit(
            Unit(_NOBODY, lambda connection: self._keep(connection, size, leaves, answer, at))
        )
        return len(leaves)

    def _lease(self, connection: Connection, at: int) -> bool:
        return leases.take_lease(connection, LEASE_NAME, self._holder, at, LEASE_SECONDS)

    def _ordered(self, pending: Sequence[PendingLeaf], size: int) -> list[PendingLeaf]:
        """Pending leaves in tree order: what the signer has signed already comes first, in its order."""
        head = parse_signer_head(self._sign(format_sign_request(size, [])))
        if head.size == size:
            return list(pending)
        if head.size < size or head.tail_first > size:
            raise Conflict("log-fork")
        with self._store.database.read() as connection:  # what was signed may lie beyond this batch's page
            pending = log_rows.list_pending(connection, self._store.macs, None)
        signed = head.tail[size - head.tail_first :]
        by_hash = {leaf_hash(leaf.leaf): leaf for leaf in pending}
        if any(value not in by_hash for value in signed):
            raise Conflict("log-fork")
        first = [by_hash[value] for value in signed]
        taken = set(signed)
        rest = [leaf for leaf in pending if leaf_hash(leaf.leaf) not in taken]
        return [*first, *rest][:MAX_LEAVES]

    def _keep(
        self, connection: Connection, size: int, leaves: Sequence[PendingLeaf], answer: SignerHead, at: int
    ) -> None:
        """Write tiles, places and checkpoint; the fence is the checkpoint itself, whose size must still be ours."""
        found = log_rows.find_checkpoint(connection)
        if (0 if found is None else found[0]) != size or not self._lease(connection, at):
            raise Conflict("log-lease")

        def load(tile: Tile) -> bytes:
            hashes = log_rows.find_tile(connection, tile.level, tile.index)
            if hashes is None:
                raise NotFound("log-tile")
            return hashes

        hashes = [leaf_hash(leaf.leaf) for leaf in leaves]
        for tile, content in list(grow_tiles(size, hashes, load)):
            log_rows.mark_tile(connection, tile.level, tile.index, content)
        log_rows.mark_sequenced(connection, leaves, size)
        log_rows.add_checkpoint(connection, answer.size, at, answer.checkpoint)
