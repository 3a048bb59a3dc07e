"""What became of a message that the person sent, in words: each recipient with its state and its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.audit.wording import Language
from mailserver.model.notice import NoticeState
from mailserver.service.delivery_reports import Cause, explain_attempt
from mailserver.service.notice_words import STATE_WORDS, explain_code
from mailserver.service.shown_names import isolated
from mailserver.service.timelines import DeliveryState, HeardState, MessageTimeline, RecipientTimeline
from mailserver.store.jobs import AttemptRow
from webmail.words import Words

_STATES = {
    DeliveryState.HERE: "timeline.here",
    DeliveryState.WAITING: "timeline.waiting",
    DeliveryState.HELD: "timeline.held",
    DeliveryState.HANDED_OVER: "timeline.handed-over",
    DeliveryState.RETURNED: "timeline.returned",
    DeliveryState.FORGOTTEN: "timeline.forgotten",
}


@dataclass(frozen=True, slots=True)
class RecipientLine:
    """``attempts``: when, and what became of it; ``heard``: what notices said since, why and what to do about it."""

    address: str
    state: str
    attempts: Sequence[tuple[str, str]]
    heard: Sequence[str] = ()

    def __repr__(self) -> str:
        return "RecipientLine(…)"


def timeline_lines(timelines: Sequence[MessageTimeline], words: Words) -> list[RecipientLine]:
    """Every recipient of one message, in the order of sending."""
    return [_line(each, words) for timeline in timelines for each in timeline.recipients]


def _line(found: RecipientTimeline, words: Words) -> RecipientLine:
    due = "" if found.next_try_at is None else _moment(found.next_try_at, words)
    state = words(_STATES[found.state], when=due)
    attempts = [(_moment(each.at, words), _attempt(each, words)) for each in found.attempts]
    heard = [] if found.heard is None else _heard(found.heard, words)
    return RecipientLine(isolated(str(found.recipient)), state, attempts, heard)


def _heard(heard: HeardState, words: Words) -> list[str]:
    is_french = words.language is Language.FRENCH
    french, english = STATE_WORDS[heard.state]
    what = words("timeline.heard", when=_moment(heard.at, words), what=french if is_french else english)
    if heard.state is not NoticeState.FAILED:
        return [what]
    why = explain_code(heard.code)
    return [
        what,
        words("timeline.why", why=why.why_fr if is_french else why.why_en),
        words("timeline.todo", todo=why.todo_fr if is_french else why.todo_en),
    ]


def _attempt(attempt: AttemptRow, words: Words) -> str:
    why = explain_attempt(attempt.result)
    if why is not None:
        return words("timeline.failed", why=why.why_fr if words.language is Language.FRENCH else why.why_en)
    if attempt.result == Cause.DELIVERED:
        return words("timeline.delivered")
    key = "timeline.refused" if attempt.reply_code // 100 == 5 else "timeline.later"
    return words(key, code=attempt.reply_code)


def _moment(at: int, words: Words) -> str:
    return words.moment(datetime.fromtimestamp(at, UTC))
