"""aioimaplib, logged in with INBOX selected, and really gone at the end."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aioimaplib

from harness.imap_harness import HOST


@asynccontextmanager
async def opened_aioimaplib(
    port: int, address: str, password: str, tls: ssl.SSLContext
) -> AsyncIterator[aioimaplib.IMAP4]:
    """Its TLS class takes no ``conn_lost_cb``, and without one nothing tells when the socket is closed."""
    is_lost = asyncio.Event()
    client = aioimaplib.IMAP4(HOST, port, ssl_context=tls, conn_lost_cb=lambda _error: is_lost.set())
    await client.wait_hello_from_server()
    assert (await client.login(address, password)).result == "OK"
    assert (await client.select("INBOX")).result == "OK"
    yield client
    assert (await client.logout()).result == "OK"
    await is_lost.wait()
