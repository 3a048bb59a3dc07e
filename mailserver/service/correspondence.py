"""Whom an account may write to by the rules of patients: one judgement for SMTP, the web pages and the queue."""

from dataclasses import dataclass

from mailserver.model.account import AccountKind
from mailserver.model.address import Address
from mailserver.model.dsn import NO_RECIPIENT_ASK, RecipientAsk
from mailserver.model.patient import is_patient_local
from mailserver.policy.conversation import Conversation
from mailserver.policy.decision import Decision, Reason
from mailserver.policy.patient_rules import PatientFacts, Pharmacies, decide_patient, find_reachable
from mailserver.policy.trust_list import TrustList
from mailserver.service.conversations import Received, fold_conversations, is_receipt_of, list_received
from mailserver.service.keys import OpenAccount
from mailserver.store.accounts import AccountRow
from mailserver.store.store import Store


@dataclass(frozen=True, slots=True)
class Destination:
    """An accepted RCPT: ``account`` is None when another operator holds the address; ``ask``: what its sender wants to
    be told; ``may_be_away``: whether the account's absence is to be looked at.
    """

    address: Address
    account: AccountRow | None
    ask: RecipientAsk = NO_RECIPIENT_ASK
    may_be_away: bool = False

    @property
    def is_patient(self) -> bool:
        """Of another operator's patients the address is all we know."""
        if self.account is None:
            return is_patient_local(self.address.local)
        return self.account.kind is AccountKind.PATIENT


@dataclass(frozen=True, slots=True)
class Mailing:
    """What is judged of one message. ``original_id`` is what a read receipt is about, None for anything else."""

    size_bytes: int = 0
    answered: str | None = None
    original_id: str | None = None


NEW_THREAD = Mailing()


@dataclass(frozen=True, slots=True)
class Correspondence:
    """One account's standing at this moment; for a professional there is nothing to know."""

    is_patient: bool
    pharmacies: Pharmacies
    received: tuple[Received, ...] = ()
    conversations: tuple[Conversation, ...] = ()

    def decide(self, destination: Destination, mailing: Mailing) -> Decision:
        """The rules of patients for one message to one recipient."""
        address, account = destination.address, destination.account
        # a pharmacist's own box takes no patients' messages: the pharmacy's does (facts §2.1)
        is_pharmacy = account is None or account.kind is AccountKind.ORG
        original_id = mailing.original_id
        return decide_patient(
            PatientFacts(
                self.is_patient,
                destination.is_patient,
                address,
                mailing.size_bytes,
                conversations=self.conversations,
                answered=mailing.answered,
                is_receipt=original_id is not None and is_receipt_of(self.received, original_id, address),
                takes_first_messages=is_pharmacy and self.pharmacies.is_listed(address),
            )
        )

    def contact_of(self, author: Address) -> Address:
        """Where an answer to this author goes."""
        known = (each.contact for each in self.conversations if each.correspondent.key == author.key)
        return next(known, author)

    def find_ending(self, contact: Address, reason: Reason, answered: str | None) -> Received | None:
        """The message that ended what is refused with ``reason``: who wrote it, and when."""
        if reason not in {Reason.CONVERSATION_CLOSED, Reason.MESSAGE_CLOSED}:
            return None
        keys = {known.correspondent.key for known in find_reachable(self.conversations, contact)}
        for each in reversed(self.received):
            facts = each.facts
            if facts.sender.key not in keys:
                continue
            is_the_message = facts.ends_message and answered in {None, facts.message_id}
            if facts.ends_all if reason is Reason.CONVERSATION_CLOSED else is_the_message:
                return each
        return None


def load_correspondence(
    store: Store, account: OpenAccount, trusted: TrustList, pharmacies: Pharmacies
) -> Correspondence:
    """Raises Corrupt when a row was altered."""
    if account.account.kind is not AccountKind.PATIENT:
        return Correspondence(is_patient=False, pharmacies=pharmacies)
    received = tuple(list_received(store, account))
    return Correspondence(True, pharmacies, received, fold_conversations(received, trusted))
