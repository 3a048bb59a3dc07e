"""Logging in and out: password, code, goodbye. Words never tell whether an account exists (K22)."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import anyio
from anyio import CapacityLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from mailserver.crypto.custodian_rates import Standing
from mailserver.crypto.roots import AccountKeys
from mailserver.model.errors import Denied, OverLimit
from mailserver.service.keys import ARGON2_AT_ONCE
from mailserver.service.throttle import Throttle
from mailserver.service.web_codes import Factor
from mailserver.service.web_login import Awaited
from mailserver.service.web_sessions import WebSession
from webmail.desk import (
    COOKIE,
    DEVICE_COOKIE,
    Desk,
    SignedOut,
    drop_cookie,
    go_to,
    set_cookie,
    set_device_cookie,
)

T = TypeVar("T")
KNOWN_AT_ONCE = 1
"""Of the ARGON2_AT_ONCE: browsers that were let in before do not wait behind strangers."""
_NOTES = {"ended": "login.ended", "left": "login.left", "changed": "login.changed"}


@dataclass(frozen=True, slots=True)
class _Attempt:
    """Whose login is tried from where; ``is_known``: by a browser that logged in as them before."""

    peer: str
    login: str
    is_known: bool = False

    def under_way(self, throttle: Throttle) -> AbstractContextManager[float]:
        return throttle.attempt(self.peer, self.login, is_known=self.is_known)


class LoginPages:
    """Passwords have threads of their own, as many as may stretch one at once: those who wait hold no page up."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._threads = CapacityLimiter(ARGON2_AT_ONCE)
        self._lanes = {
            Standing.STRANGER: CapacityLimiter(ARGON2_AT_ONCE - KNOWN_AT_ONCE),
            Standing.KNOWN: CapacityLimiter(KNOWN_AT_ONCE),
        }

    async def show_login(self, request: Request) -> Response:
        """Who is signed in already is sent to the inbox."""
        try:
            await self._desk.session(request)
        except SignedOut:
            note = _NOTES.get(request.query_params.get("note", ""), "")
            return self._login_page(request, note=note)
        return go_to("/")

    def _login_page(
        self, request: Request, *, note: str = "", error: str = "", login: str = "", status: int = 200
    ) -> Response:
        values: dict[str, object] = {"note": note, "error": error, "login": login}
        return self._desk.page(request, "login.html", values, status=status)

    async def post_login(self, request: Request) -> Response:
        """The wait of the throttle comes first, then the same work for everyone."""
        desk = self._desk
        form = await desk.read_form(request)
        typed, password = form.get("login", ""), form.get("password", "")
        login, now = desk.works.login, desk.now()
        standing = login.standing_of(typed, request.cookies.get(DEVICE_COOKIE, ""), now)
        attempt = _Attempt(desk.peer(request), login.full_login(typed), standing is Standing.KNOWN)
        begin = partial(login.begin, typed, password, now, standing)
        with attempt.under_way(desk.throttle) as seconds:
            await anyio.sleep(seconds)
            try:
                started = await self._in_lane(request, standing, begin)
            except Denied as error:
                if error.code != "login":
                    return self._login_page(request, error=f"login.{error.code}", status=403)
                self._note_failure(attempt)
                return self._login_page(request, error="login.wrong", login=typed[:320], status=403)
            except OverLimit as error:
                if error.code == "harden-rate":  # nothing was judged: it counts as any other guess
                    self._note_failure(attempt)
                return self._login_page(request, error=f"login.{error.code}", login=typed[:320], status=429)
        return set_cookie(go_to("/login/code"), started.cookie.format_value())

    async def find_keys(self, request: Request, session: WebSession, password: str) -> AccountKeys | None:
        """What the signed-in person's password opens; None when it is not theirs. A guess counts and waits as at the door. Raises OverLimit."""
        desk = self._desk
        login, device = str(session.account.addresses[0]), request.cookies.get(DEVICE_COOKIE, "")
        standing = desk.works.login.standing_of(login, device, desk.now())
        attempt = _Attempt(desk.peer(request), login, standing is Standing.KNOWN)
        check = partial(desk.works.login.find_keys, session.account, password, standing)
        with attempt.under_way(desk.throttle) as seconds:
            await anyio.sleep(seconds)
            keys = await self._in_lane(request, standing, check)
            if keys is None:
                self._note_failure(attempt)
        return keys

    async def _in_lane(self, request: Request, standing: Standing, begin: Callable[[], T]) -> T:
        """Raises ClientDisconnect when nobody waits for an answer any more: no work for one."""
        async with self._lanes[standing]:
            if await request.is_disconnected():
                raise ClientDisconnect
            return await self._desk.run(begin, self._threads)

    def _note_failure(self, attempt: "_Attempt") -> None:
        self._desk.throttle.note_failure(attempt.peer, attempt.login, is_known=attempt.is_known)

    async def show_code(self, request: Request) -> Response:
        awaited = await self._awaited(request)
        if awaited is None:
            return go_to("/login?note=ended")
        return self._code_page(request, awaited)

    def _code_page(self, request: Request, awaited: Awaited, error: str = "", status: int = 200) -> Response:
        values: dict[str, object] = {
            "error": error,
            "where": awaited.sent.where,
            "way": awaited.sent.factor.value,
        }
        return self._desk.page(request, "code.html", values, status=status)

    async def _awaited(self, request: Request) -> Awaited | None:
        find = self._desk.works.login.find_awaited
        return await self._desk.run(partial(find, request.cookies.get(COOKIE, ""), self._desk.now()))

    async def post_code(self, request: Request) -> Response:
        """A wrong code counts as a failed login; the sixth asks for a new start."""
        desk = self._desk
        form = await desk.read_form(request)
        awaited = await self._awaited(request)
        if awaited is None:
            return go_to("/login?note=ended")
        value = request.cookies.get(COOKIE, "")
        attempt = _Attempt(desk.peer(request), awaited.login)
        finish = partial(
            desk.works.login.finish, value, form.get("code", ""), desk.origin(request), desk.now()
        )
        with attempt.under_way(desk.throttle) as seconds:
            await anyio.sleep(seconds)
            try:
                finished = await desk.run(finish)
            except Denied as error:
                if error.code == "session":
                    return go_to("/login?note=ended")
                self._note_failure(attempt)
                is_application = awaited.sent.factor is Factor.APPLICATION
                wrong = "code.wrong-application" if is_application else "code.wrong"
                return self._code_page(request, awaited, wrong, 403)
            desk.throttle.note_success(attempt.peer, attempt.login)
        return set_device_cookie(set_cookie(go_to("/"), finished.cookie.format_value()), finished.device)

    async def post_logout(self, request: Request) -> Response:
        """The row goes, and with it the keys."""
        session = await self._desk.session(request)
        form = await self._desk.read_form(request)
        if not session.is_form_token(form.get("token", "")):
            return self._desk.problem(request, "form", 403, session)
        await self._desk.run(partial(self._desk.works.sessions.end, session.cookie.format_value()))
        return drop_cookie(go_to("/login?note=left"))
