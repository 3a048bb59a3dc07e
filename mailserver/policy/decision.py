"""What policy returns: accepted or not, and the one Reason. The list of reasons is closed."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why. Each value but ``ACCEPTED`` is a refusal, and ``policy.wording`` has its reply and sentences."""

    ACCEPTED = "accepted"
    # the link to a peer
    NO_TLS = "no-tls"
    WEAK_TLS = "weak-tls"
    HANDSHAKE_FAILED = "handshake-failed"
    NO_CERTIFICATE = "no-certificate"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_YET_VALID = "certificate-not-yet-valid"
    CERTIFICATE_FOREIGN = "certificate-foreign"
    CERTIFICATE_REVOKED = "certificate-revoked"
    CERTIFICATE_USAGE = "certificate-usage"
    CERTIFICATE_KEY = "certificate-key"
    REVOCATION_UNKNOWN = "revocation-unknown"
    # the trust list
    TRUST_LIST_STALE = "trust-list-stale"
    TRUST_LIST_EMPTY = "trust-list-empty"
    # the envelope
    SENDER_DOMAIN_UNLISTED = "sender-domain-unlisted"
    SENDER_DOMAIN_OURS = "sender-domain-ours"
    WRONG_DN = "wrong-dn"
    RECIPIENT_DOMAIN_UNLISTED = "recipient-domain-unlisted"
    RECIPIENT_NOT_HERE = "recipient-not-here"
    UNKNOWN_RECIPIENT = "unknown-recipient"
    DISABLED_ACCOUNT = "disabled-account"
    TOO_MANY_RECIPIENTS = "too-many-recipients"
    SENDER_NOT_OWNED = "sender-not-owned"
    # the content
    MESSAGE_TOO_LARGE = "message-too-large"
    MESSAGE_NOT_SEPARABLE = "message-not-separable"
    KEPT_WITHOUT_ROOM = "kept-without-room"
    SMUGGLING = "smuggling"
    MALFORMED_HEADERS = "malformed-headers"
    INFECTED = "infected"
    ANTIVIRUS_AWAY = "antivirus-away"
    TOO_LARGE_TO_SCAN = "too-large-to-scan"
    FROM_MISSING = "from-missing"
    FROM_SEVERAL = "from-several"
    FROM_FOREIGN = "from-foreign"
    FROM_NOT_OWNED = "from-not-owned"
    NULL_SENDER_NO_REPORT = "null-sender-no-report"
    NULL_SENDER_SEVERAL_RECIPIENTS = "null-sender-several-recipients"
    MSS_MISMATCH = "mss-mismatch"
    # patients
    UNKNOWN_PATIENT = "unknown-patient"
    CLOSED_PATIENT = "closed-patient"
    PATIENT_TO_PATIENT = "patient-to-patient"
    PATIENT_NEVER_CONTACTED = "patient-never-contacted"
    CONVERSATION_CLOSED = "conversation-closed"
    MESSAGE_CLOSED = "message-closed"
    MESSAGE_TOO_LARGE_FOR_PATIENT = "message-too-large-for-patient"


TELLING_REASONS = frozenset(
    {Reason.UNKNOWN_RECIPIENT, Reason.DISABLED_ACCOUNT, Reason.UNKNOWN_PATIENT, Reason.CLOSED_PATIENT}
)
"""They say who has a box here: whoever hears many of them is slowed down (S4)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``accepted`` and ``reason`` always agree. Use ``ACCEPT`` and ``refuse``."""

    accepted: bool
    reason: Reason

    def __post_init__(self) -> None:
        if self.accepted != (self.reason is Reason.ACCEPTED):
            raise ValueError("a decision and its reason must agree")


ACCEPT = Decision(accepted=True, reason=Reason.ACCEPTED)


def refuse(reason: Reason) -> Decision:
    """A refusal for this reason."""
    return Decision(accepted=False, reason=reason)
