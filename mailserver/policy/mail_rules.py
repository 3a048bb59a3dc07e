"""Who may send what to whom: one pure function per step of a mail transaction (``facts/mssante`` §1.6, S8, S13).

Each takes frozen facts and returns the first refusal in a fixed order, or ACCEPT. Every function that relies on the
trust list refuses first when the list is empty or stale. Nothing is trusted by chain alone: the peer's DN must be
listed for the domain it speaks for.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, assert_never

from mailserver.crypto.revocation_lists import Standing
from mailserver.crypto.x509 import CertificateFacts, DistinguishedName, KeyType
from mailserver.model.account import AccountState
from mailserver.model.address import Address, DomainName
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse
from mailserver.policy.patient_rules import NO_PHARMACIES, PATIENT_MESSAGE_BYTES, Pharmacies
from mailserver.policy.trust_list import TrustList
from mailserver.tls.faults import HandshakeFault

RECIPIENTS = 100
MESSAGE_BYTES = 25 * 1024 * 1024
RSA_BITS_FLOOR = 2048


@dataclass(frozen=True, slots=True)
class MailLimits:
    """What the operator's configuration says of one message: its octets without trace lines, its recipients, who
    takes a patient's first message, and whether X-MSS headers that differ from the content are refused.
    """

    message_bytes: int = MESSAGE_BYTES
    recipients: int = RECIPIENTS
    pharmacies: Pharmacies = NO_PHARMACIES
    refuses_mss_mismatch: bool = False


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """A peer's link. ``fault`` is why its last handshake failed, if one did lately; ``is_called``: we rang."""

    is_tls: bool
    certificate: CertificateFacts | None = None
    fault: HandshakeFault | None = None
    is_called: bool = False
    standing: Standing = Standing.UNCHECKED


@dataclass(frozen=True, slots=True)
class PeerRules:
    """What the operator's configuration says of peers. ``demands_standing``: one that cannot be checked must wait."""

    demands_standing: bool = True
    does_server_usage_suffice: bool = False


@dataclass(frozen=True, slots=True)
class SenderFacts:
    """MAIL FROM's domain (None for the null sender) and the name in the peer's certificate."""

    domain: DomainName | None
    peer_dn: DistinguishedName


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """One RCPT. ``account`` is None when we do not know the address; ``may_relay`` is true at submission only.

    ``is_patient``: the address has a patient's shape; ``stated_bytes``: the size that MAIL announced, 0 for none.
    """

    domain: DomainName
    is_ours: bool
    account: AccountState | None = None
    recipients_so_far: int = 0
    recipient_limit: int = RECIPIENTS
    may_relay: bool = False
    is_patient: bool = False
    stated_bytes: int = 0


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What is judged of a message's octets, whoever sends it."""

    size_bytes: int
    limit_bytes: int = MESSAGE_BYTES
    has_bare_octets: bool = False
    """A CR or LF alone, or a NUL."""
    has_malformed_headers: bool = False


class Scan(StrEnum):
    """The antivirus on one message. AWAY covers every answer that is none of the others."""

    CLEAN = "clean"
    INFECTED = "infected"
    TOO_LARGE = "too-large"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class ContentFacts:
    """A message from a peer, after DATA. ``is_report`` covers DSN, MDN and automatic answers (RFC 3834 §5)."""

    from_domains: tuple[DomainName, ...]
    peer_dn: DistinguishedName
    is_null_sender: bool = False
    is_report: bool = False
    recipient_count: int = 1


@dataclass(frozen=True, slots=True)
class SubmissionFacts:
    """A message that an account hands in. ``envelope_sender`` is None for the null sender."""

    account_addresses: tuple[Address, ...]
    envelope_sender: Address | None
    from_addresses: tuple[Address, ...]
    recipient_domains: tuple[DomainName, ...]
    is_report: bool = False
    recipient_limit: int = RECIPIENTS


