"""What every answer of the API goes through (S11): its headers, and a last catch that tells an incident number and nothing
of the error. No answer may be read by another site: there is no CORS, and no cookie that would speak for a person.
"""

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailserver.api.problems import problem_answer
from mailserver.log import incident_id
from mailserver.service.languages import choose_language

HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex, nofollow",
}

logger = logging.getLogger("pli.api")


class ApiGuard:
    """The outermost application of the API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def guarded(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            await self._app(scope, receive, guarded)
        except ClientDisconnect:
            return
        except Exception:
            incident = incident_id()
            logger.exception("a request failed", extra={"incident": incident})
            if has_started:
                raise
            language = choose_language(Headers(scope=scope).get("accept-language", ""))
            await problem_answer(language, "internal", incident)(scope, receive, guarded)
