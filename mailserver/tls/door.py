"""The door of a TLS port: connections are counted from the moment they are accepted, before any octet of TLS.

The event loop's own servers name a connection to us only once its handshake is over, so that one client could hold
any number of handshakes open. Here each is accepted, counted, given its time, and then handed to its protocol.
"""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from mailserver.tls.crowd import TOLD_SECONDS, Caps, Crowd
from mailserver.tls.failures import fault_of
from mailserver.tls.reloading import ContextSource, current_context

BACKLOG = 1024
HANDSHAKE_SECONDS = 20.0
SHUTDOWN_SECONDS = 5.0
FULL_SECONDS = 1.0
"""How long nothing is accepted once the process has no descriptor left."""

logger = logging.getLogger("pli.listen")


@dataclass(frozen=True, slots=True)
class Handshakes:
    """What is allowed at the door: how many at once, for how long; ``shutdown_seconds`` bounds a goodbye."""

    caps: Caps
    seconds: float = HANDSHAKE_SECONDS
    shutdown_seconds: float = SHUTDOWN_SECONDS


class Door:
    """One listening socket, served from ``open`` to ``close``. Connections that were handed over live on."""

    def __init__(
        self,
        listener: socket.socket,
        context: ContextSource,
        make_protocol: Callable[[], asyncio.Protocol],
        name: str,
        handshakes: Handshakes,
    ) -> None:
        self._listener = listener
        self._context = current_context(context)
        self._told_at = -TOLD_SECONDS
        self._make_protocol = make_protocol
        self._handshakes = handshakes
        self._name = name
        self._crowd = Crowd(handshakes.caps, name, logger)
        self._accepting: asyncio.Task[None] | None = None
        self._greeting: set[asyncio.Task[None]] = set()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """As the event loop's own servers have them."""
        return (self._listener,)

    def open(self) -> None:
        """Listen and accept, in the running loop."""
        self._listener.setblocking(False)
        self._listener.listen(BACKLOG)
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Accept no more, drop the handshakes that are under way, let go of the port."""
        for task in self._greeting:
            task.cancel()
        if self._accepting is None:
            self._listener.close()
        else:  # the loop looks at the socket until the task has ended
            self._accepting.add_done_callback(lambda _done: self._listener.close())
            self._accepting.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, name = await loop.sock_accept(self._listener)
            except ConnectionError:
                continue  # it left before it was taken
            except OSError as error:
                logger.error("no connection can be taken", extra={"number": error.errno})  # noqa: TRY400
                await asyncio.sleep(FULL_SECONDS)
                continue
            self._take(sock, str(name[0]) if isinstance(name, tuple) else "")

    def _take(self, sock: socket.socket, peer: str) -> None:
        if not self._crowd.may_enter(peer):
            sock.close()
            return
        self._crowd.enter(peer)
        task = asyncio.create_task(self._greet(sock))
        self._greeting.add(task)

        def leave(done: asyncio.Task[None]) -> None:
            self._greeting.discard(done)
            self._crowd.leave(peer)
            if done.cancelled():
                sock.close()

        task.add_done_callback(leave)

    async def _greet(self, sock: socket.socket) -> None:
        """One handshake; a failed one ends the connection, and the loop closes its socket."""
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make_protocol,
                sock,
                ssl=self._context(),
                ssl_handshake_timeout=self._handshakes.seconds,
                ssl_shutdown_timeout=self._handshakes.shutdown_seconds,
            )
        except ssl.SSLCertVerificationError as error:
            self._tell(error)
            sock.close()
        except OSError:
            sock.close()

    def _tell(self, error: ssl.SSLCertVerificationError) -> None:
        """A client's certificate was refused, which it cannot be told: one line a minute at most (S2)."""
        now = time.monotonic()
        if now - self._told_at >= TOLD_SECONDS:
            self._told_at = now
            fault, detail = fault_of(error)
            fields = {"listener": self._name, "reason": fault.value, "detail": detail}
            logger.warning("a client's certificate was refused", extra=fields)


def bind_listener(host: str, port: int, *, reuse_port: bool = False) -> socket.socket:
    """A socket on its port, not yet listening. Raises OSError for a port that is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
