"""What is waited for of each recipient of a sent message, and what the notices that come say of it.

A notice counts only from who may speak for the recipient. Of another operator's: the peer that holds the recipient's
domain, as the trust list says; a disposition notification with an author of that very domain, a delivery report from the
null sender. Whom an alias led to answers under another address: when the notice names the address written to as the
original one, and the same peer holds the author's domain too, it counts unless the author was written to as well. Of
ours: a disposition notification of the recipient's own account, whichever of its addresses, which submission checked.
Whoever else writes one has sent mail, no more. Reports and automatic answers wait for nothing themselves.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailserver.crypto.ctx import ctx
from mailserver.crypto.x509 import format_dn
from mailserver.mime.notices import RecipientNews
from mailserver.model.address import Address, DomainName, parse_address
from mailserver.model.dsn import Notify
from mailserver.model.errors import Corrupt
from mailserver.model.ids import AccountId, JobId
from mailserver.model.notice import Expectation, NoticeState
from mailserver.policy.notice_states import is_met, next_state
from mailserver.policy.trust_store import TrustStore
from mailserver.service.arrival import Arrival
from mailserver.service.correspondence import Destination
from mailserver.service.directory import Directory
from mailserver.service.service_seals import ServiceSeals
from mailserver.store.database import Connection
from mailserver.store.sent_recipients import SentRecipientRow
from mailserver.store.sent_rows import SentRow
from mailserver.store.store import Store

_PURPOSE = "timer"
logger = logging.getLogger("pli.notices")


@dataclass(frozen=True, slots=True, repr=False)
class Awaited:
    """Whom to tell that nothing came, of which message to whom."""

    sender: Address
    recipient: Address
    message_id: str
    sent_at: int

    def __repr__(self) -> str:
        return "Awaited(…)"


@dataclass(frozen=True, slots=True, repr=False)
class Believed:
    """News with the recipients whom its author may speak for, and the one whose alias led to ``authors``."""

    news: RecipientNews
    names: tuple[Address, ...]
    alias: Address | None
    authors: tuple[Address, ...]

    def __repr__(self) -> str:
        return f"Believed({self.news!r})"


@dataclass(frozen=True, slots=True)
class HeardNews:
    """What an arriving notice says of messages of one account: their index, and who is believed about whom."""

    message_mac: bytes
    news: tuple[Believed, ...]
    at: int


class AwaitedNotices:
    """``wait_seconds``: how long after a message is handed over its notice is waited for."""

    def __init__(
        self, store: Store, seals: ServiceSeals, directory: Directory, trust: TrustStore, wait_seconds: int
    ) -> None:
        self._store = store
        self._seals = seals
        self._directory = directory
        self._trust = trust
        self.wait_seconds = wait_seconds

    def follow(
        self, sent: SentRow, arrival: Arrival, destinations: Sequence[tuple[Destination, JobId | None]]
    ) -> list[SentRecipientRow]:
        """The rows of a sending: every recipient elsewhere, and one of ours whose receipt was asked for."""
        return [
            row
            for position, (destination, job_id) in enumerate(destinations)
            if (row := self._follow(sent, arrival, (position, destination, job_id))) is not None
        ]

    def _follow(
        self, sent: SentRow, arrival: Arrival, place: tuple[int, Destination, JobId | None]
    ) -> SentRecipientRow | None:
        position, destination, job_id = place
        expected = _expectation(arrival, destination)
        if job_id is None and expected is not Expectation.RECEIPT:
            return None  # it is delivered, and nothing else was asked
        account_id, now = sent.account_id, sent.created_at
        row = SentRecipientRow(
            account_id,
            sent.sent_id,
            position,
            self._store.sent_recipients.mac_of(account_id, sent.sent_id, destination.address),
            job_id,
            NoticeState.DELIVERED if job_id is None else NoticeState.SENT,
            expected,
            0,
            now,
            None,
            None,
            b"",
        )
        if expected is Expectation.NOTHING or arrival.sender is None:
            return row
        awaited = Awaited(arrival.sender, destination.address, arrival.facts.message_id, now)
        return replace(row, due_at=now + self.wait_seconds, order=self._seal(row, awaited))

    def _seal(self, row: SentRecipientRow, awaited: Awaited) -> bytes:
        fields = {
            "sender": str(awaited.sender),
            "recipient": str(awaited.recipient),
            "message_id": awaited.message_id,
            "sent_at": awaited.sent_at,
        }
        return self._seals.seal(_PURPOSE, json.dumps(fields).encode(), _context(row))

    def open(self, row: SentRecipientRow) -> Awaited:
        """Raises Corrupt when the order was altered, or is over."""
        fields = json.loads(self._seals.open(_PURPOSE, row.order, _context(row)))
        sender, recipient = parse_address(fields["sender"]), parse_address(fields["recipient"])
        return Awaited(sender, recipient, str(fields["message_id"]), int(fields["sent_at"]))

    def hear(self, arrival: Arrival, account_id: AccountId) -> HeardNews | None:
        """What an arriving message tells this account; None when it is no notice, or nobody's who may speak."""
        notice = arrival.notice
        if notice is None:
            return None
        judged = [self._judge(arrival, news, is_disposition=notice.is_disposition) for news in notice.news]
        believed = [each for each in judged if each.names or each.alias is not None]
        if not believed:
            return None
        index = self._store.sent.index_of(account_id, notice.original_id)
        return HeardNews(index, tuple(believed), int(arrival.received_at.timestamp()))

    def _judge(self, arrival: Arrival, news: RecipientNews, *, is_disposition: bool) -> Believed:
        authors = (arrival.facts.authors or ()) if is_disposition else ()
        names = dict.fromkeys((*news.names, *authors))
        credible = tuple(
            name for name in names if self._may_speak(arrival, name, is_disposition=is_disposition)
        )
        is_alias = news.original is not None and self._is_alias_of(arrival, news.original, authors)
        return Believed(news, credible, news.original if is_alias else None, authors)

    def _may_speak(self, arrival: Arrival, recipient: Address, *, is_disposition: bool) -> bool:
        authors = arrival.facts.authors or ()
        if self._directory.is_ours(recipient.domain):
            return is_disposition and any(self._is_same_box(recipient, each) for each in authors)
        if not self._is_held(arrival, recipient.domain):
            return False
        if is_disposition:
            return any(each.domain == recipient.domain for each in authors)
        return arrival.sender is None

    def _is_held(self, arrival: Arrival, domain: DomainName) -> bool:
        """Whether the peer that handed the notice in holds this domain."""
        return arrival.source in {format_dn(dn) for dn in self._trust.current.dns_for(domain)}

    def _is_alias_of(self, arrival: Arrival, original: Address, authors: Sequence[Address]) -> bool:
        """Whether the authors may be whom the original address led to, within one peer; never one of ours."""
        if self._directory.is_ours(original.domain) or not self._is_held(arrival, original.domain):
            return False
        return bool(authors) and all(self._is_held(arrival, each.domain) for each in authors)

    def _is_same_box(self, recipient: Address, author: Address) -> bool:
        """Whether both are addresses of one account here."""
        if author.key == recipient.key or not self._directory.is_ours(author.domain):
            return author.key == recipient.key
        with self._store.database.read() as connection:
            found = [self._directory.find_account(connection, each) for each in (recipient, author)]
        return None not in found and len({each.account_id for each in found if each is not None}) == 1

    def apply(self, connection: Connection, account_id: AccountId, heard: HeardNews) -> None:
        """Move the states, inside the Unit that delivers the notice. An altered row stays as it is: the mail arrives."""
        try:
            for sent in self._store.sent.list_sent(connection, account_id, heard.message_mac):
                self._apply(connection, sent, heard)
        except Corrupt as error:
            logger.error("a sent record was altered, its notice is not counted", extra={"code": error.code})  # noqa: TRY400 # no trace of use

    def _apply(self, connection: Connection, sent: SentRow, heard: HeardNews) -> None:
        known = self._store.sent_recipients
        rows = {
            row.recipient_mac: row for row in known.list_recipients(connection, sent.account_id, sent.sent_id)
        }

        def find(names: Sequence[Address]) -> SentRecipientRow | None:
            macs = (known.mac_of(sent.account_id, sent.sent_id, name) for name in names)
            return next((rows[mac] for mac in macs if mac in rows), None)

        for each in heard.news:
            row = find(each.names)
            if row is None and each.alias is not None and find(each.authors) is None:
                row = find([each.alias])
            moved = None if row is None else _move(row, each.news, heard.at)
            if moved is not None:
                known.mark(connection, moved)
                rows[moved.recipient_mac] = moved


