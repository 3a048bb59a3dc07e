"""What every answer and every unsafe request goes through (S11): security headers, the origin of forms, and a last
catch that tells the person an incident number and nothing of the error.
"""

import logging
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailserver.log import incident_id

SAFE_METHODS = frozenset({"GET", "HEAD"})
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": PAGE_POLICY,
    # Not no-referrer: browsers then say "Origin: null" with our own forms (Fetch, append a request Origin header),
    # and the check below would have nothing to check. No other site gets anything; our addresses hold no secret.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "x-robots-tag": "noindex, nofollow",
}
"""Set where the page has not set its own."""

logger = logging.getLogger("pli.web")


class Guard:
    """The outermost application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_started = False

        async def guarded(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                add_headers(MutableHeaders(scope=message))
            await send(message)

        if scope["method"] not in SAFE_METHODS and not is_own_form(Headers(scope=scope)):
            await PlainTextResponse(_FOREIGN, 403)(scope, receive, guarded)
            return
        try:
            await self._app(scope, receive, guarded)
        except ClientDisconnect:
            return
        except Exception:
            incident = incident_id()
            logger.exception("a page failed", extra={"incident": incident})
            if has_started:
                raise
            await PlainTextResponse(_FAILED.format(incident=incident), 500)(scope, receive, guarded)


_FOREIGN = (
    "Ce formulaire ne vient pas de cette page : rien n’a été fait. Revenez à l’accueil et recommencez.\n"
)
_FAILED = (
    "Une erreur est survenue chez nous, pas chez vous. Réessayez dans quelques minutes. "
    "Si cela continue, donnez ce numéro à l’assistance : {incident}\n"
)


def add_headers(headers: MutableHeaders) -> None:
    for name, value in HEADERS.items():
        headers.setdefault(name, value)


def is_own_form(headers: Headers) -> bool:
    """Whether an unsafe request comes from a page of ours. One of the two headers must say so, none may deny it.

    Browsers before 2023 send Origin alone.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    if origin is None or origin == "null":
        return site == "same-origin"
    parts = urlsplit(origin)
    return parts.scheme == "https" and parts.netloc.lower() == headers.get("host", "").lower()