def decide_peer(facts: PeerFacts, now: datetime, rules: PeerRules = PeerRules()) -> Decision:
    """May this link be used at all? Chain and suites were checked by the handshake."""
    if not facts.is_tls:
        return refuse(Reason.NO_TLS if facts.fault is None else _fault_reason(facts.fault))
    certificate = facts.certificate
    if certificate is None:
        return refuse(Reason.NO_CERTIFICATE)
    if now < certificate.not_before:
        return refuse(Reason.CERTIFICATE_NOT_YET_VALID)
    if now > certificate.not_after:
        return refuse(Reason.CERTIFICATE_EXPIRED)
    if not _may_use(certificate, rules, is_called=facts.is_called):
        return refuse(Reason.CERTIFICATE_USAGE)
    if certificate.key_type is not KeyType.RSA or certificate.key_bits < RSA_BITS_FLOOR:
        return refuse(Reason.CERTIFICATE_KEY)
    if facts.standing is Standing.REVOKED:
        return refuse(Reason.CERTIFICATE_REVOKED)
    if facts.standing is Standing.UNKNOWN and rules.demands_standing:
        return refuse(Reason.REVOCATION_UNKNOWN)
    return ACCEPT


def _may_use(certificate: CertificateFacts, rules: PeerRules, *, is_called: bool) -> bool:
    """Whether its stated usages fit the end of the link that shows it."""
    if is_called:
        return certificate.has_server_auth
    return certificate.has_client_auth or (rules.does_server_usage_suffice and certificate.has_server_auth)


def decide_sender(
    facts: SenderFacts, trusted: TrustList, own_domains: AbstractSet[DomainName], now: datetime
) -> Decision:
    """MAIL FROM a peer: its certificate must be listed for the envelope sender's domain, ours included.

    The null sender has no domain: the certificate must be listed for some domain, and From is judged after DATA.
    """
    if (refusal := trusted.find_refusal(now)) is not None:
        return refuse(refusal)
    if facts.domain is None:
        return ACCEPT if trusted.is_known_dn(facts.peer_dn) else refuse(Reason.WRONG_DN)
    if trusted.is_listed_for(facts.domain, facts.peer_dn):
        return ACCEPT
    if facts.domain in own_domains:
        return refuse(Reason.SENDER_DOMAIN_OURS)
    if not trusted.is_listed(facts.domain):
        return refuse(Reason.SENDER_DOMAIN_UNLISTED)
    return refuse(Reason.WRONG_DN)


def decide_recipient(facts: RecipientFacts, trusted: TrustList, now: datetime) -> Decision:
    """RCPT TO, from a peer or a client. Our own domains must be listed too; unknown is refused here, not bounced."""
    if (refusal := trusted.find_refusal(now)) is not None:
        return refuse(refusal)
    if facts.recipients_so_far >= facts.recipient_limit:
        return refuse(Reason.TOO_MANY_RECIPIENTS)
    if not facts.is_ours and not facts.may_relay:
        return refuse(Reason.RECIPIENT_NOT_HERE)
    if not trusted.is_listed(facts.domain):
        return refuse(Reason.RECIPIENT_DOMAIN_UNLISTED)
    if facts.is_ours and facts.account is not AccountState.ACTIVE:
        return refuse(_absence(facts.account, is_patient=facts.is_patient))
    if facts.is_patient and facts.stated_bytes > PATIENT_MESSAGE_BYTES:
        return refuse(Reason.MESSAGE_TOO_LARGE_FOR_PATIENT)
    return ACCEPT


def decide_next_hop(
    domain: DomainName, peer_dn: DistinguishedName, trusted: TrustList, now: datetime
) -> Decision:
    """May the gateway hand mail for this domain to the server that showed this certificate?"""
    if (refusal := trusted.find_refusal(now)) is not None:
        return refuse(refusal)
    if not trusted.is_listed(domain):
        return refuse(Reason.RECIPIENT_DOMAIN_UNLISTED)
    return ACCEPT if trusted.is_listed_for(domain, peer_dn) else refuse(Reason.WRONG_DN)


def decide_message(facts: MessageFacts) -> Decision:
    """The octets of a message, from a peer or a client (S1)."""
    if facts.has_bare_octets:
        return refuse(Reason.SMUGGLING)
    if facts.size_bytes > facts.limit_bytes:
        return refuse(Reason.MESSAGE_TOO_LARGE)
    return refuse(Reason.MALFORMED_HEADERS) if facts.has_malformed_headers else ACCEPT


