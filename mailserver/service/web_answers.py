"""Answers written on the web: whom one may answer, the mail composed as it streams in, a copy in Sent.

The octets go from the browser through the composer into the sealed intake; nothing plain touches a disk (S5). One
form is one message: its id, date and boundary come from the form, so that a double click folds into one sending (R2).
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from mailserver.audit.events import Origin
from mailserver.config import OperatorConfig
from mailserver.documents.mss_headers import compute_mss_headers
from mailserver.documents.reasons import SetAside
from mailserver.mime.composer import (
    FileToAttach,
    Letter,
    Person,
    ReplyHeaders,
    reply_headers,
)
from mailserver.mime.summary_wire import format_summary
from mailserver.mime.trace import Hop, scanned_line_of
from mailserver.model.absence import Absence
from mailserver.model.account import Flag, Role
from mailserver.model.address import Address, parse_address
from mailserver.model.errors import Malformed
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse
from mailserver.policy.patient_rules import ReplyState, reply_state
from mailserver.service.composing import compose_mail
from mailserver.service.conversations import Received
from mailserver.service.correspondence import NEW_THREAD, Correspondence, Destination, Mailing
from mailserver.service.delivery import Outcome
from mailserver.service.intake import Intake
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import Messages
from mailserver.service.sender_label import format_label
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.service.submit import Submission
from mailserver.service.summaries import parse_intake
from mailserver.service.web_mailbox import OpenMessage
from mailserver.store.item_changes import FlagChange
from mailserver.store.store import Store

OTHERS = 20
"""Further people of a message to whom an answer is offered too."""


@dataclass(frozen=True, slots=True)
class Addressee:
    person: Person
    destination: Destination


@dataclass(frozen=True, slots=True)
class AwayPerson:
    """Somebody here who does not read messages these days."""

    person: Person
    absence: Absence


def list_away(submission: Submission, readers: Iterable[Addressee], now: datetime) -> tuple[AwayPerson, ...]:
    """Those of the readers of a message who are away, for its writer to know before sending."""
    found = ((each.person, submission.find_absence(each.destination, now)) for each in readers)
    return tuple(AwayPerson(person, absence) for person, absence in found if absence is not None)


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """Who will read the answer, and whether it may be written; ``destination`` is there when it may.

    ``more``: a new message's recipients beside the first; ``others`` would take the answer too; ``ending`` is the message that ended the exchange; ``may_end``: a professional
    writes to a patient, and may say that no answer is wanted; ``away``: who of them is.
    """

    decision: Decision
    recipient: Person | None
    headers: ReplyHeaders
    destination: Destination | None = None
    state: ReplyState = ReplyState.NO_REPLY
    others: tuple[Addressee, ...] = ()
    ending: Received | None = None
    may_end: bool = False
    away: tuple[AwayPerson, ...] = ()
    more: tuple[Addressee, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form gives. ``nonce`` (8-40 letters and digits) and ``opened_at`` are the form's own.

    ``subject`` is a new thread's; an answer has its own.
    """

    text: str
    nonce: str
    opened_at: datetime
    subject: str = ""
    to_all: bool = False
    wants_no_answer: bool = False
    is_told: bool = False
    """The page said who is away before it was sent."""

    def __repr__(self) -> str:
        return "Draft(…)"


