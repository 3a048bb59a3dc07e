"""Watching the trust list's file: each change is a diff in the operator's log, and so is each reason why it trusts
nobody (S13). Every worker reads the file; one keeps the good copy and speaks, so that each line is there once.
"""

import asyncio
import logging
from concurrent.futures import Executor
from datetime import UTC, datetime

from mailserver.app.rounds import keep_doing
from mailserver.policy.trust_store import Refresh, TrustStore

TRUST_SECONDS = 2.0

logger = logging.getLogger("pli.trust")


class TrustWatch:
    """``run`` in one worker's event loop. ``round`` blocks: for the pool."""

    def __init__(self, trust: TrustStore) -> None:
        self._trust = trust
        self._said_error = ""
        self._said_refusal = ""

    async def run(self, pool: Executor) -> None:
        """Until cancelled."""

        async def look() -> None:
            await asyncio.get_running_loop().run_in_executor(pool, self.round, datetime.now(UTC))

        self.tell(self._trust.opening, datetime.now(UTC))
        await keep_doing("trust", TRUST_SECONDS, look)

    def round(self, now: datetime) -> None:
        """Read the file again when it has changed, and say what is new."""
        self.tell(self._trust.refresh(now), now)

    def tell(self, report: Refresh, now: datetime) -> None:
        """Say what one look gave; what was said last is not said again."""
        if not self._trust.keeps:
            return
        error = "" if report.error is None else report.error.code
        if error and error != self._said_error:
            logger.error("trust list not taken, the last good one is kept", extra={"code": error})
        if error or report.change is not None:
            self._said_error = error
        for line in report.change.lines() if report.change else ():
            logger.info("trust list changed", extra={"change": line})
        reason = self._trust.current.find_refusal(now)
        refusal = "" if reason is None else reason.value
        if refusal and refusal != self._said_refusal:
            logger.critical("the trust list trusts nobody: all mail is refused", extra={"code": refusal})
        elif self._said_refusal and not refusal:
            logger.info(
                "the trust list is in force again", extra={"domains": len(self._trust.current.entries)}
            )
        self._said_refusal = refusal
