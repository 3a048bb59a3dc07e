"""The edges of one worker: every listener of the configuration, the queue's worker, and their orderly end."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mailserver.app.notice_ways import open_relay, open_sms
from mailserver.app.rounds import end_worker_with
from mailserver.app.services import Services
from mailserver.app.web_site import build_api, join_site
from mailserver.audit.wording import Language
from mailserver.config import Config
from mailserver.crypto.custodian import utc_now
from mailserver.crypto.secret import random_id
from mailserver.gateway.mx_lookup import MxResolver
from mailserver.gateway.notice_sender import NoticeSender
from mailserver.gateway.peer_connection import PeerCalls, PeerContext
from mailserver.gateway.routes import LookUpMx, Routes, look_up_no_mx
from mailserver.gateway.worker import GatewayWorker
from mailserver.imap.server import ImapServer, ImapServices
from mailserver.model.address import parse_domain
from mailserver.model.hop import parse_hop
from mailserver.pool import Pool
from mailserver.service.contacts import Contacts
from mailserver.service.relay import RelayQueue
from mailserver.service.throttle import Throttle
from mailserver.smtp.server import Role, SmtpServer, SmtpServices
from mailserver.tls.contexts import (
    ClientAuthority,
    PeerFiles,
    PeerProfile,
    client_facing_context,
    peer_server_context,
)
from mailserver.tls.crowd import Caps
from mailserver.tls.reloading import ContextSource, ReloadingContext
from webmail.application import WebServices, create_app
from webmail.server import serve_web

WAKE_SECONDS = 0.05

logger = logging.getLogger("pli.listen")


@dataclass(slots=True)
class Edges:
    """What runs, and how each part is stopped and woken."""

    stops: list[Callable[[float], Awaitable[None]]] = field(default_factory=list)
    wakes: list[Callable[[], None]] = field(default_factory=list)
    _is_waking: bool = False

    def wake_gateway(self) -> None:
        """The queue may have news: it is looked at once for all that come within WAKE_SECONDS."""
        if not self._is_waking:
            self._is_waking = True
            asyncio.get_running_loop().call_later(WAKE_SECONDS, self._wake_now)

    def _wake_now(self) -> None:
        self._is_waking = False
        for wake in self.wakes:
            wake()

    async def stop(self, grace_seconds: float) -> None:
        """All edges at once end what they do within the one grace, then let go of their ports (R14)."""
        await asyncio.gather(*(stop(grace_seconds) for stop in self.stops))


@dataclass(frozen=True, slots=True)
class _Start:
    """What each family of listeners needs to start."""

    services: Services
    pool: Pool
    throttle: Throttle
    logs_listeners: bool

    def told(self, name: str, port: int) -> None:
        """One line per listener, by one worker only."""
        if self.logs_listeners:
            host = self.services.config.listen.host
            logger.info("listening", extra={"service": name, "address": f"{host}:{port}"})


async def start_edges(services: Services, pool: Pool, *, logs_listeners: bool) -> Edges:
    """Open every port that the configuration names. Raises Malformed when a certificate cannot be used."""
    edges = Edges()

    def note(login: str, network: str) -> None:
        services.login_failures.note(login, network, datetime.now(UTC))

    start = _Start(services, pool, Throttle(time.monotonic, note), logs_listeners)
    _start_gateway(start, edges)
    await _start_smtp(start, edges)
    await _start_imap(start, edges)
    await _start_web(start, edges)
    antivirus = services.entrance.antivirus
    if antivirus is not None and logs_listeners:
        pool.submit(antivirus.greet)
    return edges


async def _start_smtp(start: _Start, edges: Edges) -> None:
    """The MX port for peers, and the two submission ports for our own."""
    services, config = start.services, start.services.config
    smtp = SmtpServices(
        services.reception,
        services.submission,
        services.keys,
        services.logins,
        services.wakeups,
        start.throttle,
        config.operator.hostname,
        parse_domain(config.operator.domains[0]),
        config.limits.connections,
        config.limits.connections_per_address,
        Language(config.language.first),
    )
    listen = config.listen
    if listen.mx:
        peers = SmtpServer(smtp, start.pool, Role.MX)
        edges.stops.append(peers.stop)
        files, profile = peer_files(services), _peer_profile(services)
        paths = (files.cert, files.key, files.ca)
        current = ReloadingContext(paths, lambda: peer_server_context(files, profile))
        await peers.listen(listen.host, listen.mx, starttls=current, reuse_port=True)
        start.told("mx", listen.mx)
    clients = SmtpServer(smtp, start.pool, Role.SUBMISSION)
    edges.stops.append(clients.stop)
    context = mail_context(services)
    if listen.submission:
        await clients.listen(listen.host, listen.submission, starttls=context, reuse_port=True)
        start.told("submission", listen.submission)
    if listen.submissions:
        await clients.listen(listen.host, listen.submissions, tls=context, reuse_port=True)
        start.told("submissions", listen.submissions)


async def _start_imap(start: _Start, edges: Edges) -> None:
    services, listen = start.services, start.services.config.listen
    context = mail_context(services)
    server = ImapServer(
        ImapServices(
            services.keys,
            services.logins,
            services.mailboxes,
            services.boxes,
            services.rights,
            services.messages,
            services.search_index,
            services.permits,
            services.absence_settings,
            services.store.blobs,
            services.wakeups,
            start.throttle,
            services.submission.limit_bytes,  # the copy that a client keeps of what it sent is whole
            services.config.operator.hostname,
            Language(services.config.language.first),
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


async def _start_web(start: _Start, edges: Edges) -> None:
    services, listen = start.services, start.services.config.listen
    if not listen.web:
        return
    pages = create_app(
        WebServices(
            services.config,
            services.custody,
            services.store,
            services.directory,
            services.trust,
            services.keys,
            services.mailboxes,
            services.messages,
            services.permits,
            services.notices,
            services.submission,
            services.absence_settings,
            services.resets,
            start.throttle,
        )
    )
    context, limits = client_facing_context(*_client_files(services)), services.config.limits
    caps = Caps(limits.connections, limits.connections_per_address)
    site = join_site(pages, build_api(services, start.throttle))
    server = serve_web(site, listen.host, listen.web, context, caps, reuse_port=True)
    task = asyncio.create_task(server.serve())
    end_worker_with(task, "web")

    async def stop(_grace_seconds: float) -> None:
        server.stop()
        await asyncio.wait([task])

    edges.stops.append(stop)
    start.told("web", listen.web)


def _start_gateway(start: _Start, edges: Edges) -> None:
    """The outbound queue's worker: relays to operators, and notices when an ordinary relay is configured."""
    services, config = start.services, start.services.config
    hostname = config.operator.hostname
    queue = RelayQueue(services.store, services.outbound, services.reports, random_id())
    routes_file = config.path(config.trust.routes_file) if config.trust.routes_file else None
    routes = Routes(config.trust.routes, routes_file, _mx_lookup(config))
    context = PeerContext(peer_files(services), _peer_profile(services))
    calls = PeerCalls(hostname, context, routes, services.trust, services.peers, utc_now, start.pool)
    contacts = Contacts(services.store, services.directory)
    notices = NoticeSender(open_relay(config), open_sms(config), contacts, start.pool)
    worker = GatewayWorker(queue, calls, notices, utc_now, start.pool)
    task = asyncio.create_task(worker.run())
    end_worker_with(task, "gateway")

    async def stop(grace_seconds: float) -> None:
        await worker.stop(grace_seconds)
        await asyncio.wait([task])

    edges.stops.append(stop)
    edges.wakes.append(worker.wake)