def decide_scan(scan: Scan) -> Decision:
    """What the antivirus said of a message: only a clean one passes (S5)."""
    match scan:
        case Scan.CLEAN:
            return ACCEPT
        case Scan.INFECTED:
            return refuse(Reason.INFECTED)
        case Scan.TOO_LARGE:
            return refuse(Reason.TOO_LARGE_TO_SCAN)
        case Scan.AWAY:
            return refuse(Reason.ANTIVIRUS_AWAY)
        case _:
            assert_never(scan)


def decide_content(facts: ContentFacts, trusted: TrustList, now: datetime) -> Decision:
    """After a peer's DATA: null sender for reports to one only; one From, in a domain listed for the same DN."""
    if (refusal := trusted.find_refusal(now)) is not None:
        return refuse(refusal)
    if facts.is_null_sender and (reason := _null_sender(facts.is_report, facts.recipient_count)) is not None:
        return refuse(reason)
    if not facts.from_domains:
        return refuse(Reason.FROM_MISSING)
    if len(facts.from_domains) > 1:
        return refuse(Reason.FROM_SEVERAL)
    if not trusted.is_listed_for(facts.from_domains[0], facts.peer_dn):
        return refuse(Reason.FROM_FOREIGN)
    return ACCEPT


def decide_submission(facts: SubmissionFacts, trusted: TrustList, now: datetime) -> Decision:
    """What an account hands in: its own addresses in envelope and From, every domain listed, the sender's too."""
    if (refusal := trusted.find_refusal(now)) is not None:
        return refuse(refusal)
    owned = {address.key for address in facts.account_addresses}
    sender = facts.envelope_sender
    if sender is not None and sender.key not in owned:
        return refuse(Reason.SENDER_NOT_OWNED)
    count = len(facts.recipient_domains)
    if sender is None and (reason := _null_sender(facts.is_report, count)) is not None:
        return refuse(reason)
    if not facts.from_addresses:
        return refuse(Reason.FROM_MISSING)
    if len(facts.from_addresses) > 1:
        return refuse(Reason.FROM_SEVERAL)
    author = facts.from_addresses[0]
    if author.key not in owned:
        return refuse(Reason.FROM_NOT_OWNED)
    if not all(trusted.is_listed(address.domain) for address in (sender or author, author)):
        return refuse(Reason.SENDER_DOMAIN_UNLISTED)
    if count > facts.recipient_limit:
        return refuse(Reason.TOO_MANY_RECIPIENTS)
    if not all(trusted.is_listed(domain) for domain in facts.recipient_domains):
        return refuse(Reason.RECIPIENT_DOMAIN_UNLISTED)
    return ACCEPT


def _absence(account: Literal[AccountState.DISABLED] | None, *, is_patient: bool) -> Reason:
    """A patient is in no directory: other words say what to do."""
    match account:
        case None:
            return Reason.UNKNOWN_PATIENT if is_patient else Reason.UNKNOWN_RECIPIENT
        case AccountState.DISABLED:
            return Reason.CLOSED_PATIENT if is_patient else Reason.DISABLED_ACCOUNT
        case _:
            assert_never(account)


def _null_sender(is_report: bool, recipient_count: int) -> Reason | None:
    """RFC 5321 §4.5.5: an empty reverse-path is for notifications, and those have one addressee."""
    if not is_report:
        return Reason.NULL_SENDER_NO_REPORT
    return Reason.NULL_SENDER_SEVERAL_RECIPIENTS if recipient_count > 1 else None


def _fault_reason(fault: HandshakeFault) -> Reason:
    match fault:
        case HandshakeFault.EXPIRED:
            return Reason.CERTIFICATE_EXPIRED
        case HandshakeFault.NOT_YET_VALID:
            return Reason.CERTIFICATE_NOT_YET_VALID
        case HandshakeFault.FOREIGN:
            return Reason.CERTIFICATE_FOREIGN
        case HandshakeFault.REVOKED:
            return Reason.CERTIFICATE_REVOKED
        case HandshakeFault.REVOCATION_UNKNOWN:
            return Reason.REVOCATION_UNKNOWN
        case HandshakeFault.USAGE:
            return Reason.CERTIFICATE_USAGE
        case HandshakeFault.KEY:
            return Reason.CERTIFICATE_KEY
        case HandshakeFault.PROTOCOL:
            return Reason.WEAK_TLS
        case HandshakeFault.OTHER:
            return Reason.HANDSHAKE_FAILED
        case _:
            assert_never(fault)
