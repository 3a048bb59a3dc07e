"""Reports (DSN, RFC 3464) that tell a sender what became of a message: into the sender's own INBOX, nowhere else (S8).

None is ever made for the null sender, and none that was not asked for (RFC 3461 §4.1). A report is prepared outside the
writer and placed in the very Unit that settles what it tells: it is there exactly when that is true.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mailserver.crypto.secret import random_id
from mailserver.mime.composer import Letter, Person, format_notice
from mailserver.mime.reports import DeliveryAction, DsnFacts, Original, RecipientStatus, stream_dsn
from mailserver.mime.trace import format_return_path
from mailserver.model.account import AccountState
from mailserver.model.address import Address, DomainName
from mailserver.model.dsn import MessageAsk, Notify, RecipientAsk, Returned
from mailserver.model.ids import AccountId
from mailserver.model.local_time import LocalClock
from mailserver.service.arrival import Arrival
from mailserver.service.delivery import Delivery
from mailserver.service.delivery_reports import AttemptResult, Cause, Fate, explanation_for
from mailserver.service.header_facts import read_header_facts
from mailserver.service.intake import Intake
from mailserver.service.summaries import parse_intake
from mailserver.store.database import Connection
from mailserver.store.store import Store

HEADER_BYTES = 256 * 1024
_WORDS_BYTES = 1024 * 1024
"""Room for what a report says beside the original."""
_READ_BYTES = 64 * 1024
_ASKED = {
    DeliveryAction.FAILED: Notify.FAILURE,
    DeliveryAction.DELAYED: Notify.DELAY,
    DeliveryAction.DELIVERED: Notify.SUCCESS,
    DeliveryAction.RELAYED: Notify.SUCCESS,
}
_SUBJECTS = {
    DeliveryAction.FAILED: "Message non remis (undelivered)",
    DeliveryAction.DELAYED: "Message retardé (delayed)",
    DeliveryAction.DELIVERED: "Message remis (delivered)",
    DeliveryAction.RELAYED: "Message transmis (relayed)",
}
DELIVERED = AttemptResult(Fate.DELIVERED, Cause.DELIVERED, status="2.1.5")

Place = Callable[[Connection], object]
"""Writes the report, inside a Unit over the sender's account."""


@dataclass(frozen=True, slots=True)
class SentOctets:
    """A message as it leaves: ``read`` gives octets from 0 to ``size_bytes``. Raises Corrupt when it was altered."""

    size_bytes: int
    read: Callable[[int, int], bytes]

    def header(self) -> bytes:
        """The header block without its blank line, at most 256 KiB."""
        found = bytearray()
        for chunk in self.chunks(HEADER_BYTES):
            start = len(found)
            found += chunk
            end = found.find(b"\r\n\r\n", max(0, start - 4))
            if end >= 0:
                return bytes(found[: end + 2])
        return bytes(found)

    def chunks(self, most: int | None = None) -> Iterator[bytes]:
        """All of it, or its first ``most`` octets, in bounded pieces."""
        size = self.size_bytes if most is None else min(self.size_bytes, most)
        for start in range(0, size, _READ_BYTES):
            yield self.read(start, min(start + _READ_BYTES, size))


NO_OCTETS = SentOctets(0, lambda _start, _stop: b"")
"""In place of a message that is lost."""


@dataclass(frozen=True, slots=True)
class Told:
    """One recipient of a report, and what became of the message there."""

    recipient: Address
    ask: RecipientAsk
    result: AttemptResult


@dataclass(frozen=True, slots=True)
class Report:
    """What to tell the sender of one message. ``mark`` makes its Message-ID its own; times are seconds (UTC)."""

    account_id: AccountId
    sender: Address
    ask: MessageAsk
    action: DeliveryAction
    told: Sequence[Told]
    times: tuple[int, int]
    """When it was handed in, and until when it is tried."""
    mark: str
    octets: SentOctets


@dataclass(frozen=True, slots=True, repr=False)
class NoticeDraft:
    """A letter to one of our senders; ``answered`` is the Message-ID that it is about, None when it cannot be written."""

    sender: Address
    subject: str
    text: str
    answered: str | None

    def __repr__(self) -> str:
        return "NoticeDraft(…)"


def is_asked(ask: RecipientAsk, action: DeliveryAction) -> bool:
    """Whether the sender of a message to this recipient is to hear of this."""
    return ask.wants(_ASKED[action])


