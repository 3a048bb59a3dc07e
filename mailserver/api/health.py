"""Whether this process can do its work, for whoever watches it: words only, nothing of a person, and to anybody.

One look serves everybody for a short while, so that asking costs nothing.
"""

import time
from functools import partial

import anyio
from starlette.requests import Request
from starlette.responses import JSONResponse

from mailserver.api.login import ApiLogin
from mailserver.service.readiness import Readiness, ReadinessCheck

KEPT_SECONDS = 2.0


class Health:
    def __init__(self, login: ApiLogin, check: ReadinessCheck) -> None:
        self._login = login
        self._check = check
        self._lock = anyio.Lock()
        self._found: Readiness | None = None
        self._found_at = 0.0

    async def show(self, _request: Request) -> JSONResponse:
        """``GET /api/v1/health``: 503 when nothing can be served; a part that is missing is told with 200, since sending
        clients to another node would not bring it back.
        """
        async with self._lock:
            if self._found is None or time.monotonic() - self._found_at > KEPT_SECONDS:
                self._found = await self._login.run(partial(self._check.look, self._login.now()))
                self._found_at = time.monotonic()
            found = self._found
        body = {
            "status": _word(found.is_whole),
            "store": _word(found.has_store),
            "trust_list": _word(found.has_trust_list),
            "custodian": _word(found.has_custodian),
            "log": _word(found.is_log_in_time),
        }
        return JSONResponse(body, 200 if found.has_store else 503)


def _word(is_well: bool) -> str:
    return "ok" if is_well else "degraded"