def _mx_lookup(config: Config) -> LookUpMx:
    if not config.trust.mx:
        return look_up_no_mx
    resolvers = [parse_hop(each) for each in config.trust.resolver]
    return MxResolver(resolvers, random.SystemRandom().shuffle).look_up


def _client_files(services: Services) -> tuple[Path, Path]:
    config = services.config
    return config.path(config.tls.certificate), config.path(config.tls.key)


def mail_context(services: Services) -> ContextSource:
    """TLS of the IMAP and submission ports. Where application boxes log in by certificate it follows the authority's
    files: a new revocation list counts for the next handshake.
    """
    config, files = services.config, _client_files(services)
    if not config.tls.client_authority:
        return client_facing_context(*files)
    crl = config.path(config.tls.client_crl) if config.tls.client_crl else None
    clients = ClientAuthority(config.path(config.tls.client_authority), crl)
    paths = [path for path in (*files, clients.ca, clients.crl) if path is not None]
    return ReloadingContext(paths, lambda: client_facing_context(*files, clients))


def _peer_profile(services: Services) -> PeerProfile:
    tls = services.config.tls
    return PeerProfile(tls.peer_cbc, tls.peer_server_certificate_suffices)


def peer_files(services: Services) -> PeerFiles:
    """The certificate and the authority of the links between operators."""
    config = services.config
    return PeerFiles(
        config.path(config.tls.peer_certificate),
        config.path(config.tls.peer_key),
        config.path(config.tls.peer_authority),
    )