class SenderReports:
    """Builds reports and seals them. ``hostname`` is the name that our trace lines carry, ``clock`` what people read."""

    def __init__(
        self, store: Store, delivery: Delivery, hostname: DomainName, operator: str, clock: LocalClock
    ) -> None:
        self._store = store
        self._delivery = delivery
        self._hostname = hostname
        self._operator = operator
        self.clock = clock

    def prepare(self, report: Report, now: datetime) -> Place | None:
        """What puts the report into the sender's INBOX; None when nobody is there to be told: a closed account.

        Blocks: pool threads only. Raises Unavailable, and Corrupt when the octets that are to be returned were altered.
        """
        most_bytes = 2 * report.octets.size_bytes + _WORDS_BYTES
        return self._prepare(report.account_id, self._stream(report, now), most_bytes, now)

    def prepare_letter(self, account_id: AccountId, draft: NoticeDraft, now: datetime) -> Place | None:
        """As ``prepare``, for a letter of the server's own that is no report."""
        letter = Letter(
            self._daemon(draft.sender),
            (Person(draft.sender),),
            draft.subject,
            draft.text,
            now,
            f"<notice.{random_id().hex()}@{self._hostname}>",
            in_reply_to=draft.answered,
            references=() if draft.answered is None else (draft.answered,),
        )
        return self._prepare(account_id, [format_notice(letter, random_id().hex())], _WORDS_BYTES, now)

    def _daemon(self, sender: Address) -> Person:
        return Person(Address("mailer-daemon", sender.domain), self._operator)

    def _prepare(
        self, account_id: AccountId, chunks: Iterable[bytes], most_bytes: int, now: datetime
    ) -> Place | None:
        with self._store.database.read() as connection:
            account = self._store.accounts.load_account(connection, account_id)
        if account.state is not AccountState.ACTIVE:
            return None
        intake = Intake(self._store.blobs, most_bytes)
        try:
            intake.write_trace(format_return_path(None))
            for chunk in chunks:
                intake.write(chunk)
            intake.finish()
            parsed = parse_intake(intake)
            # without an author the report opens no conversation for a patient, and the log names the server itself
            facts = replace(read_header_facts(parsed.headers), authors=(), author_name="")
            arrival = Arrival(intake, parsed.summary, facts, None, "delivery-report", now)
            return self._delivery.prepare_place(arrival, account)
        finally:
            intake.close()

    def _stream(self, report: Report, now: datetime) -> Iterator[bytes]:
        letter = Letter(
            self._daemon(report.sender),
            (Person(report.sender),),
            _SUBJECTS[report.action],
            format_explanation(report, self.clock),
            now,
            f"<{report.action.value}.{report.mark}@{self._hostname}>",
        )
        sent_at, until = (datetime.fromtimestamp(at, UTC) for at in report.times)
        facts = DsnFacts(self._hostname, sent_at, report.ask.envelope_id)
        statuses = [_status(report.action, told, until) for told in report.told]
        return stream_dsn(letter, random_id().hex(), facts, statuses, _original(report))


def _status(action: DeliveryAction, told: Told, until: datetime) -> RecipientStatus:
    result, is_delay = told.result, action is DeliveryAction.DELAYED
    words = f"{result.reply_code} {result.words}".strip() if result.reply_code else result.detail
    return RecipientStatus(
        told.recipient,
        action,
        f"4{result.status[1:]}" if is_delay else result.status,
        None if action is DeliveryAction.DELIVERED else told.recipient.domain,
        words,
        told.ask.original,
        until if is_delay else None,
    )


def _original(report: Report) -> Original:
    """RFC 3461 §4.3: the whole message comes back with a failure alone, and when RET=FULL asked for it."""
    is_whole = report.action is DeliveryAction.FAILED and report.ask.returned is Returned.FULL
    if is_whole and report.octets.size_bytes:
        return Original(report.octets.chunks(), is_whole=True)
    return Original([report.octets.header()])


def format_explanation(report: Report, clock: LocalClock) -> str:
    """The part of a report that people read: French, then English."""
    du, au = (clock.in_french(at) for at in report.times)
    sent, until = (clock.in_english(at) for at in report.times)
    names = ", ".join(str(told.recipient) for told in report.told)
    match report.action:
        case DeliveryAction.FAILED:
            french = f"Votre message du {du} à {names} n'a pas été remis, et ne le sera pas."
            english = f"Your message of {sent} to {names} was not delivered, and will not be."
        case DeliveryAction.DELAYED:
            french = (
                f"Votre message du {du} à {names} n'est pas encore remis. Nous essayons jusqu'au {au} ; ne le "
                "renvoyez pas d'ici là. Si c'est urgent, joignez le destinataire par un autre moyen."
            )
            english = (
                f"Your message of {sent} to {names} is not delivered yet. We keep trying until {until}; do not send it "
                "again before. If it is urgent, reach the recipient by another way."
            )
        case DeliveryAction.DELIVERED:
            french = (
                f"Votre message du {du} a été remis dans la boîte de {names}. Cela ne dit pas qu'il est lu."
            )
            english = (
                f"Your message of {sent} was delivered to the mailbox of {names}. It may not be read yet."
            )
        case DeliveryAction.RELAYED:
            french = (
                f"Votre message du {du} à {names} a été pris en charge par le serveur du destinataire, qui n'envoie pas "
                "d'avis de remise : vous n'en saurez pas plus par ce moyen, sauf en cas d'échec."
            )
            english = (
                f"Your message of {sent} to {names} was taken by the recipient's server, which sends no notices of "
                "delivery: you will hear no more of it this way, unless it fails."
            )
    if report.action in {DeliveryAction.DELIVERED, DeliveryAction.RELAYED}:
        return f"{french}\n\n--\n{english}\n"
    return _with_reason(report, french, english)


def _with_reason(report: Report, french: str, english: str) -> str:
    """A report about one recipient: why, the peer's answer, and what to do once it is over."""
    result = report.told[0].result
    why = explanation_for(result)
    reply = f"\n    {result.reply_code} {result.words}\n" if result.reply_code else "\n"
    tail_fr = tail_en = ""
    if report.action is DeliveryAction.FAILED:
        tail_fr, tail_en = f"Que faire : {why.todo_fr}\n", f"What to do: {why.todo_en}\n"
    return (
        f"{french}\n\nPourquoi : {why.why_fr}\n{reply}\n{tail_fr}\n--\n"
        f"{english}\n\nWhy: {why.why_en}\n{reply}\n{tail_en}"
    )
