"""The two kinds of caller: an operator on the MX port, one of our own accounts on the submission ports.

A desk judges MAIL and gives a transaction; the transaction judges recipients, opens the intake and hands the finished
message to its use case. No octet of the wire is seen here. ``decide_recipient`` and ``accept`` block: pool threads.
"""

from concurrent.futures import Future
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from mailserver.audit.events import Origin
from mailserver.crypto.revocation_lists import Standing
from mailserver.crypto.x509 import CertificateFacts, DistinguishedName, certificate_facts, format_dn
from mailserver.mime.trace import Hop
from mailserver.model.absence import Absence
from mailserver.model.account import AccountKind
from mailserver.model.address import Address
from mailserver.model.dsn import RecipientAsk
from mailserver.model.errors import Malformed
from mailserver.policy.decision import Decision, Reason
from mailserver.policy.mail_rules import PeerFacts
from mailserver.service.correspondence import Destination
from mailserver.service.intake import Intake
from mailserver.service.keys import OpenAccount
from mailserver.service.receive import PeerEnvelope, Reception, Recipient, Verdict
from mailserver.service.sendings import SubmittedEnvelope
from mailserver.service.submit import Submission
from mailserver.service.throttle import network_of
from mailserver.smtp.grammar import Mail
from mailserver.smtp.link import Link
from mailserver.smtp.replies import Refusal, refuse_for, refuse_form
from mailserver.tls.failures import HandshakeFailures


class Transaction(Protocol):
    """From an accepted MAIL to its DATA or its end."""

    @property
    def count(self) -> int:
        """Recipients accepted so far."""

    @property
    def absence(self) -> Absence | None:
        """That the last accepted recipient is away, which the sender is told."""

    def is_at_hand(self, address: Address, now: datetime) -> bool:
        """Whether ``decide_recipient`` does not block for this one."""

    def decide_recipient(self, address: Address, ask: RecipientAsk, now: datetime) -> Decision: ...

    def begin(self, hop: Hop, now: datetime) -> Intake: ...

    def accept(self, intake: Intake, now: datetime) -> Verdict: ...


class Desk(Protocol):
    limit_bytes: int
    recipient_limit: int
    account: OpenAccount | None
    """Who logged in; None for ever where nobody does."""

    def refuse_clear(self, link: Link, now: datetime) -> Refusal:
        """The reply to anything that must wait for TLS."""

    def begin_check(self, link: Link, now: datetime) -> Future[Standing] | None:
        """What must be asked before ``open_transaction``; None when nothing must."""

    def open_transaction(self, link: Link, mail: Mail, now: datetime) -> Transaction | Refusal: ...

    def dn_of(self, link: Link) -> str:
        """The operator's name in its certificate, for the log; empty for a person."""


class PeerDesk:
    """The MX port: the certificate says which operator calls, the trust list what it may write (S2, S13)."""

    def __init__(self, reception: Reception, failures: HandshakeFailures) -> None:
        self._reception = reception
        self._failures = failures
        self._facts: CertificateFacts | None = None
        self.limit_bytes = reception.limit_bytes
        self.recipient_limit = reception.recipient_limit
        self.account: OpenAccount | None = None

    def refuse_clear(self, link: Link, now: datetime) -> Refusal:
        """530, in the words of the last failed handshake from this address when there was one."""
        failure = self._failures.find_failure(link.peer, now)
        facts = PeerFacts(is_tls=False, fault=None if failure is None else failure.fault)
        decision = self._reception.peers.decide(facts, now)
        return refuse_for(decision.reason, "" if failure is None else failure.detail)

    def begin_check(self, link: Link, now: datetime) -> Future[Standing] | None:
        """Whether the peer's certificate was revoked; who does not hear in time takes it as unknown."""
        if link.certificate is None or self._find_standing(link.certificate, now) is not None:
            return None
        return self._reception.peers.begin_check(link.certificate, now)

    def _find_standing(self, certificate: bytes, now: datetime) -> Standing | None:
        return self._reception.peers.find_standing(certificate, now)

    def open_transaction(self, link: Link, mail: Mail, now: datetime) -> "PeerTransaction | Refusal":
        """The link first, then the envelope's sender."""
        if not link.is_tls:
            return self.refuse_clear(link, now)
        try:
            facts = self._find_facts(link)
        except Malformed:  # a name that cannot be read is listed for no domain
            return refuse_for(Reason.WRONG_DN)
        standing = None if link.certificate is None else self._find_standing(link.certificate, now)
        peer = PeerFacts(is_tls=True, certificate=facts, standing=standing or Standing.UNKNOWN)
        decision = self._reception.peers.decide(peer, now)
        if not decision.accepted or facts is None:
            return refuse_for(decision.reason)
        decision = self._reception.decide_sender(facts.dn, mail.sender, now)
        if not decision.accepted:
            return refuse_for(decision.reason)
        return PeerTransaction(self._reception, facts.dn, mail)

    def dn_of(self, link: Link) -> str:
        """RFC 4514's text of the certificate's subject; empty when there is none or it cannot be read."""
        try:
            facts = self._find_facts(link)
        except Malformed:
            return ""
        return "" if facts is None else format_dn(facts.dn)

    def _find_facts(self, link: Link) -> CertificateFacts | None:
        if self._facts is None and link.certificate is not None:
            self._facts = certificate_facts(link.certificate)
        return self._facts


