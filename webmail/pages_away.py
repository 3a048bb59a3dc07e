"""Out of office: a professional says until when they read no messages, and what is said meanwhile."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from mailserver.model.absence import Absence, read_absence
from mailserver.model.account import AccountKind
from mailserver.model.errors import Corrupt, Denied, Malformed
from mailserver.service.web_sessions import WebSession
from webmail.desk import Desk, go_to

FIELDS = ("from", "until", "text", "colleague", "emergency")
_PROBLEMS = {
    "away-days": "away.wrong-days",
    "away-text": "away.wrong-text",
    "away-colleague": "away.wrong-colleague",
    "away-emergency": "away.wrong-emergency",
}
_NOTES = {"set": "away.set", "ended": "away.ended"}


@dataclass(frozen=True, slots=True)
class _Told:
    """What the page says beside its form: keys of the catalogue."""

    error: str = ""
    note: str = ""
    is_set: bool = False


class AwayPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show_form(self, request: Request) -> Response:
        """What is set, or an empty form that begins today."""
        session = await self._session(request)
        desk = self._desk
        find = partial(desk.works.absences.find_absence, session.account, desk.now())
        try:
            absence = await desk.run(find)
        except Corrupt:  # saving the form replaces what was altered
            absence = None
        values = _fields_of(absence, desk.now())
        note = _NOTES.get(request.query_params.get("done", ""), "")
        return self._page(request, session, values, _Told(note=note, is_set=absence is not None))

    async def post_form(self, request: Request) -> Response:
        """Save, or end with the second button."""
        session, desk = await self._session(request), self._desk
        form = await desk.read_form(request)
        if not session.is_form_token(form.get("token", "")):
            return desk.problem(request, "form", 403, session)
        values = {name: form.get(name, "") for name in FIELDS}
        ends = form.get("end") == "1"
        try:
            absence = None if ends else read_absence(*values.values())
            change = desk.works.absences.change
            await desk.run(partial(change, session.account, absence, desk.origin(request), desk.now()))
        except Malformed as error:
            if error.code not in _PROBLEMS:
                raise
            return self._page(request, session, values, _Told(error=_PROBLEMS[error.code]), 422)
        return go_to(f"/away?done={'ended' if ends else 'set'}")

    async def _session(self, request: Request) -> WebSession:
        session = await self._desk.session(request)
        if session.account.account.kind is AccountKind.PATIENT:
            raise Denied("away-patient")
        return session

    def _page(
        self, request: Request, session: WebSession, fields: dict[str, str], told: _Told, status: int = 200
    ) -> Response:
        values: dict[str, object] = {"fields": fields, "told": told}
        return self._desk.page(request, "away.html", values, session, status)


def _fields_of(absence: Absence | None, now: datetime) -> dict[str, str]:
    """What the form holds at first."""
    if absence is None:
        return dict.fromkeys(FIELDS, "") | {"from": now.date().isoformat()}
    colleague = "" if absence.colleague is None else str(absence.colleague)
    days = absence.first_day.isoformat(), absence.last_day.isoformat()
    return dict(zip(FIELDS, (*days, absence.text, colleague, absence.emergency), strict=True))
