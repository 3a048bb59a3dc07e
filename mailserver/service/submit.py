"""Submission: what our own accounts send, by SMTP, web or API. Local recipients are delivered at once; each remote
one becomes a queue job, in the same Unit as the log entry.
"""

from collections.abc import Sequence
from datetime import datetime

from mailserver.documents.mss_headers import MssHeaders
from mailserver.documents.reasons import SetAside, SetAsideReason
from mailserver.mime.notices import MessageNotice, find_notice
from mailserver.mime.part import Part
from mailserver.mime.receipts import find_original_id
from mailserver.mime.trace import Hop
from mailserver.model.absence import Absence
from mailserver.model.address import Address
from mailserver.model.patient import has_patient_shape
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse
from mailserver.policy.mail_rules import (
    RecipientFacts,
    SubmissionFacts,
    decide_recipient,
    decide_submission,
)
from mailserver.policy.patient_rules import PATIENT_MESSAGE_BYTES
from mailserver.policy.trust_store import TrustStore
from mailserver.service.arrival import Arrival
from mailserver.service.correspondence import Correspondence, Destination, Mailing, load_correspondence
from mailserver.service.delivery import Delivery, Outcome
from mailserver.service.directory import Directory
from mailserver.service.entrance import Entrance
from mailserver.service.filing import archive_rows
from mailserver.service.header_facts import HeaderFacts
from mailserver.service.intake import Intake
from mailserver.service.kept_files import Travelling
from mailserver.service.keys import OpenAccount
from mailserver.service.receive import Verdict, judge_octets
from mailserver.service.sendings import Sendings, SubmittedEnvelope
from mailserver.service.summaries import Parsed, parse_intake
from mailserver.store.store import Store


