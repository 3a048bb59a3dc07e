"""The pages' port: HTTP/1.1 over TLS 1.2 or later, no server header, no access log, bounded, an orderly end.

The caller's process owns signals and the event loop: ``serve`` runs until ``stop``.
"""

import contextlib
import logging
import socket
import ssl
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from mailserver.tls.crowd import Caps, Crowd
from mailserver.tls.door import Door, Handshakes, bind_listener
from webmail.connection import WebConnection

HEADER_BYTES = 16 * 1024
GRACE_SECONDS = 20
_NEVER_SECONDS = 86400
_NAME = "web"

logger = logging.getLogger("pli.web")


class WebServer(uvicorn.Server):
    """``await serve()`` until ``stop``. The socket is bound from the start, so that ``port`` is known."""

    def __init__(
        self, config: uvicorn.Config, listener: socket.socket, context: ssl.SSLContext, caps: Caps
    ) -> None:
        super().__init__(config)
        self._listener = listener
        self._crowd = Crowd(caps, _NAME, logger)
        self._door = Door(listener, context, self._make_connection, _NAME, Handshakes(caps))

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to the process that embeds us."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            self._listener.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's, with no server of the loop's: our door takes the connections."""
        await super().startup(sockets=sockets or [])
        self._door.open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._door.close()
        await super().shutdown(sockets=sockets)

    def stop(self) -> None:
        """Take no more connections and let requests end, at most GRACE_SECONDS."""
        self.should_exit = True

    def _make_connection(self) -> WebConnection:
        return WebConnection(self.config, self.server_state, self._crowd, self.lifespan.state)


def serve_web(
    app: ASGIApp,
    host: str,
    port: int,
    context: ssl.SSLContext,
    caps: Caps,
    *,
    reuse_port: bool = False,
) -> WebServer:
    """A server on its port, not yet serving; ``caps`` count connections. Raises OSError for a port that is taken."""
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_NEVER_SECONDS,  # a connection's deadlines are its own
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    listener = bind_listener(host, port, reuse_port=reuse_port)
    return WebServer(config, listener, context, caps)
