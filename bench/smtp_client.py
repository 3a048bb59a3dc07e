"""The SMTP half of the load client: pipelined envelopes, STARTTLS with or without a certificate of its own, AUTH."""

import asyncio
import base64
import contextlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT_SECONDS = 60.0
GREETING = b"EHLO load.example.net\r\n"


class Refused(Exception):
    """The server's answer was not the one that the load needs."""


@dataclass(frozen=True, slots=True)
class SmtpTarget:
    """``tls`` is None for an open connection, else the context for STARTTLS; ``login``: address and password."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    login: tuple[str, str] | None = None


class SmtpClient:
    """One connection. ``send`` returns when the server has taken the message."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._pipelines = False

    @classmethod
    async def connected(cls, target: SmtpTarget) -> "SmtpClient":
        reader, writer = await asyncio.open_connection(target.host, target.port)
        client = cls(reader, writer)
        await client._reply(220)
        await client._hello()
        if target.tls is not None:
            await client._command(b"STARTTLS\r\n", 220)
            await writer.start_tls(target.tls, server_hostname="localhost")
            await client._hello()
        if target.login is not None:
            said = base64.b64encode("\0{}\0{}".format(*target.login).encode())
            await client._command(b"AUTH PLAIN %b\r\n" % said, 235)
        return client

    async def _hello(self) -> None:
        self._pipelines = b"PIPELINING" in await self._command(GREETING, 250)

    async def _command(self, line: bytes, expected: int) -> bytes:
        self._writer.write(line)
        return await self._reply(expected)

    async def _reply(self, expected: int) -> bytes:
        lines = b""
        while True:
            line = await asyncio.wait_for(self._reader.readline(), TIMEOUT_SECONDS)
            lines += line
            if not line:
                raise Refused(f"closed after {lines[-200:]!r}")
            if line[3:4] != b"-":
                break
        if int(line[:3]) != expected:
            raise Refused(f"expected {expected}, got {lines[-300:]!r}")
        return lines

    async def send(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """One message. It ends with CRLF and has no line that starts with a dot."""
        named = [(f"RCPT TO:<{recipient}>", 250) for recipient in recipients]
        commands = [(f"MAIL FROM:<{sender}>", 250), *named, ("DATA", 354)]
        if self._pipelines:
            self._writer.write("".join(f"{line}\r\n" for line, _ in commands).encode())
            for _, expected in commands:
                await self._reply(expected)
        else:
            for line, expected in commands:
                await self._command(f"{line}\r\n".encode(), expected)
        self._writer.write(message + b".\r\n")
        await self._writer.drain()
        await self._reply(250)

    async def quit(self) -> None:
        with contextlib.suppress(Exception):
            self._writer.write(b"QUIT\r\n")
            await asyncio.wait_for(self._reader.readline(), 5)
        self._writer.close()
