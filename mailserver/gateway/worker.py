"""The gateway's worker: leases due jobs, hands them over, and lets the service write what became of each.

At most 16 connections at once; the jobs of one hop that were leased together follow each other over one of them, so that
a worker that dies leaves one message a connection in doubt. Its leases end and another takes the jobs (at least once, R7). The operator's log names jobs, lanes, domains, results and
reply codes: never an address, never content, never a peer's words.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import ParamSpec, TypeVar

from mailserver.gateway.notice_sender import NoticeSender
from mailserver.gateway.peer_connection import PeerCalls, PeerConnection
from mailserver.gateway.smtp_link import LinkEnded
from mailserver.log import incident_id
from mailserver.model.address import parse_domain
from mailserver.model.errors import Corrupt, PliError
from mailserver.model.ids import JobId
from mailserver.service.delivery_reports import AttemptResult, Cause, Fate, passing, refused
from mailserver.service.relay import RelayQueue, expired
from mailserver.store.jobs import JobRow, Lane

HOPS_AT_ONCE = 16
LEASED_JOBS = 64
RENEW_SECONDS = 40.0
POLL_SECONDS = 60.0
LEASED_ELSEWHERE_SECONDS = 5.0
TROUBLE_SECONDS = 5.0
FIRST_FORGET_SECONDS = 600.0
FORGET_SECONDS = 3600.0

P = ParamSpec("P")
T = TypeVar("T")
logger = logging.getLogger("pli.gateway")


@dataclass(slots=True)
class _Route:
    """One group's link to its hop: open, not yet, or known to be of no use."""

    connection: PeerConnection | None = None
    ended: AttemptResult | None = None


