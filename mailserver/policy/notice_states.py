"""How what is known of a recipient moves with each notice: forward only, to one final state, whatever comes twice, late
or out of order. Pure.
"""

from dataclasses import dataclass
from enum import StrEnum

from mailserver.model.notice import Expectation, NoticeState

_RANK = {
    NoticeState.SENT: 0,
    NoticeState.RELAYED: 1,
    NoticeState.DELIVERED: 2,
    NoticeState.OVERDUE: 3,
    NoticeState.DISPATCHED: 4,
    NoticeState.PROCESSED: 5,
    NoticeState.DELETED: 5,
    NoticeState.DISPLAYED: 6,
    NoticeState.FAILED: 6,
}


def is_met(state: NoticeState, expected: Expectation) -> bool:
    """Whether nothing is waited for any more. An answer of the recipient's system meets every expectation."""
    if expected is Expectation.NOTHING or _RANK[state] > _RANK[NoticeState.OVERDUE]:
        return True
    return expected is Expectation.DELIVERY and state in {NoticeState.RELAYED, NoticeState.DELIVERED}


def next_state(state: NoticeState, news: NoticeState, expected: Expectation) -> NoticeState:
    """The state after a notice; the same one when the notice says nothing new, or comes after a final state: displayed
    or failed, whichever was first. A failure after *processed* counts: with Direct an operator says that it took a
    message, and may still fail to hand it over.
    """
    if state is NoticeState.OVERDUE and expected is Expectation.DELIVERY and is_met(news, expected):
        return news  # late, and all that was waited for
    return news if _RANK[news] > _RANK[state] else state


class Transport(StrEnum):
    """Where the queue is with a recipient."""

    HERE = "here"
    """In a mailbox of this operator: no queue was needed."""
    WAITING = "waiting"
    HANDED_OVER = "handed-over"
    RETURNED = "returned"
    """The sender has a report, or wanted none."""


class DueAct(StrEnum):
    """What to do about a recipient whose time is over."""

    TELL_OVERDUE = "tell-overdue"
    TELL_LATE = "tell-late"
    """What was missed has come after all."""
    WAIT = "wait"
    """The message is still on its way here, and the queue tells of its delay itself."""
    END = "end"


@dataclass(frozen=True, slots=True)
class DueFacts:
    state: NoticeState
    expected: Expectation
    transport: Transport
    was_told: bool
    """The sender has been told that nothing came."""


def decide_due(facts: DueFacts) -> DueAct:
    """Nobody is told twice: not of a silence that the queue's own report ends, nor of an answer in time."""
    if is_met(facts.state, facts.expected):
        return DueAct.TELL_LATE if facts.was_told else DueAct.END
    if facts.was_told or facts.transport is Transport.RETURNED:
        return DueAct.END
    return DueAct.WAIT if facts.transport is Transport.WAITING else DueAct.TELL_OVERDUE
