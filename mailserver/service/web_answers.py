"""Answers written on the web: whom one may answer, the mail composed as it streams in, a copy in Sent.

The octets go from the browser through the composer into the sealed intake; nothing plain touches a disk (S5). One
form is one message: its id, date and boundary come from the form, so that a double click folds into one sending (R2).
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from mailserver.audit.events import Origin
from mailserver.mime.composer import (
    FileToAttach,
    Letter,
    Person,
    ReplyHeaders,
    format_boundary,
    format_delimiter,
    format_letter_header,
    format_multipart_field,
    format_text_entity,
    reply_headers,
    stream_attachment,
)
from mailserver.mime.summary_wire import format_summary
from mailserver.mime.trace import Hop
from mailserver.model.account import AccountKind, Flag, Role
from mailserver.policy.conversation import Conversation
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse
from mailserver.policy.mail_rules import PatientFacts, decide_patient
from mailserver.policy.trust_store import TrustStore
from mailserver.service.conversations import load_conversations
from mailserver.service.delivery import Outcome
from mailserver.service.intake import Intake
from mailserver.service.keys import OpenAccount
from mailserver.service.mailboxes import Mailboxes
from mailserver.service.messages import Messages
from mailserver.service.submit import Destination, Submission, SubmittedEnvelope
from mailserver.service.summaries import parse_intake
from mailserver.service.web_mailbox import OpenMessage
from mailserver.store.item_changes import FlagChange
from mailserver.store.store import Store


@dataclass(frozen=True, slots=True)
class AnswerPlan:
    """Who will read the answer, and whether it may be written; ``destination`` is there when it may."""

    decision: Decision
    recipient: Person | None
    headers: ReplyHeaders
    destination: Destination | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What the form gives. ``nonce`` (8-40 letters and digits) and ``opened_at`` are the form's own."""

    text: str
    nonce: str
    opened_at: datetime

    def __repr__(self) -> str:
        return "Draft(…)"


class WebAnswers:
    def __init__(
        self,
        store: Store,
        mailboxes: Mailboxes,
        messages: Messages,
        submission: Submission,
        trust: TrustStore,
        hostname: str,
    ) -> None:
        self._store = store
        self._mailboxes = mailboxes
        self._messages = messages
        self._submission = submission
        self._trust = trust
        self._hostname = hostname

    @property
    def limit_bytes(self) -> int:
        return self._submission.limit_bytes

    def plan(self, account: OpenAccount, message: OpenMessage, now: datetime) -> AnswerPlan:
        """Decide on an answer before anything is written, so that nobody writes in vain."""
        facts, headers = message.facts(), reply_headers(message.summary)
        if not facts.authors:
            return AnswerPlan(refuse(Reason.UNKNOWN_RECIPIENT), None, headers)
        author = facts.authors[0]
        is_patient = account.account.kind is AccountKind.PATIENT
        known: tuple[Conversation, ...] = ()
        address = facts.reply_to or author
        if is_patient:
            known = load_conversations(self._store, account, self._trust.current)
            address = next((each.contact for each in known if each.correspondent.key == author.key), author)
        recipient = Person(address, facts.author_name if address == author else "")
        decision, destination = self._submission.decide_recipient(address, 0, now)
        if destination is None:
            return AnswerPlan(decision, recipient, headers)
        here = destination.account
        decision = decide_patient(
            PatientFacts(
                is_patient,
                here is not None and here.kind is AccountKind.PATIENT,
                address,
                0,
                conversations=known,
                answered=facts.message_id or None,
            )
        )
        return AnswerPlan(decision, recipient, headers, destination if decision.accepted else None)

    def send(
        self,
        account: OpenAccount,
        plan: AnswerPlan,
        draft: Draft,
        files: Iterator[FileToAttach],
        origin: Origin,
        now: datetime,
    ) -> Decision:
        """Compose, submit, keep a copy in Sent. Blocking, for a thread of its own: ``files`` come from the browser.

        Raises OverLimit("message-too-large") while the octets come, Malformed for a text or file name that no mail
        can carry, Unavailable.
        """
        if plan.destination is None or plan.recipient is None:
            return plan.decision
        sender = account.addresses[0]
        hop = Hop("web", "127.0.0.1", self._hostname, "HTTPS", draft.nonce)
        with contextlib.closing(self._submission.begin(hop, sender, now)) as intake:
            write_mail(intake.write, self._letter(account, plan, draft), draft.nonce, files)
            intake.finish()
            return self._submit(account, plan.destination, intake, origin, now)

    def _letter(self, account: OpenAccount, plan: AnswerPlan, draft: Draft) -> Letter:
        sender = account.addresses[0]
        assert plan.recipient is not None
        return Letter(
            Person(sender, account.profile.name),
            (plan.recipient,),
            plan.headers.subject,
            draft.text,
            draft.opened_at,
            f"<{draft.nonce}@{sender.domain.name}>",
            in_reply_to=plan.headers.in_reply_to,
            references=plan.headers.references,
        )

    def _submit(
        self, account: OpenAccount, destination: Destination, intake: Intake, origin: Origin, now: datetime
    ) -> Decision:
        with contextlib.closing(self._copy_of(intake)) as copy:
            envelope = SubmittedEnvelope(account.addresses[0], (destination,), origin)
            verdict = self._submission.accept(account, envelope, intake, now)
            if not verdict.decision.accepted:
                return verdict.decision
            outcomes = [commit.result() for commit in verdict.commits]
            if outcomes[-1] is not Outcome.FOLDED:
                self._keep_copy(account, copy, now)
        return ACCEPT

    def _copy_of(self, intake: Intake) -> Intake:
        """The mail as written, without our trace lines, under a key of its own."""
        copy = Intake(self._store.blobs, intake.size_bytes)
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


def write_mail(
    write: Callable[[bytes], object], letter: Letter, nonce: str, files: Iterator[FileToAttach]
) -> None:
    """Compose a mail whose attachments come one after the other and are not counted beforehand.

    Each file is taken to its end before the next is asked for. Raises Malformed for a header that cannot be written.
    """
    head, body = format_letter_header(letter), format_text_entity(letter, nonce)
    first = next(files, None)
    if first is None:
        write(head + body)
        return
    boundary = format_boundary(nonce, "m")
    write(head + format_multipart_field("mixed", boundary) + b"\r\n" + format_delimiter(boundary) + body)
    for each in chain([first], files):
        write(format_delimiter(boundary))
        for chunk in stream_attachment(each):
            write(chunk)
    write(format_delimiter(boundary, is_last=True))