def mark_relayed(store: Store, connection: Connection, job_id: JobId, now: int) -> None:
    """The peer that took this job's message makes no reports of its own."""
    try:
        row = store.sent_recipients.find_by_job(connection, job_id)
    except Corrupt as error:
        logger.error("a followed recipient was altered", extra={"code": error.code})  # noqa: TRY400 # no trace of use
        return
    moved = None if row is None else _move(row, RecipientNews((), NoticeState.RELAYED), now)
    if moved is not None:
        store.sent_recipients.mark(connection, moved)


def _expectation(arrival: Arrival, destination: Destination) -> Expectation:
    """A receipt goes by itself only to the return path (facts/mssante §3.6)."""
    asked, sender = arrival.facts.receipt_to, arrival.sender
    if sender is None:
        return Expectation.NOTHING
    if asked is not None and asked.key == sender.key:
        return Expectation.RECEIPT
    return Expectation.DELIVERY if destination.ask.wants(Notify.SUCCESS) else Expectation.NOTHING


def _move(row: SentRecipientRow, news: RecipientNews, at: int) -> SentRecipientRow | None:
    """The row after the news; None when they say nothing new. What was missed and came is told at the next round."""
    state = next_state(row.state, news.state, row.expected)
    if state is row.state:
        return None
    row = replace(row, state=state, code=news.code, changed_at=at)
    if not is_met(state, row.expected):
        return row
    is_late = row.told_at is not None and row.order != b""
    return replace(row, due_at=at) if is_late else row.ended()


def _context(row: SentRecipientRow) -> bytes:
    return ctx("sent-recipient", row.account_id, row.sent_id, row.position)
