"""The IMAP server: listening sockets, the set of connections, time limits, an orderly end.

One instance per process and event loop. 993 is implicit TLS; 143 begins in the clear and allows little but STARTTLS.
"""

import asyncio
import contextlib

from mailserver.imap.connection import HANDSHAKE_SECONDS, Hub, ImapConnection
from mailserver.imap.session import ImapServices
from mailserver.pool import Pool
from mailserver.tls.crowd import Caps
from mailserver.tls.door import Door, Handshakes, bind_listener
from mailserver.tls.reloading import ContextSource, current_context

BACKLOG = 1024
SWEEP_SECONDS = 2.0
SHUTDOWN_SECONDS = 5.0
MOST_CONNECTIONS = 50_000
MOST_PER_ADDRESS = 2000
"""A hospital hides behind one address; a flood does too, but its 30 seconds without a login are soon over."""
HANDSHAKES = Handshakes(Caps(MOST_CONNECTIONS, MOST_PER_ADDRESS), HANDSHAKE_SECONDS, SHUTDOWN_SECONDS)

__all__ = ["ImapServer", "ImapServices"]


class ImapServer:
    """``listen`` as often as there are ports, then ``stop``. All on the event loop."""

    def __init__(self, services: ImapServices, pool: Pool) -> None:
        self._services = services
        self._pool = pool
        self._hub: Hub | None = None
        self._listeners: list[asyncio.Server | Door] = []
        self._sweep: asyncio.TimerHandle | None = None

    async def listen(
        self,
        host: str,
        port: int,
        *,
        tls: ContextSource | None,
        starttls: ContextSource | None,
        reuse_port: bool = False,
    ) -> None:
        """Serve a port: ``tls`` for implicit TLS, else ``starttls``. ValueError unless exactly one is given."""
        if (tls is None) == (starttls is None):
            raise ValueError("a port has implicit TLS or STARTTLS")
        loop = asyncio.get_running_loop()
        if self._hub is None:
            self._hub = Hub(self._services, self._pool, loop)
            self._sweep = loop.call_later(SWEEP_SECONDS, self._expire)
        hub = self._hub

        source = None if starttls is None else current_context(starttls)

        def make_connection() -> ImapConnection:
            return ImapConnection(hub, source, self._may_enter)

        if tls is not None:
            listener = bind_listener(host, port, reuse_port=reuse_port)
            door = Door(listener, current_context(tls), make_connection, "imaps", HANDSHAKES)
            door.open()
            self._listeners.append(door)
        else:
            server = await loop.create_server(
                make_connection, host, port, backlog=BACKLOG, reuse_port=reuse_port or None
            )
            self._listeners.append(server)

    @property
    def ports(self) -> list[int]:
        """The ports that are served, in the order of the calls to ``listen``."""
        return [listener.sockets[0].getsockname()[1] for listener in self._listeners if listener.sockets]

    async def stop(self, grace_seconds: float) -> None:
        """Take no more connections, say BYE to each after its command, and close what is left at the end."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        if self._sweep is not None:
            self._sweep.cancel()
        hub, self._hub = self._hub, None
        if hub is None:
            return
        for connection in tuple(hub.connections):
            connection.stop()
        if hub.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(hub.emptied.wait(), grace_seconds)
        for connection in tuple(hub.connections):
            connection.abort()

    def _may_enter(self, peer: str) -> bool:
        if self._hub is None or len(self._hub.connections) >= MOST_CONNECTIONS:
            return False
        return self._hub.peers[peer] < MOST_PER_ADDRESS

    def _expire(self) -> None:
        if self._hub is None:
            return
        now = self._hub.loop.time()
        for connection in tuple(self._hub.connections):
            connection.expire(now)
        self._sweep = self._hub.loop.call_later(SWEEP_SECONDS, self._expire)