class GatewayWorker:
    def __init__(
        self,
        queue: RelayQueue,
        calls: PeerCalls,
        notices: NoticeSender,
        clock: Callable[[], datetime],
        pool: Executor,
    ) -> None:
        self._queue = queue
        self._calls = calls
        self._notices = notices
        self._clock = clock
        self._pool = pool
        self._woken = asyncio.Event()
        self._hops = asyncio.Semaphore(HOPS_AT_ONCE)
        self._groups: set[asyncio.Task[None]] = set()
        self._held: dict[JobId, JobRow] = {}
        self._tried: set[JobId] = set()
        """Of those held: the attempts that go on, whose peer may have the message."""
        self._is_stopping = False

    def wake(self) -> None:
        """News: look at the queue now. From the event loop's thread; cheap, however often it is called."""
        self._woken.set()

    async def run(self) -> None:
        """Work until ``stop`` or cancellation. Trouble with the store is logged and tried again."""
        helpers = [asyncio.create_task(self._keep_leases()), asyncio.create_task(self._keep_no_old_keys())]
        try:
            while not self._is_stopping:
                self._woken.clear()
                await self._rest(await self._start_due())
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)

    async def stop(self, grace: float) -> None:
        """Let what is being sent finish for ``grace`` seconds, cut the rest, and give its jobs back (R14)."""
        self._is_stopping = True
        self._woken.set()
        if self._groups:
            _done, late = await asyncio.wait(self._groups, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._held:
            with contextlib.suppress(PliError):
                await self._call(self._queue.release, list(self._held.values()), self._tried)
            self._held.clear()

    async def run_due(self) -> int:
        """Work through what is due now, wait for its end; how many jobs were taken. Raises what the store raises."""
        rows = await self._lease()
        await asyncio.gather(*self._start_groups(rows))
        return len(rows)

    async def _start_due(self) -> float:
        """Start what is due; how long to rest unless woken, in seconds."""
        try:
            due = await self._call(self._queue.next_due)
            now = self._clock().timestamp()
            if due is None or due > now:
                return POLL_SECONDS if due is None else min(POLL_SECONDS, max(due - now, 0.1))
            if len(self._groups) >= HOPS_AT_ONCE:
                return POLL_SECONDS
            rows = await self._lease()
        except PliError as error:
            logger.error("the queue cannot be read", extra={"code": error.code})  # noqa: TRY400 # no trace of use
            return TROUBLE_SECONDS
        if self._is_stopping:  # since the lease was asked for
            await self._quietly(self._queue.release, rows)
            return 0.0
        self._start_groups(rows)
        return 0.0 if rows else LEASED_ELSEWHERE_SECONDS

    async def _rest(self, seconds: float) -> None:
        if seconds > 0 and not self._is_stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), seconds)

    async def _lease(self) -> list[JobRow]:
        return await self._call(self._queue.lease, self._clock(), LEASED_JOBS)

    def _start_groups(self, rows: Sequence[JobRow]) -> list[asyncio.Task[None]]:
        """One task for each lane and next hop."""
        groups: dict[tuple[Lane, str], list[JobRow]] = {}
        for row in rows:
            self._held[row.job_id] = row
            groups.setdefault((row.lane, row.next_hop), []).append(row)
        tasks = [asyncio.create_task(self._run_group(group)) for group in groups.values()]
        for task in tasks:
            self._groups.add(task)
            task.add_done_callback(self._on_group_end)
        return tasks

    def _on_group_end(self, task: "asyncio.Task[None]") -> None:
        self._groups.discard(task)
        self._woken.set()

    async def _run_group(self, rows: Sequence[JobRow]) -> None:
        route = _Route()
        async with self._hops:
            try:
                for row in rows:
                    await self._run_job(row, route)
            finally:
                if route.connection is not None:
                    await route.connection.close()

    async def _run_job(self, row: JobRow, route: _Route) -> None:
        self._tried.add(row.job_id)
        try:
            result = await self._attempt(row, route)
        except Exception:
            incident = incident_id()
            logger.exception("attempt failed", extra={"job": row.job_id.hex(), "incident": incident})
            result = passing(Cause.INTERNAL, f"incident {incident}")
        self._log(row, result)
        try:
            await self._call(self._queue.settle, row, result, self._clock())
        except PliError as error:
            logger.error("outcome not written", extra={"job": row.job_id.hex(), "code": error.code})  # noqa: TRY400 # no trace of use
        except Exception:
            # the hop's other jobs go on; this one comes back when its lease ends
            logger.exception(
                "outcome not written", extra={"job": row.job_id.hex(), "incident": incident_id()}
            )
        self._held.pop(row.job_id, None)
        self._tried.discard(row.job_id)

    async def _attempt(self, row: JobRow, route: _Route) -> AttemptResult:
        late = expired(row, self._clock())
        if late is not None:
            return late
        try:
            if row.lane is Lane.NOTICE:
                return await self._send_notice(row)
            return await self._send_message(row, route)
        except Corrupt as error:
            return refused(Cause.STORED_DAMAGED, error.code)

    async def _send_notice(self, row: JobRow) -> AttemptResult:
        order = await self._call(self._queue.open_notice, row)
        return await self._notices.send(row, order, self._clock())

    async def _send_message(self, row: JobRow, route: _Route) -> AttemptResult:
        if route.ended is not None:
            return route.ended
        outgoing = await self._call(self._queue.open_message, row)
        try:
            if route.connection is None or not route.connection.is_open:
                route.connection = None
                route.connection = await PeerConnection.open(parse_domain(row.next_hop), self._calls)
        except LinkEnded as ended:
            route.ended = ended.result
            return ended.result
        try:
            return await route.connection.send(outgoing)
        except LinkEnded as ended:
            return ended.result

    def _log(self, row: JobRow, result: AttemptResult) -> None:
        fields = {
            "job": row.job_id.hex(),
            "lane": row.lane.value,
            "hop": row.next_hop,
            "result": result.name,
            "fate": result.fate.value,
            "code": result.reply_code,
            "attempt": row.attempts + 1,
        }
        if result.detail:
            fields["detail"] = result.detail
        level = logging.INFO if result.fate is Fate.DELIVERED else logging.WARNING
        logger.log(level, "attempt", extra=fields)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if self._held:
                await self._quietly(self._queue.renew, list(self._held.values()), self._clock())

    async def _keep_no_old_keys(self) -> None:
        """Not at once after a start: what waited longest has its last attempt, and its report, first."""
        await asyncio.sleep(FIRST_FORGET_SECONDS)
        while True:
            await self._quietly(self._queue.end_held, self._clock())
            await self._quietly(self._queue.forget_days, self._clock())
            await asyncio.sleep(FORGET_SECONDS)

    async def _quietly(self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await self._call(call, *args, **kwargs)
        except PliError as error:
            logger.error("queue upkeep failed", extra={"code": error.code})  # noqa: TRY400 # no trace of use

    async def _call(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what blocks in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))
