"""A professional's new message: first to whom, with the reasons of each refusal and who is away; then the message.

Addresses travel in the bodies of forms, never in an address of the site (S11). Tries at addresses that nobody has wait
longer and longer (S4).
"""

import time
from dataclasses import dataclass, field
from functools import partial

from anyio import sleep
from starlette.requests import Request
from starlette.responses import Response

from mailserver.service.throttle import Throttle
from mailserver.service.web_sessions import WebSession
from mailserver.service.web_writing import RECIPIENTS, Choice, Refused
from webmail.answer_form import AnswerState, form_values, say
from webmail.desk import Desk
from webmail.shares import Shares
from webmail.words import Words

TO_CHARACTERS = 8000
SUBJECT_CHARACTERS = 200
FORM_BYTES = 640 * 1024
"""With the text of a message whose recipients have to be chosen again."""


@dataclass(slots=True)
class Writing:
    """One message on its way: whom it is for, once its form has said so."""

    typed: str = ""
    choice: Choice = field(default_factory=Choice)
    is_asked: bool = False

    @property
    def to(self) -> str:
        """The addresses of the message's form, once they are chosen."""
        return " ".join(map(str, self.choice.addresses))


class WritePages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._throttle = Throttle(time.monotonic)
        self._shares = Shares(1, "many-answers")

    async def show_form(self, request: Request) -> Response:
        session = await self._desk.session(request)
        await self._choose(session, "")
        state = AnswerState(is_sent=request.query_params.get("sent") == "1")
        return self.page(request, session, Writing(), state)

    async def post_recipients(self, request: Request) -> Response:
        """The form of the message, or the same question with the reasons."""
        session = await self._desk.session(request)
        fields = await self._desk.read_form(request, FORM_BYTES)
        if not session.is_form_token(fields.get("token", "")):
            return self._desk.problem(request, "form", 403, session)
        writing = Writing(fields.get("to", "")[:TO_CHARACTERS], is_asked=True)
        state = AnswerState(fields.get("text", ""), subject=fields.get("subject", "")[:SUBJECT_CHARACTERS])
        with self._shares.take(session.account.account_id):
            writing.choice = await self._choose(session, writing.typed)
        return self.page(request, session, writing, state, 200 if writing.choice.plan else 422)

    async def _choose(self, session: WebSession, text: str) -> Choice:
        """Raises Denied for a patient."""
        desk, name = self._desk, session.account.account_id.hex()
        with self._throttle.attempt("", name, is_known=True) as seconds:
            await sleep(seconds if text else 0)
            choice = await desk.run(partial(desk.works.writing.choose, session.account, text, desk.now()))
        for each in choice.refused:
            if each.is_unknown:  # each waits for itself, as at RCPT, before anything is told
                with self._throttle.attempt("", name, is_known=True) as seconds:
                    self._throttle.note_failure("", name, is_known=True)
                    await sleep(seconds)
        return choice

    def ref_of(self, session: WebSession, writing: Writing, fields: dict[str, str]) -> str:
        """What the mark of the message's form is bound to: such a form is only given for addresses that were taken.
        ``writing`` learns whom it is for, as things stand now. Blocks.
        """
        desk = self._desk
        writing.typed, writing.is_asked = fields.get("to", "")[:TO_CHARACTERS], True
        writing.choice = desk.works.writing.choose(session.account, writing.typed, desk.now())
        return _ref(session, writing.typed)

    def page(
        self, request: Request, session: WebSession, writing: Writing, state: AnswerState, status: int = 200
    ) -> Response:
        """To whom, or the message to them."""
        desk, words, choice = self._desk, self._desk.words(request), writing.choice
        values: dict[str, object] = form_values(
            desk, words, session, choice.plan, _ref(session, writing.to)
        ) | {
            "state": state,
            "is_chosen": choice.plan is not None,
            "typed": writing.typed,
            "to": writing.to,
            "people": [str(each) for each in choice.addresses],
            "refused": [(each.text, _why(each, words)) for each in choice.refused],
            "problem": _problem(writing, words),
            "most": RECIPIENTS,
            "action": "/write/message",
            "has_subject": True,
        }
        return desk.page(request, "new_message.html", values, session, status)


def _problem(writing: Writing, words: Words) -> str:
    """What is wrong with the whole of what was typed."""
    choice = writing.choice
    if choice.is_too_long:
        return words("new.many", most=str(RECIPIENTS))
    if choice.refused:
        return words("new.refused")
    if choice.has_several_patients:
        return words("new.patients")
    return words("new.nobody") if writing.is_asked and choice.plan is None else ""


def _why(refused: Refused, words: Words) -> str:
    return words("new.no-address") if refused.decision is None else say(refused.decision, words)


def _ref(session: WebSession, to: str) -> str:
    return session.mark(f"write|{to}").hex()