class PeerTransaction:
    def __init__(self, reception: Reception, dn: DistinguishedName, mail: Mail) -> None:
        self._reception = reception
        self._dn = dn
        self._sender = mail.sender
        self._stated_bytes = mail.size_bytes
        self._recipients: list[Recipient] = []
        self.absence: Absence | None = None

    @property
    def count(self) -> int:
        return len(self._recipients)

    def is_at_hand(self, address: Address, now: datetime) -> bool:
        return self._reception.is_at_hand(address, now)

    def decide_recipient(self, address: Address, ask: RecipientAsk, now: datetime) -> Decision:  # noqa: ARG002 # not of peers
        decision, recipient = self._reception.decide_recipient(address, self.count, now, self._stated_bytes)
        if recipient is not None:
            self._recipients.append(recipient)
        return decision

    def begin(self, hop: Hop, now: datetime) -> Intake:
        return self._reception.begin(hop, self._sender, now)

    def accept(self, intake: Intake, now: datetime) -> Verdict:
        envelope = PeerEnvelope(self._dn, self._sender, tuple(self._recipients))
        return self._reception.accept(envelope, intake, now)


class ClientDesk:
    """The submission ports: a person's or a program's account, after a login over TLS."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self.limit_bytes = submission.limit_bytes
        self.recipient_limit = submission.recipient_limit
        self.account: OpenAccount | None = None

    def refuse_clear(self, link: Link, now: datetime) -> Refusal:  # noqa: ARG002 # no handshake can be at fault
        return refuse_for(Reason.NO_TLS)

    def begin_check(self, link: Link, now: datetime) -> None:
        """Nothing: a login is the check."""

    def open_transaction(self, link: Link, mail: Mail, now: datetime) -> "ClientTransaction | Refusal":
        """TLS, then a login, then an address of the account (S8)."""
        if not link.is_tls:
            return self.refuse_clear(link, now)
        if self.account is None:
            return refuse_form("auth-required")
        decision = self._submission.decide_sender(self.account, mail.sender)
        if not decision.accepted:
            return refuse_for(decision.reason)
        origin = Origin(network_of(link.peer), "SMTP")
        return ClientTransaction(self._submission, self.account, mail, origin)

    def dn_of(self, link: Link) -> str:  # noqa: ARG002 # people show no certificate
        return ""


class ClientTransaction:
    def __init__(self, submission: Submission, account: OpenAccount, mail: Mail, origin: Origin) -> None:
        self._submission = submission
        self._account = account
        self._sender = mail.sender
        self._stated_bytes = mail.size_bytes
        self._ask = mail.ask
        self._origin = origin
        self._destinations: list[Destination] = []
        self.absence: Absence | None = None

    @property
    def count(self) -> int:
        return len(self._destinations)

    def is_at_hand(self, address: Address, now: datetime) -> bool:
        return self._submission.is_at_hand(address, now)

    def decide_recipient(self, address: Address, ask: RecipientAsk, now: datetime) -> Decision:
        """RCPT, with the size that MAIL announced (RFC 1870 §6.1)."""
        decision, destination = self._submission.decide_recipient(
            address, self.count, now, self._stated_bytes
        )
        if destination is not None:
            self._destinations.append(replace(destination, ask=ask))
            self.absence = self._find_absence(destination, now)
        return decision

    def _find_absence(self, destination: Destination, now: datetime) -> Absence | None:
        """That they are away; nothing for a patient, whose right to write is judged after DATA."""
        is_patient = self._account.account.kind is AccountKind.PATIENT
        return None if is_patient else self._submission.find_absence(destination, now)

    def begin(self, hop: Hop, now: datetime) -> Intake:
        return self._submission.begin(hop, self._sender, now)

    def accept(self, intake: Intake, now: datetime) -> Verdict:
        envelope = SubmittedEnvelope(self._sender, tuple(self._destinations), self._origin, self._ask)
        return self._submission.accept(self._account, envelope, intake, now)
