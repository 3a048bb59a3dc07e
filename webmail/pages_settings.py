"""The settings page: where a person is told that something waits, of what and how often. Works without scripts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.secret import Secret
from mailserver.model.address import parse_address
from mailserver.model.errors import Conflict, Denied, Malformed, OverLimit
from mailserver.model.phone import parse_phone
from mailserver.service.contact_settings import NoticeChoices
from mailserver.service.notices import Contact, News, Way
from mailserver.service.web_sessions import WebSession
from webmail.desk import Desk, drop_cookie, go_to

_BAD = {Way.MAIL: "settings.bad-mail", Way.SMS: "settings.bad-sms"}
_BAD_PASSWORD = {
    "password-short": "settings.password-short",
    "password-long": "settings.password-long",
}
FindKeys = Callable[[Request, WebSession, str], Awaitable[AccountKeys | None]]
"""What the signed-in person's password opens; a wrong one counts as a failed login."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What the page says after a form: an error's key, what was typed, whether it is done."""

    error: str = ""
    way: str = ""
    target: str = ""
    is_done: bool = False


class SettingsPages:
    def __init__(self, desk: Desk, find_keys: FindKeys) -> None:
        self._desk = desk
        self._find_keys = find_keys

    async def show_settings(self, request: Request) -> Response:
        session = await self._desk.session(request)
        return self._page(request, session, _Told(is_done=request.query_params.get("done") == "1"))

    def _page(self, request: Request, session: WebSession, told: _Told, status: int = 200) -> Response:
        profile = session.account.profile
        values: dict[str, object] = {
            "profile": profile,
            "has_sms": self._desk.works.settings.has_sms,
            "told": told,
            "news": [(each.value, each.value not in profile.muted) for each in News],
        }
        return self._desk.page(request, "settings.html", values, session, status)

    async def _form(self, request: Request) -> tuple[WebSession, dict[str, str]]:
        """The signed-in person and their form. Raises Malformed("form") for a token that is not the page's."""
        session = await self._desk.session(request)
        form = await self._desk.read_form(request)
        if not session.is_form_token(form.get("token", "")):
            raise Malformed("form")
        return session, form

    async def post_notices(self, request: Request) -> Response:
        """What is told, how often, which way first."""
        desk = self._desk
        session, form = await self._form(request)
        choices = NoticeChoices(
            frozenset(each for each in News if form.get(each.value) != "on"),
            form.get("pace") == "hour",
            form.get("way") == Way.SMS.value,
        )
        mark = partial(
            desk.works.settings.mark_choices, session.account, choices, desk.origin(request), desk.now()
        )
        await desk.run(mark)
        return go_to("/settings?done=1")

    async def post_password(self, request: Request) -> Response:
        """Another password: the one until now first. Every session ends, this one too."""
        desk = self._desk
        session, form = await self._form(request)
        told, new = _Told(way="password"), form.get("new", "")
        if new != form.get("again", ""):
            return self._refuse(request, session, told, "settings.new-differs", 422)
        keys = await self._find_keys(request, session, form.get("password", ""))
        if keys is None:
            return self._refuse(request, session, told, "settings.password-wrong", 403)
        change = partial(
            desk.works.resets.change_password,
            session.account,
            (keys, Secret(new.encode())),
            desk.origin(request),
            desk.now(),
        )
        try:
            await desk.run(change)
        except Malformed as error:
            return self._refuse(request, session, told, _BAD_PASSWORD[error.code], 422)
        return drop_cookie(go_to("/login?note=changed"))

    async def post_contact(self, request: Request) -> Response:
        """A new address or number: the password first, then a code goes there."""
        desk = self._desk
        session, form = await self._form(request)
        way, typed = _way_of(form), form.get("target", "").strip()[:320]
        told = _Told(way=way.value, target=typed)
        if way is Way.SMS and not desk.works.settings.has_sms:
            raise Malformed("form")
        is_removed = way is Way.SMS and not typed
        contact = None if is_removed else _find_contact(way, typed)
        if contact is None and not is_removed:
            return self._refuse(request, session, told, _BAD[way], 422)
        if contact is not None and not self._is_reached(contact):
            return self._refuse(request, session, told, "settings.sms-country", 422)
        if await self._find_keys(request, session, form.get("password", "")) is None:
            return self._refuse(request, session, told, "settings.password-wrong", 403)
        if contact is None:
            return await self._remove_phone(request, session, told)
        send = partial(
            desk.works.settings.send_code, session.account, session.cookie.session_id, contact, desk.now()
        )
        try:
            await desk.run(send)
        except OverLimit:
            return self._refuse(request, session, told, "login.codes", 429)
        return self._code_page(request, session, contact)

    def _is_reached(self, contact: Contact) -> bool:
        try:
            self._desk.works.settings.demand_prefix(contact)
        except Malformed:
            return False
        return True

    async def _remove_phone(self, request: Request, session: WebSession, told: _Told) -> Response:
        desk = self._desk
        delete = partial(desk.works.settings.delete_phone, session.account, desk.origin(request), desk.now())
        try:
            await desk.run(delete)
        except Malformed:
            return self._refuse(request, session, told, "settings.last-way", 422)
        return go_to("/settings?done=1")

    def _refuse(
        self, request: Request, session: WebSession, told: _Told, error: str, status: int
    ) -> Response:
        return self._page(request, session, _Told(error, told.way, told.target), status)

    def _code_page(
        self, request: Request, session: WebSession, contact: Contact, error: str = "", status: int = 200
    ) -> Response:
        values: dict[str, object] = {"contact": contact, "error": error}
        return self._desk.page(request, "settings_code.html", values, session, status)

    async def post_code(self, request: Request) -> Response:
        """The code that went to the new address: it takes the old one's place."""
        desk = self._desk
        session, form = await self._form(request)
        contact = _find_contact(_way_of(form), form.get("target", ""))
        if contact is None:
            raise Malformed("form")
        proven = (contact, form.get("code", ""))
        mark = partial(
            desk.works.settings.mark_contact,
            session.account,
            session.cookie.session_id,
            proven,
            desk.origin(request),
            desk.now(),
        )
        try:
            await desk.run(mark)
        except Denied:
            return self._code_page(request, session, contact, "code.wrong", 403)
        except Conflict:
            return self._desk.problem(request, "form", 400, session)
        return go_to("/settings?done=1")


def _way_of(form: dict[str, str]) -> Way:
    try:
        return Way(form.get("way", ""))
    except ValueError:
        raise Malformed("form") from None


def _find_contact(way: Way, typed: str) -> Contact | None:
    """The address or number as it is kept; None when it is none."""
    try:
        return Contact(way, parse_phone(typed) if way is Way.SMS else str(parse_address(typed)))
    except Malformed:
        return None
