"""The IMAP half of the load client: it counts bytes and looks for tags at the end only, so it never limits a server."""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import cast

from bench.samples import Pool

TIMEOUT_SECONDS = 240.0
WINDOW = 64
TAIL_BYTES = 8192
_numbers = count(1)


class Refused(RuntimeError):
    """The server's answer was not OK."""


@dataclass(frozen=True, slots=True)
class ImapTarget:
    """``tls`` is None for an open connection, else the context for TLS at once."""

    host: str
    port: int
    tls: ssl.SSLContext | None


class ImapClient(asyncio.Protocol):
    """One connection; ``chunks`` are what came since the last command."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._waiter: asyncio.Future[None] | None = None
        self._is_done: Callable[[bytes], bool] = bool
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost = False
        self._tail = b""
        self.chunks: list[bytes] = []
        self.on_data: Callable[[bytes], None] | None = None

    @classmethod
    async def connected(cls, target: ImapTarget) -> "ImapClient":
        _, client = await asyncio.get_running_loop().create_connection(
            cls,
            target.host,
            target.port,
            ssl=target.tls,
            server_hostname="localhost" if target.tls is not None else None,
        )
        await client.greeted()
        return client

    async def greeted(self) -> None:
        await self._until(lambda tail: tail.endswith(b"\r\n"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's TLS transport is one only by its methods

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 # asyncio's signature
        self._lost = True
        self._writable.set()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionError(f"closed by the server after {self._tail[-200:]!r}"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        self._tail = data if len(data) > TAIL_BYTES else (self._tail + data)[-TAIL_BYTES:]
        if self.on_data is not None:
            self.on_data(data)
        if self._waiter is not None and not self._waiter.done() and self._is_done(self._tail):
            self._waiter.set_result(None)

    async def _until(self, is_done: Callable[[bytes], bool]) -> None:
        if is_done(self._tail):
            return
        if self._lost:
            raise ConnectionError("closed")
        self._is_done, self._waiter = is_done, self._loop.create_future()
        try:
            await asyncio.wait_for(self._waiter, TIMEOUT_SECONDS)
        finally:
            self._waiter = None

    def _forget(self) -> None:
        self._tail = b""
        self.chunks.clear()

    async def command(self, line: str) -> bytes:
        """Send one command and return what came; Refused unless the answer is OK."""
        tag = b"zQ%x" % next(_numbers)
        final = re.compile(rb"(?:^|\r\n)" + tag + rb" (?P<word>\w+)[^\r\n]*\r\n")
        self._forget()
        self._transport.write(tag + b" " + line.encode() + b"\r\n")
        await self._until(lambda tail: tail.endswith(b"\r\n") and final.search(tail) is not None)
        answer = final.search(self._tail)
        if answer is None or answer["word"] != b"OK":
            raise Refused(f"{line[:60]!r}: {self._tail[-300:]!r}")
        return b"".join(self.chunks)

    async def attempt(self, line: str) -> None:
        """One command whose refusal is fine."""
        with contextlib.suppress(Refused):
            await self.command(line)

    async def login(self, address: str, password: str) -> None:
        await self.command(f'LOGIN "{address}" "{password}"')

    async def exists(self, mailbox: str) -> int:
        found = re.search(rb"MESSAGES (\d+)", await self.command(f"STATUS {mailbox} (MESSAGES)"))
        assert found is not None
        return int(found[1])

    async def append(self, mailbox: str, number: int, pool: Pool) -> None:
        """``number`` messages by pipelined APPEND with LITERAL+ (RFC 7888), in windows closed by NOOP."""
        for start in range(0, number, WINDOW):
            for index in range(start, min(start + WINDOW, number)):
                message = pool.next_message()
                self._transport.write(
                    b"ap%d APPEND %s {%d+}\r\n%s\r\n" % (index, mailbox.encode(), len(message), message)
                )
                await self._writable.wait()
            answers = await self.command("NOOP")
            if re.search(rb"^ap\d+ (?:NO|BAD)", answers, re.MULTILINE):
                raise RuntimeError(answers[-300:].decode(errors="replace"))

    async def idle(self) -> None:
        """Start IDLE; news then reach ``on_data``."""
        self._forget()
        self._transport.write(b"zI%x IDLE\r\n" % next(_numbers))
        await self._until(lambda tail: b"+ " in tail or tail.startswith(b"+"))

    def await_exists(self) -> asyncio.Future[float]:
        """The time at which the next EXISTS comes."""
        arrived: asyncio.Future[float] = self._loop.create_future()

        def look(data: bytes) -> None:
            if b" EXISTS" in data and not arrived.done():
                arrived.set_result(time.perf_counter())

        self.on_data = look
        return arrived

    @property
    def is_lost(self) -> bool:
        return self._lost

    def close(self) -> None:
        self._transport.close()