class WebAnswers:
    def __init__(
        self,
        store: Store,
        mailboxes: Mailboxes,
        messages: Messages,
        submission: Submission,
        operator: OperatorConfig,
    ) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._messages = messages
        self._submission = submission
        self._operator = operator

    @property
    def limit_bytes(self) -> int:
        return self._submission.limit_bytes

    def plan(self, account: OpenAccount, message: OpenMessage, now: datetime) -> AnswerPlan:
        """Decide on an answer before anything is written, so that nobody writes in vain."""
        facts, headers = message.facts(), reply_headers(message.summary)
        if not facts.authors:
            return AnswerPlan(refuse(Reason.UNKNOWN_RECIPIENT), None, headers)
        author, standing = facts.authors[0], self._submission.correspondence(account)
        address = standing.contact_of(author) if standing.is_patient else facts.reply_to or author
        recipient = Person(address, facts.author_name if address == author else "")
        mailing = Mailing(answered=facts.message_id or None)
        decision, destination = self._submission.decide_mailing(standing, address, mailing, now)
        fresh, _destination = self._submission.decide_mailing(standing, address, NEW_THREAD, now)
        others = self._list_others(account, standing, message, (address, author), now) if destination else ()
        readers = (Addressee(recipient, destination), *others) if destination else ()
        return AnswerPlan(
            decision,
            recipient,
            headers,
            destination,
            reply_state(decision, fresh, len(others)),
            others,
            standing.find_ending(address, decision.reason, mailing.answered),
            may_end=destination is not None and destination.is_patient and not standing.is_patient,
            away=list_away(self._submission, readers, now),
        )

    def _list_others(
        self,
        account: OpenAccount,
        standing: Correspondence,
        message: OpenMessage,
        known: tuple[Address, ...],
        now: datetime,
    ) -> tuple[Addressee, ...]:
        """The message's other recipients who may get this answer; whoever may not is left out without a word."""
        keys = {each.key for each in (*account.addresses, *known)}
        mailing = Mailing(answered=message.summary.message_id or None)
        others = []
        for each in message.find_audience()[:OTHERS]:
            address = _find_address(each.address)
            if address is None or address.key in keys:
                continue
            keys.add(address.key)
            _decision, destination = self._submission.decide_mailing(standing, address, mailing, now)
            if destination is not None:
                others.append(Addressee(Person(address, each.name), destination))
        return tuple(others)

    def send(
        self,
        account: OpenAccount,
        plan: AnswerPlan,
        draft: Draft,
        files: Iterator[FileToAttach],
        origin: Origin,
        now: datetime,
    ) -> Decision | SetAside:
        """Compose, submit, keep a copy in Sent. Blocking, for a thread of its own: ``files`` come from the browser.

        SetAside: an attached archive that its reader could not file; nothing is sent.

        Raises OverLimit("message-too-large") while the octets come, Malformed for a text or file name that no mail
        can carry, Unavailable.
        """
        if plan.destination is None or plan.recipient is None:
            return plan.decision
        sender = account.addresses[0]
        others = plan.others if draft.to_all else ()
        recipients = (Addressee(plan.recipient, plan.destination), *plan.more, *others)
        hop = Hop("web", "127.0.0.1", self._operator.hostname, "HTTPS", draft.nonce)
        destinations = tuple(each.destination for each in recipients)
        composed = compose_mail(
            partial(self._submission.begin, hop, sender, now),
            self._letter(account, plan, recipients, draft),
            draft.nonce,
            files,
            partial(self._submission.announce, destinations),
        )
        if isinstance(composed, SetAside):
            return composed
        with contextlib.closing(composed) as intake:
            envelope = SubmittedEnvelope(sender, destinations, origin, is_told=draft.is_told)
            return self._submit(account, envelope, intake, now)

    def _letter(
        self, account: OpenAccount, plan: AnswerPlan, recipients: tuple[Addressee, ...], draft: Draft
    ) -> Letter:
        sender, operator = account.addresses[0], self._operator
        ends = plan.may_end and draft.wants_no_answer
        people, first_copy = tuple(each.person for each in recipients), 1 + len(plan.more)
        return Letter(
            Person(sender, format_label(account.account.kind, account.profile)),
            people[:first_copy],
            draft.subject or plan.headers.subject,
            draft.text,
            draft.opened_at,
            f"<{draft.nonce}@{sender.domain.name}>",
            copies=people[first_copy:],
            in_reply_to=plan.headers.in_reply_to,
            references=plan.headers.references,
            fields=compute_mss_headers(None, operator.product_reference, ends_exchange=ends).fields(),
        )

    def _submit(
        self, account: OpenAccount, envelope: SubmittedEnvelope, intake: Intake, now: datetime
    ) -> Decision:
        with contextlib.closing(self._copy_of(intake)) as copy:
            verdict = self._submission.accept(account, envelope, intake, now)
            if not verdict.decision.accepted:
                return verdict.decision
            outcomes = [commit.result() for commit in verdict.commits]
            if outcomes[-1] is not Outcome.FOLDED:
                self._keep_copy(account, copy, now)
        return ACCEPT

    def _copy_of(self, intake: Intake) -> Intake:
        """The mail as written, under a key of its own; of our trace lines only what the antivirus said."""
        copy = Intake(self._store.blobs, intake.size_bytes)
        copy.write(scanned_line_of(intake.read(0, intake.trace_bytes)))
        for start in range(intake.trace_bytes, intake.size_bytes, 65536):
            copy.write(intake.read(start, start + 65536))
        copy.finish()
        return copy

    def _keep_copy(self, account: OpenAccount, copy: Intake, now: datetime) -> None:
        sent = self._mailboxes.load_by_role(account, Role.SENT)
        summary = format_summary(parse_intake(copy).summary)
        at = int(now.timestamp())
        self._messages.append(account, sent.mailbox_id, copy, summary, (int(Flag.SEEN), at, at))

    def mark_answered(self, account: OpenAccount, message: OpenMessage) -> None:
        place, uid = message.item.place, message.item.row.uid
        change = (FlagChange.ADD, int(Flag.ANSWERED))
        self._messages.mark_flags(account, place.mailbox_id, [(uid, uid)], change)


def _find_address(text: str) -> Address | None:
    try:
        return parse_address(text)
    except Malformed:
        return None
