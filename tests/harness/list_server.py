"""An HTTPS server that answers what it is told to, octet by octet, and remembers what it was asked."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mailserver.crypto.authority import DemoAuthority, Variant

HANG = "hang"
"""In an answer: say nothing more, and leave the connection open."""
Answer = list[bytes | str]


def answer(status: str, body: bytes = b"", **headers: str) -> Answer:
    given = {"Content-Length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return [f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body]


@dataclass
class ListServer:
    answer: Answer
    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)

    def url(self, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}/list.xml?v=1"

    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in head[1:] if line)
            self.requests.append({"": head[0]} | headers)
            for piece in self.answer:
                if isinstance(piece, str):
                    await reader.read()  # until the client goes
                    break
                writer.write(piece)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def served(server: ListServer, context: ssl.SSLContext | None) -> AsyncIterator[ListServer]:
    """The port stays the same when the server is served again."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", server.port, ssl=context)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await listener.wait_closed()
        await asyncio.gather(*server.tasks)
        server.tasks.clear()


def server_context(
    authority: DemoAuthority, folder: Path, host: str = "localhost", variant: Variant = Variant.SOUND
) -> ssl.SSLContext:
    """A certificate of ``authority`` for this host."""
    issued = authority.issue_operator(
        "lists.example", [host], "LISTES", now=datetime.now(UTC), variant=variant
    )
    (folder / "server.pem").write_bytes(issued.cert_pem + issued.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
