"""The octets of DATA or BDAT from the wire into an intake: checked, un-stuffed and sealed in slices, with one slice in flight.

Whatever is wrong with a message (a bare octet, its size, the disk), everything up to its end is read before the reply, so
that the reply is not lost and nothing of a message is ever taken for a command (S1). Memory: about three slices.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from mailserver.mime.submission import LineDiscipline
from mailserver.model.errors import OverLimit, Unavailable
from mailserver.policy.decision import Reason, refuse
from mailserver.pool import Pool
from mailserver.service.intake import Intake
from mailserver.service.receive import NeedsTime, Verdict
from mailserver.smtp.chunk_reader import ChunkReader
from mailserver.smtp.desks import Transaction
from mailserver.smtp.dot_reader import DotReader
from mailserver.store.blob_folder import ROW_BYTES_LIMIT

SLICE_BYTES = 256 * 1024
DRAIN_BYTES = 1024 * 1024
"""Beyond twice the message limit plus this, nobody waits for the end."""

Read = Callable[[int], Awaitable[bytes]]
"""``read(octets_so_far)`` → the next octets. Raises ConnectionError when there are none, or none in time."""


class DataSink:
    """One message: used by one thread at a time. ``close`` it whatever happens."""

    def __init__(self, intake: Intake, limit_bytes: int) -> None:
        self._intake = intake
        self._discipline = LineDiscipline()
        self._failure: Unavailable | None = None
        self._is_too_large = False
        self.most_bytes = 2 * limit_bytes + DRAIN_BYTES

    @property
    def is_smuggling(self) -> bool:
        return self._discipline.defect is not None

    def is_in_memory(self, last: list[bytes]) -> bool:
        """Whether the message never leaves memory, ``last`` being all that is still to be written of it."""
        return self._intake.size_bytes + sum(map(len, last)) <= ROW_BYTES_LIMIT

    def write(self, pieces: list[bytes]) -> None:
        """Check and store the next octets; after the first fault they are only checked."""
        octets = b"".join(pieces)
        self._discipline.feed(octets)
        if self.is_smuggling or self._is_too_large or self._failure is not None:
            return
        try:
            self._intake.write(octets)
        except OverLimit:
            self._is_too_large = True
        except Unavailable as error:
            self._failure = error

    def add_chunk(self, pieces: list[bytes]) -> Reason | None:
        """The last octets of a chunk that others follow; why the message cannot be taken any more. Raises Unavailable."""
        self.write(pieces)
        return self._find_fault()

    def finish(self, last: list[bytes], transaction: Transaction, now: datetime) -> Verdict:
        """The verdict on the whole message. Raises Unavailable: nothing was acknowledged."""
        try:
            return self._judge(last, transaction, now)
        finally:
            self.close()

    def hurry(self, last: list[bytes], transaction: Transaction, now: datetime) -> Verdict | None:
        """As ``finish``, where others wait behind; None when it takes more time: then ``finish`` it, with nothing more."""
        self._intake.is_hurried = True
        try:
            verdict = self._judge(last, transaction, now)
        except NeedsTime:
            self._intake.is_hurried = False
            return None
        except BaseException:
            self.close()
            raise
        self.close()
        return verdict

    def _judge(self, last: list[bytes], transaction: Transaction, now: datetime) -> Verdict:
        self.write(last)
        self._discipline.close()
        reason = self._find_fault()
        if reason is not None:
            return Verdict(refuse(reason))
        self._intake.finish()
        return transaction.accept(self._intake, now)

    def _find_fault(self) -> Reason | None:
        if self.is_smuggling:
            return Reason.SMUGGLING
        if self._is_too_large:
            return Reason.MESSAGE_TOO_LARGE
        if self._failure is not None:
            raise self._failure
        return None

    def close(self) -> None:
        self._intake.close()


class DataPump:
    """Reads one message or chunk to its end. ``last`` and ``rest`` are then what the sink wants, and the next commands.

    Without a sink what comes is passed over.
    """

    def __init__(self, sink: DataSink | None, pool: Pool, reader: DotReader | ChunkReader) -> None:
        self._sink = sink
        self._reader = reader
        self._pool = pool
        self._writing: asyncio.Future[None] | None = None
        self.last: list[bytes] = []
        self.rest = b""

    async def run(self, first: bytes, read: Read) -> None:
        """Raises OverLimit("data-endless") when the end does not come, and what ``read`` raises."""
        try:
            await self._take(first, read)
        finally:
            # a thread may still hold the intake: it is closed only when nobody writes to it
            await self._written()

    async def _take(self, first: bytes, read: Read) -> None:
        reader, sink = self._reader, self._sink
        octets, total, waiting = first, len(first), 0
        while True:
            content = reader.feed(octets)
            if content and sink is not None:
                self.last.append(content)
                waiting += len(content)
            if reader.is_done:
                self.rest = reader.rest
                return
            if sink is not None and total > sink.most_bytes:
                raise OverLimit("data-endless")
            if sink is not None and waiting >= SLICE_BYTES:
                await self._write_slice(sink)
                waiting = 0
            octets = await read(total)
            total += len(octets)

    async def _write_slice(self, sink: DataSink) -> None:
        await self._written()
        pieces, self.last = self.last, []
        self._writing = self._pool.hop(sink.write, pieces)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing
