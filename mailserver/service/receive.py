"""Reception: mail that another operator hands in. Policy, store and log joined; the edge only speaks SMTP."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime

from mailserver.crypto.x509 import DistinguishedName, format_dn
from mailserver.mime.notices import find_notice
from mailserver.mime.trace import Hop
from mailserver.model.account import AccountKind
from mailserver.model.address import Address
from mailserver.model.errors import OverLimit
from mailserver.model.patient import has_patient_shape, is_patient_local
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse
from mailserver.policy.mail_rules import (
    ContentFacts,
    MessageFacts,
    RecipientFacts,
    SenderFacts,
    decide_content,
    decide_message,
    decide_recipient,
    decide_sender,
)
from mailserver.policy.patient_rules import PatientFacts, decide_patient
from mailserver.policy.trust_store import TrustStore
from mailserver.service.arrival import Arrival
from mailserver.service.delivery import Delivery, Outcome
from mailserver.service.directory import Directory
from mailserver.service.entrance import Entrance
from mailserver.service.filing import archive_rows
from mailserver.service.header_facts import HeaderFacts, read_header_facts
from mailserver.service.intake import Intake
from mailserver.service.peers import Peers
from mailserver.service.summaries import Parsed, parse_intake
from mailserver.store.accounts import AccountRow
from mailserver.store.store import Store


class NeedsTime(Exception):  # no error: a hurried message is judged again, unhurried
    """The message has an archive, whose reading has its turns and may take seconds: nothing was done yet."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """An accepted RCPT: the address as given and the account behind it, which may be away."""

    address: Address
    account: AccountRow
    may_be_away: bool = False


@dataclass(frozen=True, slots=True)
class PeerEnvelope:
    """What a peer said before DATA."""

    peer_dn: DistinguishedName
    sender: Address | None
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on a message, and what to await before saying 250. ``named`` is the recipient a refusal is about."""

    decision: Decision
    commits: Sequence[Future[Outcome]] = ()
    named: Address | None = None


class Reception:
    def __init__(
        self,
        store: Store,
        directory: Directory,
        delivery: Delivery,
        trust: TrustStore,
        peers: Peers,
        entrance: Entrance,
    ) -> None:
        self._store = store
        self._directory = directory
        self._delivery = delivery
        self._trust = trust
        self._entrance = entrance
        self._limits = entrance.limits
        self.peers = peers
        self.limit_bytes = entrance.limits.message_bytes
        self.recipient_limit = entrance.limits.recipients
        self.waits = entrance.antivirus is not None or not store.database.is_sqlite
        """Whether each message waits for somebody else: the antivirus, a database server."""

    def decide_sender(self, peer_dn: DistinguishedName, sender: Address | None, now: datetime) -> Decision:
        facts = SenderFacts(None if sender is None else sender.domain, peer_dn)
        return decide_sender(facts, self._trust.current, self._directory.domains, now)

    def decide_recipient(
        self, address: Address, so_far: int, now: datetime, stated_bytes: int = 0
    ) -> tuple[Decision, Recipient | None]:
        """Unknown and disabled are refused here: no bounce is ever made for a peer (S8). ``stated_bytes``: MAIL's SIZE."""
        is_ours = self._directory.is_ours(address.domain)
        holder = self._delivery.recipients.find(address, now) if is_ours else None
        state = None if holder is None else holder.account.state
        facts = RecipientFacts(
            address.domain,
            is_ours,
            state,
            so_far,
            self.recipient_limit,
            is_patient=has_patient_shape(address.local),
            stated_bytes=stated_bytes,
        )
        decision = decide_recipient(facts, self._trust.current, now)
        if not decision.accepted or holder is None:
            return decision, None
        return decision, Recipient(address, holder.account, holder.may_be_away)

    def is_at_hand(self, address: Address, now: datetime) -> bool:
        """Whether ``decide_recipient`` asks nothing of the store, so that the event loop may call it."""
        return not self._directory.is_ours(address.domain) or self._delivery.recipients.is_at_hand(
            address, now
        )

    def begin(self, hop: Hop, sender: Address | None, now: datetime) -> Intake:
        return self._entrance.begin(hop, sender, now)

    def accept(
        self, envelope: PeerEnvelope, intake: Intake, now: datetime, *, has_bare_octets: bool = False
    ) -> Verdict:
        """Judge a finished message and queue its delivery; one refused recipient refuses all, naming it.

        Raises Unavailable (disk, database): the edge answers 4xx and the peer keeps the message.
        """
        judged = judge_octets(intake, self.limit_bytes, has_bare_octets=has_bare_octets)
        if isinstance(judged, Decision):
            return Verdict(judged)
        parsed, facts = judged
        if facts.authors is None:
            return Verdict(refuse(Reason.MALFORMED_HEADERS))
        content = ContentFacts(
            tuple(author.domain for author in facts.authors),
            envelope.peer_dn,
            envelope.sender is None,
            facts.is_report,
            len(envelope.recipients),
        )
        decision = decide_content(content, self._trust.current, now)
        if not decision.accepted:
            return Verdict(decision)
        senders = [*facts.authors, *filter(None, [envelope.sender])]
        for recipient in envelope.recipients:
            decision = self._decide_patient(recipient, intake, senders)
            if not decision.accepted:
                return Verdict(decision, named=recipient.address)
        decision = self._entrance.scan(intake)
        if not decision.accepted:
            return Verdict(decision)
        source = format_dn(envelope.peer_dn)
        away = frozenset(each.account.account_id for each in envelope.recipients if each.may_be_away)
        names = frozenset(recipient.address.key for recipient in envelope.recipients)
        notice = find_notice(parsed.root, intake.read)
        arrival = Arrival(
            intake, parsed.summary, facts, envelope.sender, source, now, away, notice=notice, written_to=names
        )
        accounts = [recipient.account for recipient in envelope.recipients]
        with self._delivery.archives.reading(intake, parsed.summary, facts.mss, accounts, now) as attached:
            if attached.mismatch is not None and self._limits.refuses_mss_mismatch:
                return Verdict(refuse(Reason.MSS_MISMATCH))
            return Verdict(ACCEPT, self._delivery.deliver(arrival, accounts, found=attached.found))

    def _decide_patient(self, recipient: Recipient, intake: Intake, senders: Sequence[Address]) -> Decision:
        is_patient = recipient.account.kind is AccountKind.PATIENT
        size = intake.size_bytes - intake.trace_bytes
        return decide_patient(
            PatientFacts(
                # whom another operator's patient may write to among professionals is that operator's to judge
                is_sender_patient=is_patient and any(is_patient_local(each.local) for each in senders),
                is_recipient_patient=is_patient,
                recipient=recipient.address,
                size_bytes=size,
            )
        )


def judge_octets(
    intake: Intake, limit_bytes: int, *, has_bare_octets: bool
) -> Decision | tuple[Parsed, HeaderFacts]:
    """Size, smuggling and header limits of a finished message; its parse when it passes. Raises NeedsTime."""
    size = intake.size_bytes - intake.trace_bytes
    decision = decide_message(MessageFacts(size, limit_bytes, has_bare_octets))
    if not decision.accepted:
        return decision
    try:
        parsed = parse_intake(intake)
    except OverLimit:
        return refuse(Reason.MALFORMED_HEADERS)
    if intake.is_hurried and archive_rows(parsed.summary):
        raise NeedsTime
    facts = read_header_facts(parsed.headers)
    if facts.from_count > 1:
        return refuse(Reason.FROM_SEVERAL)
    return parsed, facts
