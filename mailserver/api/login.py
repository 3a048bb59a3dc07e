"""Who asks: an app password of scope api, throttled like every other door (S9), its day's reading written in the log.

No cookie and no session: each request brings its credentials, and its keys go with it.
"""

import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import Request

from mailserver.api.credentials import Credentials, parse_credentials
from mailserver.api.rates import RequestRates
from mailserver.audit.events import Origin
from mailserver.crypto.slots import SlotScope
from mailserver.model.errors import Denied
from mailserver.service.keys import Keys, OpenAccount
from mailserver.service.mail_permit import MailPermits
from mailserver.service.throttle import Throttle, network_of

T = TypeVar("T")
THREADS = 8
CLIENT = "API"
_TOLD_APART = (SlotScope.API, SlotScope.IMAP_SMTP, SlotScope.IMAP, SlotScope.SMTP)
"""Whoever has the right secret of another scope is told so; a wrong secret never tells (K22)."""


class ApiLogin:
    def __init__(
        self, keys: Keys, permits: MailPermits, throttle: Throttle, clock: Callable[[], datetime]
    ) -> None:
        self._keys = keys
        self._permits = permits
        self._throttle = throttle
        self._rates = RequestRates(time.monotonic)
        self._limiter = CapacityLimiter(THREADS)
        self.now = clock

    async def run(self, call: Callable[[], T]) -> T:
        """Blocking work on a thread of the API's own."""
        return await anyio.to_thread.run_sync(call, limiter=self._limiter)

    async def admit(self, request: Request) -> OpenAccount:
        """The account with its space, once the log says that it is read: one entry per app password, network and day
        (L1). Raises Malformed("credentials"), Denied("login", "scope"), OverLimit("request-rate"), Unavailable.
        """
        credentials = parse_credentials(request.headers.get("authorization", ""))
        peer = request.client.host if request.client else ""
        account = await self._open(credentials, peer)
        if account.scope is not SlotScope.API:
            raise Denied("scope")
        self._rates.count(account.slot_id)
        origin = Origin(network_of(peer), CLIENT)
        await self.run(partial(self._permits.permit, account, origin, self.now()))
        return account

    async def _open(self, credentials: Credentials, peer: str) -> OpenAccount:
        """Waits as long as earlier failures ask."""
        throttle, login = self._throttle, credentials.login
        stamp = int(self.now().timestamp())
        work = partial(self._keys.open_with_app_password, login, credentials.secret, _TOLD_APART, stamp)
        with throttle.attempt(peer, login) as seconds:
            await anyio.sleep(seconds)
            try:
                account = await self.run(work)
            except Denied:
                throttle.note_failure(peer, login)
                raise
            throttle.note_success(peer, login)
        return account
