"""Sending an answer or a new message: the form streams from the browser through the composer into the sealed intake (S5).

The work runs on a thread that asks the event loop for one piece after the other; nothing plain is kept. A refusal
gives the page back with the text in it.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import anyio.from_thread
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import Response

from mailserver.documents.reasons import SetAside
from mailserver.mime.composer import FileToAttach
from mailserver.model.errors import Malformed, OverLimit
from mailserver.policy.decision import Decision
from mailserver.service.web_answers import AnswerPlan, Draft
from mailserver.service.web_sessions import WebSession
from webmail.answer_form import AnswerState, say, say_archive
from webmail.desk import Desk, go_to
from webmail.form_stream import FormPart, FormStream, find_boundary
from webmail.form_token import find_form_mark
from webmail.pages_contacts import ContactPages, contact_ref
from webmail.pages_mail import MailPages, writable_type
from webmail.pages_write import SUBJECT_CHARACTERS, WritePages, Writing
from webmail.shares import Shares

UPLOADS = 24
UPLOADS_OF_ACCOUNT = 2
PATIENCE_SECONDS = 60
LEAST_RATE = 500
"""Octets a second on average, once PATIENCE_SECONDS are over (S4)."""
FILES = 10
FIELDS = 8
DRAIN_BYTES = 200 * 1024 * 1024
DRAIN_SECONDS = 60
_NEVER = 2**63


@dataclass(slots=True)
class _Sending:
    """What the thread has learned so far: a refusal must give the text back."""

    state: AnswerState = field(default_factory=AnswerState)
    problem: str = ""
    verdict: Decision | SetAside | None = None


class Body:
    """The request's octets, pulled from a thread. ``drain`` reads the rest, so that the browser hears the answer.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, request: Request, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = request.stream()
        self._clock = clock
        self._began_at: float | None = None
        self._total_bytes = 0
        self._ends_at = math.inf
        self._is_done = False

    def pieces(self, limit_bytes: int = _NEVER) -> Iterator[bytes]:
        """From the upload thread only. Raises TimeoutError when the browser is slower than S4 allows."""
        while not self._is_done and limit_bytes > 0:
            piece = anyio.from_thread.run(self._next)
            if piece is None:
                self._is_done = True
                return
            limit_bytes -= len(piece)
            yield piece

    async def _next(self) -> bytes | None:
        """A minute at any rate, then the least rate on average."""
        now = self._clock()
        if self._began_at is None:
            self._began_at = now
        allowed = max(PATIENCE_SECONDS, self._total_bytes / LEAST_RATE)
        left = min(self._began_at + allowed, self._ends_at) - now
        if left <= 0:
            raise TimeoutError
        with anyio.fail_after(left):
            piece = await anext(self._stream, None)
        self._total_bytes += len(piece or b"")
        return piece

    def drain(self) -> None:
        """At most DRAIN_SECONDS: who sends for longer does not hear the answer."""
        self._ends_at = self._clock() + DRAIN_SECONDS
        with contextlib.suppress(TimeoutError):
            for _unused in self.pieces(DRAIN_BYTES):
                pass


@dataclass(frozen=True, slots=True)
class _Form:
    """One form on its way: what it is about, and what becomes of it."""

    session: WebSession
    aim: Callable[[dict[str, str]], tuple[str, AnswerPlan | None]]
    """From the form's fields: what its mark is bound to, and the plan. Blocks."""
    done: str
    """Where the browser goes once it is sent."""
    show: Callable[[AnswerState, int], Response]
    on_sent: Callable[[], None]
    has_subject: bool = False
    without_plan: str = "own"
    """Why there is none, as the catalogue has it; empty where the page itself says it."""


