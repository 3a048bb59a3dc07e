"""A worker: one process that serves every listener, shares the ports with its siblings, and does a share of the
background work (queue, sweeping). Its keys come from the supervisor's custodian over one socket.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import uvloop

from mailserver.app.bounce_watch import BounceWatch
from mailserver.app.custody_link import connected
from mailserver.app.edges import Edges, start_edges
from mailserver.app.hardening import end_with_parent, harden_process, raise_file_limit
from mailserver.app.housekeeping import Housekeeping
from mailserver.app.revocation_watch import RevocationWatch
from mailserver.app.rounds import keep_doing
from mailserver.app.services import Services, build_services
from mailserver.app.trust_fetch import FetchSettings, TrustFetch
from mailserver.app.trust_watch import TrustWatch
from mailserver.config import Config
from mailserver.crypto.custodian_channel import CustodianClient
from mailserver.model.errors import PliError, Unavailable
from mailserver.model.ids import NOBODY
from mailserver.pool import Pool
from mailserver.store.feed import Feed

POOL_THREADS = 16
GRACE_SECONDS = 20
REVOCATION_SECONDS = 0.5
LOGIN_SECONDS = 120.0
"""Far above what an issuer of tokens may take with its name unknown and its addresses silent: that is no lost custodian."""

logger = logging.getLogger("pli.worker")


@dataclass(frozen=True, slots=True)
class WorkerLinks:
    """What the supervisor hands to a worker: its number, and open descriptors: the custodian's, that of logins that may
    wait for an issuer of tokens, and the one to say ready on.
    """

    index: int
    custody_descriptor: int
    login_descriptor: int
    ready_descriptor: int


def run_worker(config: Config, links: WorkerLinks) -> int:
    """Serve until SIGTERM; returns the exit code."""
    link = socket.socket(fileno=links.custody_descriptor)
    link.set_inheritable(False)  # the standard library's own signature
    end_with_parent(_maker_of(link))
    harden_process()
    raise_file_limit()
    client = CustodianClient(link, on_broken=_end_in_order)
    login_link = socket.socket(fileno=links.login_descriptor)
    login_link.set_inheritable(False)  # as above
    login_client = CustodianClient(login_link, LOGIN_SECONDS, on_broken=_end_in_order)
    custody = connected(client)
    services = build_services(
        config,
        custody.verbs,
        on_disk_failure=_end_at_once,
        keeps_trust=links.index == 0,
        login_custody=login_client,
    )
    try:
        uvloop.run(_serve(services, links))
    finally:
        services.close()
        login_client.close()
        client.close()
    return 0


def _end_at_once(error: Unavailable) -> None:
    """A failed fsync: what is on disk is unknown, so nothing more may be said or written (R5)."""
    logger.critical("disk failed, restarting from disk", extra={"code": error.code})
    os._exit(70)


def _end_in_order() -> None:
    """The custodian did not answer on the one link there is: what goes on ends, and a new worker has a new link."""
    logger.critical("the custodian was lost, starting again")
    os.kill(os.getpid(), signal.SIGTERM)


def _maker_of(link: socket.socket) -> int:
    """The process that made a socket pair: the supervisor."""
    raw = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[0])


async def _serve(services: Services, links: WorkerLinks) -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    feed = Feed(services.config.data_folder / "run", f"worker-{links.index}-{os.getpid()}")
    services.store.writer.on_commit(feed.publish)
    with Pool(POOL_THREADS, "pool") as pool:
        edges = await start_edges(services, pool, logs_listeners=links.index == 0)
        loop.add_reader(feed.fileno(), _read_feed, feed, services, edges)
        tasks = [
            asyncio.create_task(_poll_revocations(services, pool)),
            asyncio.create_task(TrustWatch(services.trust, _alarm_after(services.config)).run(pool)),
            asyncio.create_task(RevocationWatch(services.revocations, fetches=links.index == 0).run(pool)),
            asyncio.create_task(Housekeeping(services).run(pool)),
            *[asyncio.create_task(each.run(pool)) for each in _list_fetches(services)],
            *[asyncio.create_task(each.run(pool)) for each in _list_bounces(services, links)],
        ]
        gc.freeze()  # what was made until now stays as long as the worker: no collection needs to look at it
        os.write(links.ready_descriptor, b"R")
        os.close(links.ready_descriptor)
        await stopping.wait()
        await edges.stop(GRACE_SECONDS)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await loop.run_in_executor(pool, _flush_failures, services)
        loop.remove_reader(feed.fileno())
        feed.close()


def _list_fetches(services: Services) -> list[TrustFetch]:
    """One a trust list with an address, in the one worker that keeps the lists."""
    settings = FetchSettings.of(services.config)
    return [TrustFetch(each, settings) for each in services.trust.sources if each.keeps and each.plan.url]


def _list_bounces(services: Services, links: WorkerLinks) -> list[BounceWatch]:
    """In one worker."""
    return [BounceWatch(services)] if links.index == 0 else []


def _alarm_after(config: Config) -> timedelta:
    return timedelta(hours=config.trust.alarm_hours)


def _flush_failures(services: Services) -> None:
    """What this worker counted of failed logins must not end with it."""
    try:
        services.login_failures.flush(datetime.now(UTC), is_final=True)
    except PliError as error:
        logger.warning("login failures were not written", extra={"code": error.code})


def _read_feed(feed: Feed, services: Services, edges: Edges) -> None:
    news = feed.read()
    services.wakeups.notify(news)
    if NOBODY in news:
        edges.wake_gateway()


async def _poll_revocations(services: Services, pool: Pool) -> None:
    """A deleted secret or a disabled account ends its connections within half a second (K4)."""

    async def look() -> None:
        accounts = services.wakeups.list_accounts()
        if accounts:
            loop = asyncio.get_running_loop()
            counters = await loop.run_in_executor(pool, services.list_revocations, accounts)
            services.wakeups.revoke_changed(counters)

    await keep_doing("revocations", REVOCATION_SECONDS, look)
