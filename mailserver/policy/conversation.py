"""Whom a patient may write to: one Conversation per professional who has written (``facts/mssante`` §4.6).

Only a professional opens it, by any message: who has written may be written to. ``X-MSS-MES: FIN`` forbids an answer to
the one message that carries it; a subject that is exactly ``[FIN]`` ends all, until the next message without either. A Reply-To
in a trusted domain takes the sender's place as contact, unless it is a patient's. Values only: the store keeps them
sealed.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mailserver.model.address import Address
from mailserver.model.patient import is_patient_local
from mailserver.policy.trust_list import TrustList

END_MARK = "FIN"
END_SUBJECT = "[FIN]"
CLOSED_MESSAGES = 1000
"""Marks kept per conversation; the oldest is forgotten first."""


class ConversationState(StrEnum):
    OPEN = "open"
    CLOSED_ALL = "closed-all"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What a patient may do towards one professional. ``closed_messages`` are Message-IDs that take no answer.

    ``ended_at`` is when the correspondent ended the whole exchange; None while it is not ended.
    """

    correspondent: Address
    state: ConversationState
    reply_to: Address | None = None
    closed_messages: tuple[str, ...] = ()
    ended_at: datetime | None = None

    @property
    def contact(self) -> Address:
        """The one address that the patient may write to."""
        return self.reply_to or self.correspondent

    def is_closed_for(self, message_id: str | None) -> bool:
        """Whether this message (None for a new thread) takes no answer of its own."""
        return self.state is not ConversationState.OPEN or message_id in self.closed_messages


@dataclass(frozen=True, slots=True)
class ReceivedFacts:
    """One message from a professional to the patient. ``end_mark`` is X-MSS-MES's value; header values are unfolded."""

    message_id: str
    sender: Address
    subject: str
    received_at: datetime
    end_mark: str | None = None
    reply_to: Address | None = None

    @property
    def ends_message(self) -> bool:
        """Three capitals, nothing else (``facts/mssante`` §3.3)."""
        return self.end_mark is not None and self.end_mark.strip() == END_MARK

    @property
    def ends_all(self) -> bool:
        return self.subject == END_SUBJECT


def receive_message(known: Conversation | None, received: ReceivedFacts, trusted: TrustList) -> Conversation:
    """The conversation after this message; ``known`` is the one with the same sender, None at their first message."""
    start = known or Conversation(received.sender, ConversationState.OPEN)
    moved = replace(start, correspondent=received.sender, reply_to=_find_contact(received, trusted))
    if received.ends_message:
        marks = (*moved.closed_messages, received.message_id)[-CLOSED_MESSAGES:]
        moved = replace(moved, closed_messages=marks)
    if received.ends_all:
        return replace(moved, state=ConversationState.CLOSED_ALL, ended_at=received.received_at)
    if received.ends_message:
        return moved  # it leaves earlier messages, and an end, as they are
    return replace(moved, state=ConversationState.OPEN, ended_at=None)


def _find_contact(received: ReceivedFacts, trusted: TrustList) -> Address | None:
    """The Reply-To when it takes the sender's place: a health address, another one, and no patient's."""
    reply_to = received.reply_to
    if reply_to is None or not trusted.is_listed(reply_to.domain) or is_patient_local(reply_to.local):
        return None
    return None if reply_to.key == received.sender.key else reply_to
