"""Whether this process can do its work, for whoever watches it: words only, nothing of a person, and to anybody.

One look serves everybody for a short while, so that asking costs nothing; a look that does not end is no good news.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import JSONResponse

from mailserver.service.readiness import Readiness, ReadinessCheck

KEPT_SECONDS = 2.0
LOOK_SECONDS = 5.0
_SILENT = Readiness(has_store=False, has_trust_list=False, has_custodian=False, is_log_in_time=False)


class Health:
    def __init__(self, check: ReadinessCheck, clock: Callable[[], datetime]) -> None:
        self._check = check
        self._clock = clock
        self._lock = anyio.Lock()
        self._limiter = CapacityLimiter(1)
        self._found = _SILENT
        self._kept_until = 0.0

    async def show(self, _request: Request) -> JSONResponse:
        """``GET /api/v1/health``: 503 when nothing can be served; a part that is missing is told with 200, since sending
        clients to another node would not bring it back.
        """
        async with self._lock:
            if time.monotonic() >= self._kept_until:
                self._found = await self._look()
                self._kept_until = time.monotonic() + KEPT_SECONDS
            found = self._found
        body = {
            "status": _word(found.is_whole),
            "store": _word(found.has_store),
            "trust_list": _word(found.has_trust_list),
            "custodian": _word(found.has_custodian),
            "log": _word(found.is_log_in_time),
        }
        return JSONResponse(body, 200 if found.has_store else 503)

    async def _look(self) -> Readiness:
        """On a thread of its own: one at most, whatever hangs."""
        with anyio.move_on_after(LOOK_SECONDS):
            look = partial(self._check.look, self._clock())
            return await anyio.to_thread.run_sync(look, abandon_on_cancel=True, limiter=self._limiter)
        return _SILENT


def _word(is_well: bool) -> str:
    return "ok" if is_well else "degraded"
