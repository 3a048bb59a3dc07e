"""The edges of one worker: every listener of the configuration, the queue's worker, and their orderly end."""

import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from mailserver.app.services import Services
from mailserver.imap.server import ImapServer, ImapServices
from mailserver.service.throttle import Throttle
from mailserver.tls.contexts import PeerFiles, client_facing_context

logger = logging.getLogger("pli.listen")


@dataclass(slots=True)
class Edges:
    """What runs: stopped in reverse order of its start."""

    stops: list[Callable[[float], Awaitable[None]]] = field(default_factory=list)
    wakes: list[Callable[[], None]] = field(default_factory=list)

    def wake_gateway(self) -> None:
        for wake in self.wakes:
            wake()

    async def stop(self, grace_seconds: float) -> None:
        for stop in reversed(self.stops):
            await stop(grace_seconds)


@dataclass(frozen=True, slots=True)
class _Start:
    """What each family of listeners needs to start."""

    services: Services
    pool: Executor
    throttle: Throttle
    logs_listeners: bool

    def told(self, name: str, port: int) -> None:
        """One line per listener, by one worker only."""
        if self.logs_listeners:
            host = self.services.config.listen.host
            logger.info("listening", extra={"service": name, "address": f"{host}:{port}"})


async def start_edges(services: Services, pool: Executor, *, logs_listeners: bool) -> Edges:
    """Open every port that the configuration names. Raises Malformed when a certificate cannot be used."""
    edges = Edges()
    start = _Start(services, pool, Throttle(time.monotonic), logs_listeners)
    await _start_imap(start, edges)
    return edges


async def _start_imap(start: _Start, edges: Edges) -> None:
    services, listen = start.services, start.services.config.listen
    context = client_facing_context(*_client_files(services))
    server = ImapServer(
        ImapServices(
            services.keys,
            services.mailboxes,
            services.messages,
            services.permits,
            services.store.blobs,
            services.wakeups,
            start.throttle,
            services.config.limits.message_bytes,
            services.config.operator.hostname,
        ),
        start.pool,
    )
    edges.stops.append(server.stop)
    if listen.imap:
        await server.listen(listen.host, listen.imap, tls=None, starttls=context, reuse_port=True)
        start.told("imap", listen.imap)
    if listen.imaps:
        await server.listen(listen.host, listen.imaps, tls=context, starttls=None, reuse_port=True)
        start.told("imaps", listen.imaps)


def _client_files(services: Services) -> tuple[Path, Path]:
    config = services.config
    return config.path(config.tls.certificate), config.path(config.tls.key)


def peer_files(services: Services) -> PeerFiles:
    """The certificate and the authority of the links between operators."""
    config = services.config
    crl = config.path(config.tls.peer_crl) if config.tls.peer_crl else None
    return PeerFiles(
        config.path(config.tls.peer_certificate),
        config.path(config.tls.peer_key),
        config.path(config.tls.peer_authority),
        crl,
    )
