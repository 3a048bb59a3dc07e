"""Another operator's server that takes mail, and may die at any step: before its 250, after it, in the middle of DATA."""

import asyncio
import contextlib
import random
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

LATER = b"451 4.3.0 later\r\n"
MOODS = {
    "sound": 30,
    "later-mail": 2,
    "later-rcpt": 2,
    "later-end": 3,
    "closes-in-data": 4,
    "takes-and-closes": 5,
    "closes-after-250": 3,
}
"""How it treats a transaction, and how often."""


@dataclass
class Taken:
    """One message that it took, whoever heard of it."""

    recipient: str
    round: int
    caller: str
    connection: int


@dataclass
class FlakyPeer:
    """``on_event`` hears of each step before the next octet leaves: from there a caller can be killed at that step."""

    context: ssl.SSLContext
    seed: int
    moods: dict[str, int] = field(default_factory=lambda: dict(MOODS))
    on_event: Callable[[str], None] = lambda _event: None
    round: int = 0
    port: int = 0
    connections: int = 0
    taken: list[Taken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    @contextlib.contextmanager
    def running(self) -> Iterator["FlakyPeer"]:
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="flaky-peer", daemon=True)
        thread.start()

        async def start() -> asyncio.Server:
            return await asyncio.start_server(self._serve, "127.0.0.1", 0)

        async def stop() -> None:
            server.close()
            mine = asyncio.current_task()
            tasks = [task for task in asyncio.all_tasks() if task is not mine]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        server = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        caller = recipient = mood = ""
        self.connections += 1
        connection = self.connections
        self.on_event("connected")
        writer.write(b"220 b.localhost\r\n")
        while line := (await reader.readline()).rstrip():
            match line.split(b" ")[0].upper():
                case b"EHLO":
                    caller = line[5:].decode()
                    writer.write(b"250-b.localhost\r\n250-8BITMIME\r\n250 STARTTLS\r\n")
                case b"STARTTLS":
                    writer.write(b"220 go\r\n")
                    await writer.start_tls(self.context)
                    self.on_event("secured")
                case b"MAIL":
                    mood = self._random.choices([*self.moods], weights=[*self.moods.values()])[0]
                    self.on_event("mail")
                    writer.write(LATER if mood == "later-mail" else b"250 ok\r\n")
                case b"RCPT":
                    recipient = line.split(b"<")[1].split(b">")[0].decode()
                    writer.write(LATER if mood == "later-rcpt" else b"250 ok\r\n")
                case b"DATA":
                    if mood == "closes-in-data":
                        return
                    self.on_event("data")
                    writer.write(b"354 go on\r\n")
                    await reader.readuntil(b"\r\n.\r\n")
                    if mood != "later-end":
                        self.taken.append(Taken(recipient, self.round, caller, connection))
                        self.on_event("taken")
                    if mood == "takes-and-closes":
                        return
                    writer.write(LATER if mood == "later-end" else b"250 2.0.0 taken\r\n")
                    await writer.drain()
                    self.on_event("answered")
                    if mood == "closes-after-250":
                        return
                case b"QUIT":
                    return
                case _:
                    writer.write(b"250 ok\r\n")
            await writer.drain()
