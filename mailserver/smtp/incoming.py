"""A message whose octets come: with DATA in one go, with BDAT chunk by chunk (RFC 3030 §2)."""

from dataclasses import dataclass
from datetime import datetime

from mailserver.mime.trace import Hop
from mailserver.policy.decision import Reason
from mailserver.pool import Pool
from mailserver.service.receive import Verdict
from mailserver.smtp.chunk_reader import ChunkReader
from mailserver.smtp.data import DataPump, DataSink, Read
from mailserver.smtp.desks import Transaction
from mailserver.smtp.dot_reader import DotReader

SLOW_AT_ONCE = 4
WAITING_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Judges:
    """The threads that judge finished messages of one server. Large ones, which are read from disk, and those with an archive,
    whose reading has its turns, do not hold up the others.
    """

    quick: Pool
    slow: Pool

    @classmethod
    def made(cls, name: str, *, waits: bool) -> "Judges":
        """``waits``: for each message, on the antivirus or a database server. Otherwise one thread does all that one
        interpreter lock allows, and what comes meanwhile wakes nobody.
        """
        return cls(Pool(WAITING_AT_ONCE if waits else 1, f"{name}-judge"), Pool(SLOW_AT_ONCE, f"{name}-slow"))

    def close(self) -> None:
        self.quick.shutdown(wait=False)
        self.slow.shutdown(wait=False)


class Incoming:
    """``take`` its octets, then ``finish``; ``close`` it when it never comes to that."""

    def __init__(
        self, transaction: Transaction, hop: Hop, limit_bytes: int, pool: Pool, now: datetime
    ) -> None:
        self._transaction = transaction
        self._pool = pool
        self._sink = DataSink(transaction.begin(hop, now), limit_bytes)
        self._last: list[bytes] = []
        self.delivery = hop.delivery

    @property
    def is_smuggling(self) -> bool:
        return self._sink.is_smuggling

    async def take(self, reader: DotReader | ChunkReader, first: bytes, read: Read) -> bytes:
        """Octets up to the reader's end; what follows them. Closed when it raises: OverLimit("data-endless") when the
        end does not come, and what ``read`` raises.
        """
        pump = DataPump(self._sink, self._pool, reader)
        try:
            await pump.run(first, read)
        except BaseException:
            self.close()
            raise
        self._last = pump.last
        return pump.rest

    async def add_chunk(self) -> Reason | None:
        """Others follow what was taken; why the message cannot be taken any more. Raises Unavailable."""
        last, self._last = self._last, []
        return await self._pool.hop(self._sink.add_chunk, last)

    async def finish(self, now: datetime, judges: Judges) -> Verdict:
        """The verdict on the whole, after every commit. Raises Unavailable: nothing was acknowledged, and an account that
        has it already folds the retry (R2).
        """
        last = self._last
        if self._sink.is_in_memory(last):
            verdict = await judges.quick.hop_until_committed(self._sink.hurry, last, self._transaction, now)
            if verdict is not None:
                return verdict
            last = []
        return await judges.slow.hop_until_committed(self._sink.finish, last, self._transaction, now)

    def close(self) -> None:
        """Forget what came."""
        self._sink.close()


async def skip_chunk(size_bytes: int, first: bytes, read: Read, pool: Pool) -> bytes:
    """Pass over a chunk that nobody takes; what follows it."""
    pump = DataPump(None, pool, ChunkReader(size_bytes))
    await pump.run(first, read)
    return pump.rest
