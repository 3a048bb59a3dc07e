"""Those whom a patient may write to, and the form of a new message to one of them."""

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from mailserver.model.errors import NotFound
from mailserver.policy.decision import Reason
from mailserver.service.shown_names import plain_name
from mailserver.service.web_contacts import Contact
from mailserver.service.web_sessions import WebSession
from webmail.answer_form import AnswerState, form_values, refusal_words
from webmail.desk import Desk
from webmail.words import Words

_GONE = frozenset(
    {
        Reason.UNKNOWN_RECIPIENT,
        Reason.UNKNOWN_PATIENT,
        Reason.DISABLED_ACCOUNT,
        Reason.CLOSED_PATIENT,
        Reason.RECIPIENT_DOMAIN_UNLISTED,
    }
)


@dataclass(frozen=True, slots=True)
class ContactCard:
    """One line of the list. ``refusal`` is empty when a message may be written."""

    ref: str
    name: str
    address: str
    when: str
    refusal: str
    is_gone: bool


class ContactPages:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def show_list(self, request: Request) -> Response:
        """Everybody the patient may or could once write to, with where each exchange stands."""
        session = await self._desk.session(request)
        words = self._desk.words(request)
        contacts = await self._list(session)
        cards = [_card(session, contact, words) for contact in contacts]
        return self._desk.page(request, "contacts.html", {"cards": cards}, session)

    async def show_form(self, request: Request) -> Response:
        session = await self._desk.session(request)
        contact = await self.find(request, session)
        state = AnswerState(is_sent=request.query_params.get("sent") == "1")
        return self.form_page(request, session, contact, state)

    async def find(self, request: Request, session: WebSession) -> Contact:
        """The contact that the address names in this session. Raises NotFound("contact"), Denied, Corrupt."""
        ref = request.path_params["ref"]
        for contact in await self._list(session):
            if contact_ref(session, contact) == ref:
                return contact
        raise NotFound("contact")

    def form_page(
        self, request: Request, session: WebSession, contact: Contact, state: AnswerState, status: int = 200
    ) -> Response:
        """The form of a new message, or the reason why there is none."""
        desk, words = self._desk, self._desk.words(request)
        ref = contact_ref(session, contact)
        values = form_values(desk, words, session, contact.plan, ref)
        card = _card(session, contact, words)
        more: dict[str, object] = {
            "card": card,
            "state": state,
            "action": f"/contacts/{ref}/message",
            "has_subject": True,
        }
        return desk.page(request, "write.html", values | more, session, status)

    async def _list(self, session: WebSession) -> list[Contact]:
        desk = self._desk
        return await desk.run(partial(desk.works.contacts.list_contacts, session.account, desk.now()))


def contact_ref(session: WebSession, contact: Contact) -> str:
    """A word for a contact that says nothing outside this session (S11: no address in a URL)."""
    return session.mark(f"contact|{contact.person.address.key}").hex()[:32]


def _card(session: WebSession, contact: Contact, words: Words) -> ContactCard:
    when = ""
    if contact.last_at is not None:
        when = words("contacts.last", when=words.moment(contact.last_at))
    return ContactCard(
        contact_ref(session, contact),
        plain_name(contact.person.name),
        str(contact.person.address),
        when or words("contacts.pharmacy"),
        "" if contact.destination is not None else refusal_words(contact.plan, words),
        contact.decision.reason in _GONE,
    )
