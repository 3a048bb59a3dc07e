"""Checking a signed trust list, in numbered steps: one way, whether it is fetched, found on the disk or shown to a command."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from mailserver.crypto.x509 import CertificateFacts
from mailserver.crypto.xmldsig import PinnedSigner, verify_enveloped
from mailserver.model.errors import Conflict, Denied, Malformed
from mailserver.policy.trust_list import AGE_LIMIT, NOBODY, TrustList, parse_trust_list

CLOCK_TOLERANCE = timedelta(minutes=10)


class Step(IntEnum):
    """The steps of ``verify_list``, in their order."""

    PLAIN = 1
    ONE_SIGNATURE = 2
    PINNED = 3
    IN_TIME = 4
    SIGNED = 5
    CANONICAL = 6
    DIGEST = 7
    LIST = 8
    NOT_FROM_THE_FUTURE = 9
    NOT_OLDER = 10
    NAMES_SOMEBODY = 11


_STEP_OF = {
    "trust-list-unreadable": Step.PLAIN,
    "xml-length": Step.PLAIN,
    "xml-encoding": Step.PLAIN,
    "xml-not-plain": Step.PLAIN,
    "xml-unsigned": Step.ONE_SIGNATURE,
    "xml-several-signatures": Step.ONE_SIGNATURE,
    "xml-signature-place": Step.ONE_SIGNATURE,
    "xml-signature-shape": Step.ONE_SIGNATURE,
    "xml-signature-base64": Step.ONE_SIGNATURE,
    "xml-signer-not-pinned": Step.PINNED,
    "xml-signer-name": Step.PINNED,
    "xml-signer-expired": Step.IN_TIME,
    "xml-signer-usage": Step.IN_TIME,
    "xml-signature": Step.SIGNED,
    "xml-syntax": Step.CANONICAL,
    "xml-prefix": Step.CANONICAL,
    "xml-depth": Step.CANONICAL,
    "xml-no-namespace": Step.CANONICAL,
    "xml-attribute": Step.CANONICAL,
    "xml-digest": Step.DIGEST,
    "trust-list-syntax": Step.LIST,
    "trust-list-date": Step.LIST,
    "trust-list-from-future": Step.NOT_FROM_THE_FUTURE,
    "trust-list-older": Step.NOT_OLDER,
    "trust-list-empty": Step.NAMES_SOMEBODY,
    "trust-list-stale": Step.NAMES_SOMEBODY,
}
REFUSALS = frozenset(_STEP_OF)
"""Every code that ``verify_list`` and ``demand_use`` raise, and "trust-list-unreadable" of whoever reads the file."""


@dataclass(frozen=True, slots=True)
class SignedList:
    """A list whose signature was verified, and who signed it."""

    listed: TrustList
    signer: CertificateFacts


@dataclass(frozen=True, slots=True)
class ListRule:
    """What a list must keep: who may sign it, and how old it may grow."""

    pinned: PinnedSigner
    age_limit: timedelta = AGE_LIMIT


def verify_list(signed: bytes, rule: ListRule, now: datetime, held: TrustList = NOBODY) -> SignedList:
    """Steps 1 to 7 are ``verify_enveloped``'s. Then:

    8. The verified bytes are a trust list: its root, its date, its entries.
    9. It was not generated in the future, which would bar every later one.
    10. It is not older than the list held.

    Raises Malformed, Denied, and Conflict("trust-list-older"); ``find_step`` tells the step of an error.
    """
    verified = verify_enveloped(signed, rule.pinned, now)  # 1 to 7
    listed = parse_trust_list(verified, rule.age_limit)  # 8
    if listed.generated_at > now + CLOCK_TOLERANCE:  # 9
        raise Malformed("trust-list-from-future")
    if listed.generated_at < held.generated_at:  # 10
        raise Conflict("trust-list-older")
    return SignedList(listed, verified.signer)


def demand_use(listed: TrustList, now: datetime) -> None:
    """11. The list names somebody and is not too old: a list in force that fails here trusts nobody. Raises Denied."""
    if (reason := listed.find_refusal(now)) is not None:
        raise Denied(reason.value)


def find_step(code: str) -> Step | None:
    """At which step a list was refused with this code; None for an error that is not about the list."""
    return _STEP_OF.get(code)