class Submission:
    def __init__(
        self,
        store: Store,
        directory: Directory,
        delivery: Delivery,
        sendings: Sendings,
        trust: TrustStore,
        entrance: Entrance,
    ) -> None:
        self._store = store
        self._directory = directory
        self._delivery = delivery
        self._sendings = sendings
        self._trust = trust
        self._entrance = entrance
        self._limits = entrance.limits
        self.limit_bytes = max(entrance.limits.message_bytes, delivery.kept.limit_bytes)
        self.recipient_limit = entrance.limits.recipients

    def decide_sender(self, account: OpenAccount, sender: Address | None) -> Decision:
        """MAIL FROM belongs to the account (S8); the null sender is judged with the content."""
        owned = {address.key for address in account.addresses}
        if sender is None or sender.key in owned:
            return ACCEPT
        return refuse(Reason.SENDER_NOT_OWNED)

    def decide_recipient(
        self, address: Address, so_far: int, now: datetime, stated_bytes: int = 0
    ) -> tuple[Decision, Destination | None]:
        """RCPT of a submission: ours must exist, others must be listed. ``stated_bytes``: MAIL's SIZE, which says
        nothing where files are kept: what travels is smaller.
        """
        is_ours = self._directory.is_ours(address.domain)
        holder = self._delivery.recipients.find(address, now) if is_ours else None
        state = None if holder is None else holder.account.state
        facts = RecipientFacts(
            address.domain,
            is_ours,
            state,
            so_far,
            self.recipient_limit,
            may_relay=True,
            is_patient=has_patient_shape(address.local),
            stated_bytes=0 if self._delivery.kept.limit_bytes else stated_bytes,
        )
        decision = decide_recipient(facts, self._trust.current, now)
        if not decision.accepted:
            return decision, None
        account, is_away = (None, False) if holder is None else (holder.account, holder.may_be_away)
        return decision, Destination(address, account, may_be_away=is_away)

    def find_absence(self, destination: Destination, now: datetime) -> Absence | None:
        """What a sender is told before sending, of those who are here."""
        if destination.account is None or not destination.may_be_away:
            return None
        known = self._delivery.absences.find_current(destination.account.account_id, now)
        return None if known is None else known.absence

    def is_at_hand(self, address: Address, now: datetime) -> bool:
        """Whether ``decide_recipient`` asks nothing of the store, so that the event loop may call it."""
        return not self._directory.is_ours(address.domain) or self._delivery.recipients.is_at_hand(
            address, now
        )

    def begin(self, hop: Hop, sender: Address | None, now: datetime) -> Intake:
        return self._entrance.begin(hop, sender, now, self.limit_bytes)

    def announce(self, destinations: Sequence[Destination], intake: Intake) -> MssHeaders | SetAside:
        """What the header of a finished message of ours is to say of its archive; or why it cannot be sent as one.

        Of an archive that stays here (ADR 0016) nothing: who reads the header would look for it in vain. Such a one may
        be larger than what is filed.
        """
        parsed = parse_intake(intake)
        announced = self._delivery.archives.announce(intake, parsed.summary)
        parts = self._choose_parts(destinations, intake, parsed)
        staying = set() if isinstance(parts, Decision) else {part.path for part in parts}
        if not any(row.path in staying for row in archive_rows(parsed.summary)):
            return announced
        if isinstance(announced, SetAside) and announced.reason is not SetAsideReason.TOO_LARGE:
            return announced
        return MssHeaders()

    def accept(
        self,
        account: OpenAccount,
        envelope: SubmittedEnvelope,
        intake: Intake,
        now: datetime,
        *,
        has_bare_octets: bool = False,
    ) -> Verdict:
        """Judge a finished message, deliver it here and queue it for the others.

        A retry of the same message within 48 h is folded: nothing is sent twice. Raises Unavailable.
        """
        judged = judge_octets(intake, self.limit_bytes, has_bare_octets=has_bare_octets)
        if isinstance(judged, Decision):
            return Verdict(judged)
        parsed, facts = judged
        if facts.authors is None:
            return Verdict(refuse(Reason.MALFORMED_HEADERS))
        submitted = SubmissionFacts(
            account.addresses,
            envelope.sender,
            facts.authors,
            tuple(each.address.domain for each in envelope.destinations),
            facts.is_report,
            self.recipient_limit,
        )
        decision = decide_submission(submitted, self._trust.current, now)
        if not decision.accepted:
            return Verdict(decision)
        parts = self._choose_parts(envelope.destinations, intake, parsed)
        if isinstance(parts, Decision):
            return Verdict(parts)
        original_id = find_original_id(parsed.root, intake.read)
        # with its files kept here it fits anybody
        size = 0 if parts else intake.size_bytes - intake.trace_bytes
        verdict = self._judge_patients(account, envelope, Mailing(size, facts.answered, original_id))
        if not verdict.decision.accepted:
            return verdict
        decision = self._entrance.scan(intake)
        if not decision.accepted:
            return Verdict(decision)
        with self._delivery.kept.travelling(account, intake, parsed, parts, now) as travelling:
            if isinstance(travelling, Decision):
                return Verdict(travelling)
            said = (facts, find_notice(parsed.root, intake.read))
            return self._send(account, envelope, travelling, said, now)

    def _choose_parts(
        self, destinations: Sequence[Destination], intake: Intake, parsed: Parsed
    ) -> tuple[Part, ...] | Decision:
        """The files that stay here, so that every recipient's operator takes the rest."""
        has_patient = any(each.is_patient for each in destinations)
        most = PATIENT_MESSAGE_BYTES if has_patient else self.limit_bytes
        return self._delivery.kept.choose(parsed.root, intake.size_bytes - intake.trace_bytes, most)

    def _send(
        self,
        account: OpenAccount,
        envelope: SubmittedEnvelope,
        travelling: Travelling,
        said: tuple[HeaderFacts, MessageNotice | None],
        now: datetime,
    ) -> Verdict:
        """A message that may go. Its archive is read in the form that was handed in, so that none is too large to file."""
        source, intake = account.account_id.hex(), travelling.intake
        sender, told = envelope.sender, envelope.is_told
        facts, notice = said
        away = frozenset(
            each.account.account_id
            for each in envelope.destinations
            if each.account is not None and each.may_be_away
        )
        summary, kept = travelling.summary, travelling.kept
        names = frozenset(each.address.key for each in envelope.destinations)
        arrival = Arrival(intake, summary, facts, sender, source, now, away, told, kept, notice, names)
        here = [each.account for each in envelope.destinations if each.account is not None]
        original = (travelling.original, travelling.original_summary)
        with self._delivery.archives.reading(*original, facts.mss, here, now) as attached:
            if attached.mismatch is not None and self._limits.refuses_mss_mismatch:
                self._delivery.kept.discard(kept)
                return Verdict(refuse(Reason.MSS_MISMATCH))
            shared = None if intake.small is not None else intake.keep()
            commits = self._delivery.deliver(arrival, here, shared, attached.found) if here else []
        mine = self._sendings.queue(account, envelope, arrival, shared, commits)
        is_asked = attached.found is not None and facts.receipt_to is not None
        # only then is known what was sent; if this process ends in between, the sender's timer tells
        if is_asked and mine.result() is Outcome.PLACED:
            commits += self._delivery.answer_here(arrival, here, attached.found)
        return Verdict(ACCEPT, [*commits, mine])

    def correspondence(self, account: OpenAccount) -> Correspondence:
        """Whom the account may write to by the rules of patients, as things stand. Raises Corrupt."""
        return load_correspondence(self._store, account, self._trust.current, self._limits.pharmacies)

    def decide_mailing(
        self, standing: Correspondence, address: Address, mailing: Mailing, now: datetime
    ) -> tuple[Decision, Destination | None]:
        """May this account write that to this address now? The destination only when it may."""
        decision, destination = self.decide_recipient(address, 0, now)
        if destination is not None:
            decision = standing.decide(destination, mailing)
        return decision, destination if decision.accepted else None

    def _judge_patients(self, account: OpenAccount, envelope: SubmittedEnvelope, mailing: Mailing) -> Verdict:
        """Recipient by recipient; one refusal refuses all, naming it."""
        standing = self.correspondence(account)
        for each in envelope.destinations:
            decision = standing.decide(each, mailing)
            if not decision.accepted:
                return Verdict(decision, named=each.address)
        return Verdict(ACCEPT)