class AnswerPages:
    def __init__(self, desk: Desk, mail: MailPages, contacts: ContactPages, write: WritePages) -> None:
        self._desk = desk
        self._mail = mail
        self._contacts = contacts
        self._write = write
        self._limiter = CapacityLimiter(UPLOADS)
        self._shares = Shares(UPLOADS_OF_ACCOUNT, "many-answers")

    async def post_answer(self, request: Request) -> Response:
        """Send, then redirect; or the page again, with the reason and the text."""
        session = await self._desk.session(request)
        reading = await self._mail.read(request, session)
        ref = reading.message.line.ref
        form = _Form(
            session,
            lambda _fields: (ref, reading.plan),
            f"/messages/{ref}?sent=1",
            partial(self._mail.message_page, request, reading),
            partial(self._desk.works.answers.mark_answered, session.account, reading.message),
        )
        return await self._post(request, form)

    async def post_message(self, request: Request) -> Response:
        """The same for a new message to a contact."""
        session = await self._desk.session(request)
        contact = await self._contacts.find(request, session)
        ref = contact_ref(session, contact)
        form = _Form(
            session,
            lambda _fields: (ref, contact.plan),
            f"/contacts/{ref}?sent=1",
            partial(self._contacts.form_page, request, session, contact),
            lambda: None,
            has_subject=True,
        )
        return await self._post(request, form)

    async def post_new_message(self, request: Request) -> Response:
        """The same for a professional's new message, whose form says whom it is for."""
        session = await self._desk.session(request)
        writing, write = Writing(), self._write

        def aim(fields: dict[str, str]) -> tuple[str, AnswerPlan | None]:
            ref = write.ref_of(session, writing, fields)
            return ref, writing.choice.plan

        show = partial(write.page, request, session, writing)
        return await self._post(request, _Form(session, aim, "/write?sent=1", show, lambda: None, True, ""))

    async def _post(self, request: Request, form: _Form) -> Response:
        boundary = find_boundary(request.headers.get("content-type", ""))
        if boundary is None:
            return self._desk.problem(request, "form", 400, form.session)
        with self._shares.take(form.session.account.account_id):
            return await self._answer(request, form, boundary)

    async def _answer(self, request: Request, form: _Form, boundary: str) -> Response:
        desk = self._desk
        sending = _Sending()
        body = Body(request)
        work = partial(self._work, request, form, body, boundary, sending)
        try:
            await desk.run(work, self._limiter)
        except TimeoutError:
            return desk.problem(request, "slow", 408, form.session)
        words = desk.words(request)
        verdict = sending.verdict
        if isinstance(verdict, Decision) and verdict.accepted:
            return go_to(form.done)
        if sending.problem == "form":
            return desk.problem(request, "form", 403, form.session)
        error = words(f"answer.{sending.problem}") if sending.problem else ""
        if isinstance(verdict, SetAside):
            error = say_archive(verdict, words)
        elif verdict is not None:
            error = say(verdict, words)
        status = 413 if sending.problem == "too-large" else 422
        return form.show(replace(sending.state, error=error), status)

    def _work(self, request: Request, form: _Form, body: Body, boundary: str, sending: _Sending) -> None:
        """On the upload thread: read the fields, then send while the files come."""
        try:
            self._send(request, form, FormStream(body.pieces(), boundary), sending)
        except OverLimit:
            sending.problem = "too-large"
        except Malformed as error:
            sending.problem = "form" if error.code == "form" else "unwritable"
        finally:
            body.drain()

    def _send(self, request: Request, form: _Form, stream: FormStream, sending: _Sending) -> None:
        desk, session = self._desk, form.session
        parts = stream.parts()
        fields, first = read_fields(parts)
        state = sending.state = state_of(fields)
        now = desk.now()
        if not session.is_form_token(fields.get("token", "")):
            sending.problem = "form"
            return
        ref, plan = form.aim(fields)
        mark = find_form_mark(session, ref, fields.get("mark", ""), now)
        if mark is None:
            sending.problem = "form"
            return
        if not state.text.strip():
            sending.problem = "empty"
            return
        if form.has_subject and not state.subject:
            sending.problem = "no-subject"
            return
        if plan is None or plan.destination is None:
            sending.verdict = plan.decision if plan else None
            sending.problem = "" if plan else form.without_plan
            return
        subject = state.subject if form.has_subject else ""
        draft = Draft(
            state.text,
            mark.nonce,
            mark.opened_at,
            subject,
            state.to_all,
            state.wants_no_answer,
            state.is_told,
        )
        answers, files = desk.works.answers, files_of(first, parts)
        origin = desk.origin(request)
        verdict = sending.verdict = answers.send(session.account, plan, draft, files, origin, now)
        if isinstance(verdict, Decision) and verdict.accepted:
            form.on_sent()


def state_of(fields: dict[str, str]) -> AnswerState:
    """What the person wrote and chose, so that a refusal can give it back."""
    subject = " ".join(fields.get("subject", "").split())[:SUBJECT_CHARACTERS].strip()
    return AnswerState(
        text=fields.get("text", ""),
        subject=subject,
        to_all=fields.get("all") == "1",
        wants_no_answer=fields.get("end") == "1",
        is_told=fields.get("away") == "1",
    )


def read_fields(parts: Iterator[FormPart]) -> tuple[dict[str, str], FormPart | None]:
    """The plain fields that come before the files, and the first file."""
    fields: dict[str, str] = {}
    for part in parts:
        if part.filename is not None:
            return fields, part
        if len(fields) >= FIELDS:
            raise Malformed("form", "fields")
        fields.setdefault(part.name, part.read_text())
    return fields, None


def files_of(first: FormPart | None, parts: Iterator[FormPart]) -> Iterator[FileToAttach]:
    """The chosen files, one after the other; an input without a choice is skipped. Raises OverLimit("files")."""
    count = 0
    part = first
    while part is not None:
        if part.filename:
            count += 1
            if count > FILES:
                raise OverLimit("files")
            yield FileToAttach(part.filename, writable_type(part.content_type), part.chunks)
        part = next(parts, None)
