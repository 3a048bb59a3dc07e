"""What every page needs: the services behind it, the signed-in person, words, templates, threads for blocking work."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import jinja2
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailserver.audit.events import Origin
from mailserver.config import OperatorConfig
from mailserver.model.account import AccountKind
from mailserver.model.errors import Denied, OverLimit
from mailserver.model.local_time import local_clock
from mailserver.service.absence_settings import AbsenceSettings
from mailserver.service.contact_settings import ContactSettings
from mailserver.service.displayed_receipts import DisplayedReceipts
from mailserver.service.kept_fetching import KeptFetching
from mailserver.service.known_devices import LIFE_SECONDS
from mailserver.service.languages import choose_language
from mailserver.service.login_resets import LoginResets
from mailserver.service.space_documents import SpaceDocuments
from mailserver.service.throttle import Throttle, network_of
from mailserver.service.timelines import Timelines
from mailserver.service.web_answers import WebAnswers
from mailserver.service.web_contacts import WebContacts
from mailserver.service.web_login import WebLogin
from mailserver.service.web_mailbox import WebMailbox
from mailserver.service.web_sessions import WebSession, WebSessions
from mailserver.service.web_writing import WebWriting
from mailserver.store.store import Store
from webmail.form_stream import SMALL_FORM_BYTES, parse_small_form
from webmail.words import Words, load_words

T = TypeVar("T")
COOKIE = "__Host-pli"
DEVICE_COOKIE = "__Host-pli-device"
THREADS = 16
FORM_SECONDS = 30
_BROWSERS = (("Firefox/", "Firefox"), ("Edg/", "Edge"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))


class SignedOut(Exception):
    """Nobody is signed in, or no longer: the way leads to the login page."""


@dataclass(frozen=True, slots=True)
class Works:
    """The use cases behind the pages."""

    store: Store
    sessions: WebSessions
    login: WebLogin
    mailbox: WebMailbox
    answers: WebAnswers
    contacts: WebContacts
    writing: WebWriting
    receipts: DisplayedReceipts
    documents: SpaceDocuments
    settings: ContactSettings
    timelines: Timelines
    absences: AbsenceSettings
    kept: KeptFetching
    resets: LoginResets


class Desk:
    """Shared by all pages of one application. Nothing here is a person's."""

    def __init__(
        self, works: Works, throttle: Throttle, operator: OperatorConfig, clock: Callable[[], datetime]
    ) -> None:
        self.works = works
        self.throttle = throttle
        self.operator = operator.name
        self._zone = local_clock(operator.zone).zone
        self.now = clock
        self._limiter = CapacityLimiter(THREADS)
        loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
        self._templates = jinja2.Environment(
            loader=loader,
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def run(self, call: Callable[[], T], limiter: CapacityLimiter | None = None) -> T:
        """Blocking work on a thread of the pool."""
        return await anyio.to_thread.run_sync(call, limiter=limiter or self._limiter)

    def words(self, request: Request) -> Words:
        return load_words(choose_language(request.headers.get("accept-language", "")), self._zone)

    def peer(self, request: Request) -> str:
        return request.client.host if request.client else ""

    def origin(self, request: Request) -> Origin:
        """From where and with what, as the log keeps it: a network, and the browser's family."""
        agent = request.headers.get("user-agent", "")
        family = next((name for mark, name in _BROWSERS if mark in agent), "")
        return Origin(network_of(self.peer(request)), family)

    async def session(self, request: Request) -> WebSession:
        """Raises SignedOut."""
        value = request.cookies.get(COOKIE, "")
        if not value:
            raise SignedOut
        try:
            return await self.run(partial(self.works.sessions.load, value, self.now()))
        except Denied as error:
            raise SignedOut from error

    async def read_form(self, request: Request, most_bytes: int = SMALL_FORM_BYTES) -> dict[str, str]:
        """A small form's fields. Raises OverLimit("form"), Malformed("form")."""
        body = bytearray()
        with anyio.move_on_after(FORM_SECONDS) as patience:
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    raise OverLimit("form")
        if patience.cancelled_caught:
            raise OverLimit("form-slow")
        return parse_small_form(bytes(body))

    def page(
        self,
        request: Request,
        template: str,
        values: dict[str, object],
        session: WebSession | None = None,
        status: int = 200,
    ) -> HTMLResponse:
        """A page in the person's language."""
        words = self.words(request)
        shared: dict[str, object] = {
            "w": words,
            "language": words.language.value,
            "operator": self.operator,
            "path": request.url.path,
            "person": None,
            "token": "",
            "ends": "",
            "has_space": False,
            "is_email_dead": False,
        }
        if session is not None:
            kind = session.account.account.kind
            shared["person"] = session.account.profile.name or str(session.account.addresses[0])
            shared["token"] = session.form_token()
            shared["ends"] = words.hour(session.ends_at)
            shared["has_space"] = kind is AccountKind.PATIENT
            shared["is_email_dead"] = session.account.profile.is_email_dead
        return HTMLResponse(self._templates.get_template(template).render(shared | values), status)

    def problem(
        self, request: Request, key: str, status: int, session: WebSession | None = None
    ) -> HTMLResponse:
        """What happened, why, what to do: the catalogue has a title and a text for each ``key``."""
        words = self.words(request)
        values: dict[str, object] = {"title": words(f"error.{key}.title"), "text": words(f"error.{key}.text")}
        return self.page(request, "error.html", values, session, status)


def go_to(path: str) -> Response:
    """POST, redirect, GET."""
    return RedirectResponse(path, 303)


def set_cookie(response: Response, value: str) -> Response:
    """No Max-Age: the browser forgets it when it closes; the row decides anyway."""
    response.set_cookie(COOKIE, value, path="/", secure=True, httponly=True, samesite="strict")
    return response


def set_device_cookie(response: Response, token: str) -> Response:
    """By which this browser is known at its next login; it opens nothing, and outlives the session."""
    response.set_cookie(
        DEVICE_COOKIE,
        token,
        max_age=LIFE_SECONDS,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )
    return response


def drop_cookie(response: Response) -> Response:
    response.set_cookie(COOKIE, "", max_age=0, path="/", secure=True, httponly=True, samesite="strict")
    return response
