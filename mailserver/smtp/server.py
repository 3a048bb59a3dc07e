"""The SMTP server: listening sockets, the register of connections and its caps, an orderly end (S4, R14).

One instance per role, process and event loop. 25 and 587 begin in the clear and allow little but STARTTLS; 465 is TLS
from the first octet (RFC 8314 §3.3).
"""

import asyncio
import time
from collections import Counter
from typing import assert_never

from mailserver.pool import Pool
from mailserver.service.throttle import Throttle
from mailserver.smtp.conversation import Setting
from mailserver.smtp.desks import ClientDesk, Desk, PeerDesk
from mailserver.smtp.engine import Engine, Port, quiet_library
from mailserver.smtp.incoming import Judges
from mailserver.smtp.link import Role, Timing
from mailserver.smtp.services import SmtpServices
from mailserver.tls.crowd import Caps
from mailserver.tls.door import Door, Handshakes, bind_listener
from mailserver.tls.failures import HandshakeFailures
from mailserver.tls.reloading import ContextSource, current_context

BACKLOG = 1024

__all__ = ["Role", "SmtpServer", "SmtpServices", "Timing"]


class Register:
    """The connections of one server, and how many each address has."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._peers: Counter[str] = Counter()
        self.engines: set[Engine] = set()
        self.emptied = asyncio.Event()

    def may_enter(self, peer: str) -> bool:
        return len(self.engines) < self._most and self._peers[peer] < self._most_per_address

    def enter(self, engine: Engine) -> None:
        self.engines.add(engine)
        self._peers[engine.peer] += 1
        self.emptied.clear()

    def leave(self, engine: Engine) -> None:
        """Forget it; addresses without a connection are not kept."""
        if engine not in self.engines:
            return
        self.engines.discard(engine)
        self._peers[engine.peer] -= 1
        if not self._peers[engine.peer]:
            del self._peers[engine.peer]
        if not self.engines:
            self.emptied.set()

    async def wait_until_empty(self, seconds: float) -> bool:
        """Whether the last connection left within this time."""
        if not self.engines:
            return True
        try:
            await asyncio.wait_for(self.emptied.wait(), seconds)
        except TimeoutError:
            return False
        return True


class SmtpServer:
    """``listen`` as often as there are ports, then ``stop``. All on the event loop."""

    def __init__(self, services: SmtpServices, pool: Pool, role: Role, timing: Timing | None = None) -> None:
        quiet_library()
        self._services = services
        self._role = role
        self._timing = timing or Timing()
        self._judges = Judges.made(role.value, waits=services.reception.waits)
        self._setting = Setting(services, pool, Throttle(time.monotonic), self._judges)
        self._failures = HandshakeFailures()
        self._register = Register(services.connections, services.connections_per_address)
        self._listeners: list[asyncio.Server | Door] = []

    async def listen(
        self,
        host: str,
        port: int,
        *,
        tls: ContextSource | None = None,
        starttls: ContextSource | None = None,
        reuse_port: bool = False,
    ) -> None:
        """Serve a port: ``tls`` for implicit TLS, else ``starttls``.

        ValueError unless exactly one of them is given.
        """
        if (tls is None) == (starttls is None):
            raise ValueError("a port has implicit TLS or STARTTLS")
        loop = asyncio.get_running_loop()
        source = None if starttls is None else current_context(starttls)
        shared = Port(
            self._role, self._setting, self._timing, self._register, self._failures, source, self._make_desk
        )

        def make_engine() -> Engine:
            return Engine(shared, loop)

        if tls is not None:
            timing, caps = (
                self._timing,
                Caps(self._services.connections, self._services.connections_per_address),
            )
            handshakes = Handshakes(caps, timing.handshake_seconds, timing.shutdown_seconds)
            listener = bind_listener(host, port, reuse_port=reuse_port)
            door = Door(listener, current_context(tls), make_engine, f"{self._role.value}s", handshakes)
            door.open()
            self._listeners.append(door)
        else:
            server = await loop.create_server(
                make_engine, host, port, backlog=BACKLOG, reuse_port=reuse_port or None
            )
            self._listeners.append(server)

    @property
    def ports(self) -> list[int]:
        """The ports that are served, in the order of the calls to ``listen``."""
        return [listener.sockets[0].getsockname()[1] for listener in self._listeners if listener.sockets]

    async def stop(self, grace_seconds: float) -> None:
        """Take no more connections; a message that comes in may finish within the grace, then gets 421 (R14)."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        try:
            await self._end_connections(grace_seconds)
        finally:
            self._judges.close()

    async def _end_connections(self, grace_seconds: float) -> None:
        for engine in tuple(self._register.engines):
            engine.stop()
        if await self._register.wait_until_empty(grace_seconds):
            return
        for engine in tuple(self._register.engines):
            engine.cut()
        await self._register.wait_until_empty(self._timing.shutdown_seconds)
        for engine in tuple(self._register.engines):
            engine.abort()
        await self._register.wait_until_empty(self._timing.shutdown_seconds)

    def _make_desk(self) -> Desk:
        match self._role:
            case Role.MX:
                return PeerDesk(self._services.reception, self._failures)
            case Role.SUBMISSION:
                return ClientDesk(self._services.submission)
            case _:
                assert_never(self._role)
