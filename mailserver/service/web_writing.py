"""New messages of professionals: to whom they may go, decided before anything is written.

Each address is judged by the rules of submission and of patients; one refusal keeps the message from all, naming each
address that is refused and why. Who is away is known before sending.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from mailserver.mime.composer import Person, ReplyHeaders
from mailserver.model.account import AccountKind
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Denied, Malformed
from mailserver.policy.decision import ACCEPT, TELLING_REASONS, Decision
from mailserver.policy.patient_rules import ReplyState
from mailserver.service.correspondence import NEW_THREAD
from mailserver.service.keys import OpenAccount
from mailserver.service.submit import Submission
from mailserver.service.web_answers import Addressee, AnswerPlan, list_away

RECIPIENTS = 20
"""Most people to whom one message is written on the web."""
_SEPARATORS = re.compile(r"[\s,;<>]+")
_NAMED = re.compile(r"(?:^|(?<=[,;\n]))(?:[^<>,;\n\"@]|\"[^<>\"\n@]*\")*<([^<>\s]+)>")
"""``Dr Camille FICTIF <camille@…>`` as mail clients copy it; what stands before is a name only without an address in it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What was typed, and why it cannot be written to; None for what is no address."""

    text: str
    decision: Decision | None

    @property
    def is_unknown(self) -> bool:
        """Whether it says who has a box here, which is slowed down."""
        return self.decision is not None and self.decision.reason in TELLING_REASONS

    def __repr__(self) -> str:
        return "Refused(…)"


@dataclass(frozen=True, slots=True)
class Choice:
    """Those whom a message is to go to. The plan is there when all of them may be written to, and are not too many.

    ``has_several_patients``: each would read the insurance number of the others.
    """

    addresses: tuple[Address, ...] = ()
    refused: tuple[Refused, ...] = ()
    is_too_long: bool = False
    has_several_patients: bool = False
    plan: AnswerPlan | None = None

    def __repr__(self) -> str:
        return f"Choice({len(self.addresses)} addresses, {len(self.refused)} refused)"


class WebWriting:
    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    def choose(self, account: OpenAccount, text: str, now: datetime) -> Choice:
        """``text``: addresses as a person typed or pasted them, with spaces, commas, semicolons or lines between, each perhaps in
        angle brackets after a name. Raises Denied("no-writing") for a patient, who writes to contacts.
        """
        if account.account.kind is AccountKind.PATIENT:
            raise Denied("no-writing")
        typed = [each for each in _SEPARATORS.split(_NAMED.sub(r" \1 ", text)) if each]
        if len(typed) > RECIPIENTS:
            return Choice(is_too_long=True)
        standing = self._submission.correspondence(account)
        readers: dict[str, Addressee] = {}
        refused = []
        for each in typed:
            address = _find_address(each)
            if address is None:
                refused.append(Refused(each, None))
                continue
            decision, destination = self._submission.decide_mailing(standing, address, NEW_THREAD, now)
            if destination is None:
                refused.append(Refused(each, decision))
            else:
                readers.setdefault(address.key, Addressee(Person(address), destination))
        people = tuple(readers.values())
        is_exposing = sum(each.destination.is_patient for each in people) > 1
        plan = None if refused or is_exposing or not people else self._plan(people, now)
        addresses = tuple(each.person.address for each in people)
        return Choice(addresses, tuple(refused), has_several_patients=is_exposing, plan=plan)

    def _plan(self, people: tuple[Addressee, ...], now: datetime) -> AnswerPlan:
        first, *more = people
        return AnswerPlan(
            ACCEPT,
            first.person,
            ReplyHeaders(None, (), ""),
            first.destination,
            ReplyState.NEW_MESSAGE,
            more=tuple(more),
            may_end=any(each.destination.is_patient for each in people),
            away=list_away(self._submission, people, now),
        )


def _find_address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except Malformed:
        return None
