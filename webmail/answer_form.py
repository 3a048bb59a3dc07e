"""What the form of an answer or a new message shows: who reads it, what it offers, or why there is none."""

from dataclasses import dataclass

from mailserver.audit.wording import Language
from mailserver.documents.reasons import EXPLANATIONS, SetAside
from mailserver.policy.decision import Decision
from mailserver.policy.patient_rules import ReplyState
from mailserver.policy.wording import wording_for
from mailserver.service.shown_names import isolated, plain_name
from mailserver.service.web_answers import AnswerPlan
from mailserver.service.web_sessions import WebSession
from webmail.away_notices import away_notices
from webmail.desk import Desk
from webmail.form_token import new_form_mark
from webmail.words import Words


@dataclass(frozen=True, slots=True)
class AnswerState:
    """What the form shows again after a refusal, or the note that what was sent left."""

    text: str = ""
    error: str = ""
    is_sent: bool = False
    subject: str = ""
    to_all: bool = False
    wants_no_answer: bool = False
    is_told: bool = False
    """The form said who of its readers is away."""


def form_values(
    desk: Desk, words: Words, session: WebSession, plan: AnswerPlan | None, ref: str
) -> dict[str, object]:
    """For the templates. ``ref`` is what the form's mark is bound to; ``plan`` is None for the person's own message."""
    is_open = plan is not None and plan.destination is not None
    others = () if plan is None else plan.others
    return {
        "has_subject": False,
        "to": "",
        "recipient": reader_words(plan, words),
        "refusal": "" if plan is None or is_open else refusal_words(plan, words),
        "may_write_anew": plan is not None and plan.state is ReplyState.NEW_MESSAGE,
        "others": [_person_words(each.person.name, str(each.person.address)) for each in others],
        "away": away_notices(plan.away if plan is not None and is_open else (), words),
        "may_end": plan is not None and plan.may_end,
        "mark": new_form_mark(session, ref, desk.now()) if is_open else "",
        "room": words.size(desk.works.answers.limit_bytes * 7 // 10),
    }


def reader_words(plan: AnswerPlan | None, words: Words) -> str:
    """Who will read what is written; nothing where nobody will."""
    if plan is None or plan.recipient is None:
        return ""
    people = (plan.recipient, *(each.person for each in plan.more))
    who = ", ".join(_person_words(each.name, str(each.address)) for each in people)
    return words("new.who" if plan.more else "answer.who", who=who)


def refusal_words(plan: AnswerPlan, words: Words) -> str:
    """Why, what to do, and who ended the exchange when somebody did."""
    said = say(plan.decision, words)
    if plan.ending is None:
        return said
    who = _person_words(plan.ending.name, str(plan.ending.facts.sender))
    return f"{said} {words('answer.ended', who=who, when=words.moment(plan.ending.facts.received_at))}"


def say_archive(aside: SetAside, words: Words) -> str:
    """Why an attached archive was not sent, in the words that its reader's system has for it."""
    explained = EXPLANATIONS[aside.reason]
    why = explained.english if words.language is Language.ENGLISH else explained.french
    return words("answer.archive", why=why)


def say(decision: Decision, words: Words) -> str:
    """A refusal in the reader's language."""
    wording = wording_for(decision.reason)
    return wording.english if words.language is Language.ENGLISH else wording.french


def _person_words(name: str, address: str) -> str:
    plain, shown = plain_name(name), isolated(address)
    return f"{isolated(plain)} ({shown})" if plain else shown
