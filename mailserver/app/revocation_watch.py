"""Keeping revocation lists fresh: one worker fetches those of the web each hour, all read what changed, and the operator
hears when a list is out of date (S2).
"""

import asyncio
import logging
from concurrent.futures import Executor
from datetime import UTC, datetime

from mailserver.app.rounds import keep_doing
from mailserver.service.revocations import Revocations

LOOK_SECONDS = 2.0
FETCH_SECONDS = 3600.0
AGAIN_SECONDS = 300.0
"""After a round in which a list did not come."""

logger = logging.getLogger("pli.tls")


class RevocationWatch:
    """``run`` in each worker's event loop; ``fetches`` in one of them."""

    def __init__(self, revocations: Revocations, *, fetches: bool) -> None:
        self._revocations = revocations
        self._fetches = fetches
        self._said: tuple[str, ...] = ()
        self._next_fetch = 0.0

    async def run(self, pool: Executor) -> None:
        """Until cancelled."""
        if not self._revocations.are_configured:
            if self._fetches:
                logger.critical("revocation is not checked: peer_crl and peer_ocsp in [tls] are empty")
            return
        loop = asyncio.get_running_loop()

        async def look() -> None:
            is_due = self._fetches and self._revocations.fetches and loop.time() >= self._next_fetch
            if is_due:
                self._next_fetch = loop.time() + AGAIN_SECONDS
            # what asks the network is not in the pool, which serves people too: a slow server of lists holds none up
            threads = None if is_due else pool
            all_came = await loop.run_in_executor(threads, self.round, datetime.now(UTC), is_due)
            if is_due and all_came:
                self._next_fetch = loop.time() + FETCH_SECONDS

        await keep_doing("revocation lists", LOOK_SECONDS, look)

    def round(self, now: datetime, is_due: bool) -> bool:
        """Fetch when it is time, read what is new, say what is overdue; whether all that was fetched came."""
        all_came = self._revocations.fetch(now) if is_due else True
        self._revocations.refresh(now)
        if self._fetches:
            self._tell(now)
        return all_came

    def _tell(self, now: datetime) -> None:
        overdue = self._revocations.find_overdue(now)
        if overdue and overdue != self._said:
            logger.critical("no revocation list in date", extra={"sources": ", ".join(overdue)})
        elif self._said and not overdue:
            logger.info("every revocation list is in date again")
        self._said = overdue
