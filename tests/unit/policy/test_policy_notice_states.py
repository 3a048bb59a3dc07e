"""One state a recipient, whatever comes twice, late or out of order."""

from itertools import permutations, product

import pytest

from mailserver.model.notice import Expectation, NoticeState
from mailserver.policy.notice_states import (
    DueAct,
    DueFacts,
    Transport,
    decide_due,
    is_met,
    next_state,
)

S, E, T = NoticeState, Expectation, Transport
FINAL = (S.DISPLAYED, S.FAILED)
ANSWERS = (S.DISPATCHED, S.PROCESSED, S.DELETED, S.DISPLAYED, S.FAILED)


@pytest.mark.parametrize(
    ("state", "news", "expected", "then"),
    [
        (S.SENT, S.RELAYED, E.RECEIPT, S.RELAYED),
        (S.SENT, S.DELIVERED, E.RECEIPT, S.DELIVERED),
        (S.DELIVERED, S.RELAYED, E.RECEIPT, S.DELIVERED),
        (S.DELIVERED, S.DISPATCHED, E.RECEIPT, S.DISPATCHED),
        (S.DISPATCHED, S.DELIVERED, E.RECEIPT, S.DISPATCHED),
        (S.DISPATCHED, S.PROCESSED, E.RECEIPT, S.PROCESSED),
        (S.DISPATCHED, S.FAILED, E.RECEIPT, S.FAILED),
        (S.PROCESSED, S.DISPLAYED, E.RECEIPT, S.DISPLAYED),
        (S.PROCESSED, S.DELETED, E.RECEIPT, S.PROCESSED),
        (S.DISPLAYED, S.PROCESSED, E.RECEIPT, S.DISPLAYED),
        (S.DISPLAYED, S.FAILED, E.RECEIPT, S.DISPLAYED),
        (S.FAILED, S.PROCESSED, E.RECEIPT, S.FAILED),
        (S.PROCESSED, S.FAILED, E.RECEIPT, S.FAILED),
        (S.DELIVERED, S.FAILED, E.NOTHING, S.FAILED),
        (S.DELIVERED, S.OVERDUE, E.RECEIPT, S.OVERDUE),
        (S.PROCESSED, S.OVERDUE, E.RECEIPT, S.PROCESSED),
        (S.OVERDUE, S.DELIVERED, E.RECEIPT, S.OVERDUE),
        (S.OVERDUE, S.DELIVERED, E.DELIVERY, S.DELIVERED),
        (S.OVERDUE, S.RELAYED, E.DELIVERY, S.RELAYED),
        (S.OVERDUE, S.DISPATCHED, E.RECEIPT, S.DISPATCHED),
        (S.OVERDUE, S.PROCESSED, E.RECEIPT, S.PROCESSED),
        (S.OVERDUE, S.FAILED, E.RECEIPT, S.FAILED),
    ],
)
def test_moves(state: S, news: S, expected: E, then: S) -> None:
    assert next_state(state, news, expected) is then


@pytest.mark.parametrize("expected", E)
def test_the_same_again_changes_nothing(expected: E) -> None:
    for state in S:
        assert next_state(state, state, expected) is state


def test_one_final_state_in_any_order() -> None:
    for state, news, expected in product(FINAL, S, E):
        assert next_state(state, news, expected) is state
    for order in permutations((S.RELAYED, S.DELIVERED, S.DISPATCHED, S.FAILED)):
        state = S.SENT
        for news in order:
            state = next_state(state, news, E.RECEIPT)
        assert state is S.FAILED


@pytest.mark.parametrize(
    ("expected", "met"),
    [
        (E.NOTHING, set(S)),
        (E.DELIVERY, {S.RELAYED, S.DELIVERED, *ANSWERS}),
        (E.RECEIPT, {*ANSWERS}),
    ],
)
def test_what_meets_an_expectation(expected: E, met: set[S]) -> None:
    assert {state for state in S if is_met(state, expected)} == met


@pytest.mark.parametrize(
    ("facts", "act"),
    [
        (DueFacts(S.SENT, E.RECEIPT, T.HANDED_OVER, was_told=False), DueAct.TELL_OVERDUE),
        (DueFacts(S.SENT, E.RECEIPT, T.HERE, was_told=False), DueAct.TELL_OVERDUE),
        (DueFacts(S.DELIVERED, E.RECEIPT, T.HANDED_OVER, was_told=False), DueAct.TELL_OVERDUE),
        (DueFacts(S.SENT, E.DELIVERY, T.HANDED_OVER, was_told=False), DueAct.TELL_OVERDUE),
        (DueFacts(S.RELAYED, E.DELIVERY, T.HANDED_OVER, was_told=False), DueAct.END),
        (DueFacts(S.SENT, E.RECEIPT, T.WAITING, was_told=False), DueAct.WAIT),
        (DueFacts(S.SENT, E.RECEIPT, T.RETURNED, was_told=False), DueAct.END),
        (DueFacts(S.PROCESSED, E.RECEIPT, T.HANDED_OVER, was_told=False), DueAct.END),
        (DueFacts(S.FAILED, E.RECEIPT, T.HANDED_OVER, was_told=False), DueAct.END),
        (DueFacts(S.OVERDUE, E.RECEIPT, T.HANDED_OVER, was_told=True), DueAct.END),
        (DueFacts(S.PROCESSED, E.RECEIPT, T.HANDED_OVER, was_told=True), DueAct.TELL_LATE),
        (DueFacts(S.FAILED, E.RECEIPT, T.HANDED_OVER, was_told=True), DueAct.TELL_LATE),
    ],
)
def test_when_the_time_is_over(facts: DueFacts, act: DueAct) -> None:
    assert decide_due(facts) is act
