"""A message whose octets come: with DATA in one go, with BDAT chunk by chunk (RFC 3030 §2)."""

import asyncio
from concurrent.futures import Executor
from datetime import datetime

from mailserver.mime.trace import Hop
from mailserver.policy.decision import Reason
from mailserver.service.receive import Verdict
from mailserver.smtp.chunk_reader import ChunkReader
from mailserver.smtp.data import DataPump, DataSink, Read
from mailserver.smtp.desks import Transaction
from mailserver.smtp.dot_reader import DotReader


class Incoming:
    """``take`` its octets, then ``finish``; ``close`` it when it never comes to that."""

    def __init__(
        self, transaction: Transaction, hop: Hop, limit_bytes: int, pool: Executor, now: datetime
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
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._sink.add_chunk, last)

    async def finish(self, now: datetime, turns: asyncio.Semaphore) -> Verdict:
        """The verdict on the whole, after every commit. ``turns``: how many are judged at once. Raises Unavailable:
        nothing was acknowledged.
        """
        loop, finish = asyncio.get_running_loop(), self._sink.finish
        async with turns:
            verdict = await loop.run_in_executor(self._pool, finish, self._last, self._transaction, now)
        commits = [asyncio.wrap_future(commit) for commit in verdict.commits]
        results = await asyncio.gather(*commits, return_exceptions=True)
        failed = [result for result in results if isinstance(result, BaseException)]
        if failed:  # an account that has it already folds the retry (R2)
            raise failed[0]
        return verdict

    def close(self) -> None:
        """Forget what came."""
        self._sink.close()


async def skip_chunk(size_bytes: int, first: bytes, read: Read, pool: Executor) -> bytes:
    """Pass over a chunk that nobody takes; what follows it."""
    pump = DataPump(None, pool, ChunkReader(size_bytes))
    await pump.run(first, read)
    return pump.rest
