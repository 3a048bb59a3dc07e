"""A patient's contacts: those who have written to them, as each conversation stands, and the operator's pharmacies.

From here a new thread starts. A contact is named on the pages by a word of its session, never by its address.
"""

from dataclasses import dataclass
from datetime import datetime

from mailserver.mime.composer import Person, ReplyHeaders
from mailserver.model.account import AccountKind
from mailserver.model.address import Address
from mailserver.model.errors import Denied
from mailserver.policy.decision import Decision
from mailserver.policy.patient_rules import ReplyState, reply_state
from mailserver.service.conversations import Received
from mailserver.service.correspondence import NEW_THREAD, Correspondence, Destination
from mailserver.service.keys import OpenAccount
from mailserver.service.submit import Submission
from mailserver.service.web_answers import Addressee, AnswerPlan, AwayPerson, list_away

CONTACTS = 200


@dataclass(frozen=True, slots=True)
class Contact:
    """One address that the patient knows. ``last_at`` is when it last wrote, None for a pharmacy that never did;
    ``ending`` is the message that ended the exchange; ``away`` says that they read nothing these days.
    """

    person: Person
    decision: Decision
    destination: Destination | None
    last_at: datetime | None
    ending: Received | None = None
    away: tuple[AwayPerson, ...] = ()

    @property
    def state(self) -> ReplyState:
        return reply_state(None, self.decision)

    @property
    def plan(self) -> AnswerPlan:
        """A new thread to this contact."""
        headers = ReplyHeaders(None, (), "")
        return AnswerPlan(
            self.decision,
            self.person,
            headers,
            self.destination,
            self.state,
            ending=self.ending,
            away=self.away,
        )


class WebContacts:
    def __init__(self, submission: Submission) -> None:
        self._submission = submission

    def list_contacts(self, account: OpenAccount, now: datetime) -> list[Contact]:
        """Who wrote last comes first. Raises Denied("no-space") for anybody but a patient, Corrupt."""
        if account.account.kind is not AccountKind.PATIENT:
            raise Denied("no-space")
        standing = self._submission.correspondence(account)
        known = list(_latest(standing).items())[:CONTACTS]
        contacts = [self._contact(standing, address, last, now) for address, last in known]
        keys = {address.key for address, _last in known}
        pharmacies = (each for each in standing.pharmacies.addresses if each.key not in keys)
        contacts += [self._contact(standing, address, None, now) for address in pharmacies]
        return contacts

    def _contact(
        self, standing: Correspondence, address: Address, last: Received | None, now: datetime
    ) -> Contact:
        decision, destination = self._submission.decide_mailing(standing, address, NEW_THREAD, now)
        is_author = last is not None and last.facts.sender.key == address.key
        name = last.name if last is not None and is_author else ""
        ending = standing.find_ending(address, decision.reason, None)
        last_at = None if last is None else last.facts.received_at
        person = Person(address, name)
        readers = [] if destination is None else [Addressee(person, destination)]
        away = list_away(self._submission, readers, now)
        return Contact(person, decision, destination, last_at, ending, away)


def _latest(standing: Correspondence) -> dict[Address, Received]:
    """Each contact once, with the last message that leads to it; newest first."""
    contacts = {each.correspondent.key: each.contact for each in standing.conversations}
    found: dict[str, tuple[Address, Received]] = {}
    for each in reversed(standing.received):
        contact = contacts[each.facts.sender.key]
        found.setdefault(contact.key, (contact, each))
    return dict(found.values())
