"""The pages' port: HTTP/1.1 over TLS 1.2 or later, no server header, no access log, bounded, an orderly end.

The caller's process owns signals and the event loop: ``serve`` runs until ``stop``.
"""

import contextlib
import socket
from collections.abc import Generator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from mailserver.tls.contexts import client_facing_context

HEADER_BYTES = 16 * 1024
CONNECTIONS = 1000
KEEP_ALIVE_SECONDS = 15
GRACE_SECONDS = 20
BACKLOG = 1024


class WebServer(uvicorn.Server):
    """``await serve()`` until ``stop``. The socket listens from the start, so that ``port`` is known."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        super().__init__(config)
        self._listener = listener

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to the process that embeds us."""
        yield

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets or [self._listener])
        finally:
            self._listener.close()

    def stop(self) -> None:
        """Take no more connections and let requests end, at most GRACE_SECONDS."""
        self.should_exit = True


def serve_web(
    app: ASGIApp, host: str, port: int, certificate: Path, key: Path, *, reuse_port: bool = False
) -> WebServer:
    """A server on its port, not yet serving. Raises Malformed for a certificate, OSError for a port that is taken."""
    context = client_facing_context(certificate, key)
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        loop="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_context_factory=lambda _config, _default: context,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return WebServer(config, listener)
