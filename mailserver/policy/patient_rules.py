"""The rules of a message to or from a patient (``facts/mssante`` §4.6): who may open, answer and write again.

A professional, or a service, always may. A patient may write to whoever wrote to them, as the conversation stands, and
to pharmacies that take first messages; never to a patient. What another operator's patient may write to our
professionals is judged where that patient is, by those who know who wrote to them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mailserver.model.address import Address, DomainName, parse_address, parse_domain
from mailserver.policy.conversation import Conversation, ConversationState
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse

PATIENT_MESSAGE_BYTES = 25_000_000
"""The rule says 25 MB in total (``facts`` §3.4) without saying which; the smaller reading never bounces later."""


@dataclass(frozen=True, slots=True)
class Pharmacies:
    """Who takes a patient's first message, as the operator lists them; nobody by default."""

    addresses: tuple[Address, ...] = ()
    domains: frozenset[DomainName] = frozenset()

    def is_listed(self, address: Address) -> bool:
        return address.domain in self.domains or address.key in {each.key for each in self.addresses}


NO_PHARMACIES = Pharmacies()


def parse_pharmacies(texts: Iterable[str]) -> Pharmacies:
    """Addresses and domains, as ``[patients] pharmacies`` lists them. Raises Malformed."""
    addresses = tuple(parse_address(text) for text in texts if "@" in text)
    return Pharmacies(addresses, frozenset(parse_domain(text) for text in texts if "@" not in text))


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """One message to one recipient. ``conversations`` are the sender patient's; ``answered`` is In-Reply-To's id.

    ``is_receipt``: a read receipt (RFC 8098) of a message that this recipient sent to the patient, nothing else.
    ``takes_first_messages``: the recipient is a pharmacy that accepts them.
    """

    is_sender_patient: bool
    is_recipient_patient: bool
    recipient: Address
    size_bytes: int
    limit_bytes: int = PATIENT_MESSAGE_BYTES
    conversations: tuple[Conversation, ...] = ()
    answered: str | None = None
    is_receipt: bool = False
    takes_first_messages: bool = False


def decide_patient(facts: PatientFacts) -> Decision:
    """The rules of a message to or from a patient; any other message is accepted.

    A read receipt (which a patient may not refuse) passes a closed conversation, never an absent one.
    """
    if facts.is_sender_patient and facts.is_recipient_patient:
        return refuse(Reason.PATIENT_TO_PATIENT)
    if facts.is_recipient_patient and facts.size_bytes > facts.limit_bytes:
        return refuse(Reason.MESSAGE_TOO_LARGE_FOR_PATIENT)
    if not facts.is_sender_patient:
        return ACCEPT
    wanted = facts.recipient.key
    if facts.is_receipt and any(wanted == known.correspondent.key for known in facts.conversations):
        return ACCEPT
    reachable = find_reachable(facts.conversations, facts.recipient)
    if not reachable:
        return ACCEPT if facts.takes_first_messages else refuse(Reason.PATIENT_NEVER_CONTACTED)
    if facts.is_receipt or any(not known.is_closed_for(facts.answered) for known in reachable):
        return ACCEPT
    return refuse(_closed_reason(reachable))


def find_reachable(conversations: Iterable[Conversation], contact: Address) -> list[Conversation]:
    """The conversations whose answers go to this address: several correspondents may share a secretary."""
    return [known for known in conversations if known.contact.key == contact.key]


def _closed_reason(closed: list[Conversation]) -> Reason:
    if all(known.state is ConversationState.CLOSED_ALL for known in closed):
        return Reason.CONVERSATION_CLOSED
    return Reason.MESSAGE_CLOSED


class ReplyState(StrEnum):
    """What a patient is offered beside a message, or beside a contact. The names are Mon espace santé's."""

    REPLY = "reply"
    REPLY_TO_ALL = "reply-to-all"
    """Others of the same message would take the answer too."""
    REPLY_BLOCKED = "reply-blocked"
    """The exchange was ended, or the contact receives nothing any more."""
    NO_REPLY = "no-reply"
    """Nobody waits for an answer to this, and nothing else is open."""
    NEW_MESSAGE = "new-message"
    """No answer to this message, but a new one may be written."""


def reply_state(answer: Decision | None, fresh: Decision, others: int = 0) -> ReplyState:
    """``answer``: the decision on an answer to the message, None beside a contact; ``fresh``: on a new message to the
    same contact; ``others``: further people of the message who would take the answer.
    """
    judged = fresh if answer is None else answer
    match judged.reason:
        case Reason.ACCEPTED if answer is None:
            return ReplyState.NEW_MESSAGE
        case Reason.ACCEPTED:
            return ReplyState.REPLY_TO_ALL if others else ReplyState.REPLY
        case Reason.MESSAGE_CLOSED:
            return ReplyState.NEW_MESSAGE if fresh.accepted else ReplyState.NO_REPLY
        case Reason.PATIENT_NEVER_CONTACTED | Reason.PATIENT_TO_PATIENT:
            return ReplyState.NO_REPLY
        case _:
            return ReplyState.REPLY_BLOCKED
