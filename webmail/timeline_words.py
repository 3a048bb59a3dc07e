"""What became of a message that the person sent, in words: each recipient with its state and its attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailserver.audit.wording import Language
from mailserver.service.delivery_reports import Cause, explain_attempt
from mailserver.service.shown_names import isolated
from mailserver.service.timelines import DeliveryState, MessageTimeline, RecipientTimeline
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
    """``attempts``: when, and what became of it."""

    address: str
    state: str
    attempts: Sequence[tuple[str, str]]

    def __repr__(self) -> str:
        return "RecipientLine(…)"


def timeline_lines(timelines: Sequence[MessageTimeline], words: Words) -> list[RecipientLine]:
    """Every recipient of one message, in the order of sending."""
    return [_line(each, words) for timeline in timelines for each in timeline.recipients]


def _line(found: RecipientTimeline, words: Words) -> RecipientLine:
    due = "" if found.next_try_at is None else _moment(found.next_try_at, words)
    state = words(_STATES[found.state], when=due)
    attempts = [(_moment(each.at, words), _attempt(each, words)) for each in found.attempts]
    return RecipientLine(isolated(str(found.recipient)), state, attempts)


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
