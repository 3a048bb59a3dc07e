"""Who may send what to whom: one line per case, each refusal with its reason."""

from datetime import UTC, datetime, timedelta

import pytest

from mailserver.crypto.revocation_lists import Standing
from mailserver.crypto.x509 import CertificateFacts, KeyType, parse_dn
from mailserver.model.account import AccountState
from mailserver.model.address import parse_address, parse_domain
from mailserver.policy.decision import ACCEPT, Decision, Reason, refuse
from mailserver.policy.mail_rules import (
    ContentFacts,
    MessageFacts,
    PeerFacts,
    PeerRules,
    RecipientFacts,
    Scan,
    SenderFacts,
    SubmissionFacts,
    decide_content,
    decide_message,
    decide_next_hop,
    decide_peer,
    decide_recipient,
    decide_scan,
    decide_sender,
    decide_submission,
)
from mailserver.policy.patient_rules import PATIENT_MESSAGE_BYTES
from mailserver.policy.trust_list import NOBODY, TrustedDomain, TrustList
from mailserver.tls.faults import HandshakeFault

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OURS, NORTH, SOUTH, EAST, UNLISTED = (
    parse_domain(f"{name}.demo.example") for name in ("ours", "north", "south", "east", "unlisted")
)
DN_OURS, DN_NORTH, DN_SOUTH, DN_NONE = (
    parse_dn(f"CN={name},O=A,C=FR") for name in ("ours", "north", "south", "none")
)
TRUSTED = TrustList(
    NOW,
    (
        TrustedDomain(OURS, DN_OURS),
        TrustedDomain(NORTH, DN_NORTH),
        TrustedDomain(NORTH, DN_SOUTH),
        TrustedDomain(SOUTH, DN_SOUTH),
        TrustedDomain(EAST, DN_NORTH),
    ),
)
STALE = TrustList(NOW - timedelta(hours=73), TRUSTED.entries)
OWN = frozenset({OURS})
BAD_LISTS = [(STALE, Reason.TRUST_LIST_STALE), (NOBODY, Reason.TRUST_LIST_EMPTY)]
CERTIFICATE = CertificateFacts(
    dn=DN_NORTH,
    issuer=parse_dn("CN=authority"),
    serial=1,
    not_before=NOW - timedelta(days=1),
    not_after=NOW + timedelta(days=1),
    has_server_auth=True,
    has_client_auth=True,
    key_type=KeyType.RSA,
    key_bits=2048,
    fingerprint_sha256="0" * 64,
)


def certificate(**changes):
    fields = {name: getattr(CERTIFICATE, name) for name in CertificateFacts.__slots__}
    return CertificateFacts(**(fields | changes))


def check(decision, reason):
    assert decision == (ACCEPT if reason is None else refuse(reason))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (PeerFacts(True, CERTIFICATE), None),
        (PeerFacts(True, CERTIFICATE, fault=HandshakeFault.OTHER), None),
        (PeerFacts(False), Reason.NO_TLS),
        (PeerFacts(False, CERTIFICATE), Reason.NO_TLS),
        (PeerFacts(False, fault=HandshakeFault.EXPIRED), Reason.CERTIFICATE_EXPIRED),
        (PeerFacts(False, fault=HandshakeFault.NOT_YET_VALID), Reason.CERTIFICATE_NOT_YET_VALID),
        (PeerFacts(False, fault=HandshakeFault.FOREIGN), Reason.CERTIFICATE_FOREIGN),
        (PeerFacts(False, fault=HandshakeFault.REVOKED), Reason.CERTIFICATE_REVOKED),
        (PeerFacts(False, fault=HandshakeFault.REVOCATION_UNKNOWN), Reason.REVOCATION_UNKNOWN),
        (PeerFacts(False, fault=HandshakeFault.USAGE), Reason.CERTIFICATE_USAGE),
        (PeerFacts(False, fault=HandshakeFault.KEY), Reason.CERTIFICATE_KEY),
        (PeerFacts(False, fault=HandshakeFault.PROTOCOL), Reason.WEAK_TLS),
        (PeerFacts(False, fault=HandshakeFault.OTHER), Reason.HANDSHAKE_FAILED),
        (PeerFacts(True), Reason.NO_CERTIFICATE),
        (PeerFacts(True, certificate(not_after=NOW - timedelta(seconds=1))), Reason.CERTIFICATE_EXPIRED),
        (
            PeerFacts(True, certificate(not_before=NOW + timedelta(seconds=1))),
            Reason.CERTIFICATE_NOT_YET_VALID,
        ),
        (PeerFacts(True, certificate(has_client_auth=False)), Reason.CERTIFICATE_USAGE),
        (PeerFacts(True, certificate(has_client_auth=False), is_called=True), None),
        (PeerFacts(True, certificate(has_server_auth=False), is_called=True), Reason.CERTIFICATE_USAGE),
        (PeerFacts(True, certificate(key_type=KeyType.EC, key_bits=384)), Reason.CERTIFICATE_KEY),
        (PeerFacts(True, certificate(key_bits=1024)), Reason.CERTIFICATE_KEY),
        (PeerFacts(True, CERTIFICATE, standing=Standing.GOOD), None),
        (PeerFacts(True, CERTIFICATE, standing=Standing.REVOKED), Reason.CERTIFICATE_REVOKED),
        (PeerFacts(True, CERTIFICATE, standing=Standing.UNKNOWN), Reason.REVOCATION_UNKNOWN),
    ],
)
def test_peer(facts, reason):
    check(decide_peer(facts, NOW), reason)


PREFERS = PeerRules(demands_standing=False)
SERVER_SUFFICES = PeerRules(does_server_usage_suffice=True)


@pytest.mark.parametrize(
    ("facts", "rules", "reason"),
    [
        (PeerFacts(True, CERTIFICATE, standing=Standing.UNKNOWN), PREFERS, None),
        (PeerFacts(True, CERTIFICATE, standing=Standing.REVOKED), PREFERS, Reason.CERTIFICATE_REVOKED),
        (PeerFacts(True, certificate(has_client_auth=False)), SERVER_SUFFICES, None),
        (
            PeerFacts(True, certificate(has_client_auth=False, has_server_auth=False)),
            SERVER_SUFFICES,
            Reason.CERTIFICATE_USAGE,
        ),
        (
            PeerFacts(True, certificate(has_server_auth=False), is_called=True),
            SERVER_SUFFICES,
            Reason.CERTIFICATE_USAGE,
        ),
    ],
)
def test_peer_by_the_operators_rules(facts, rules, reason):
    check(decide_peer(facts, NOW, rules), reason)


def test_every_fault_has_its_reason():
    reasons = {decide_peer(PeerFacts(False, fault=fault), NOW).reason for fault in HandshakeFault}
    assert len(reasons) == len(HandshakeFault)


@pytest.mark.parametrize(
    ("domain", "dn", "reason"),
    [
        (NORTH, DN_NORTH, None),
        (NORTH, DN_SOUTH, None),
        (EAST, DN_NORTH, None),
        (EAST, DN_SOUTH, Reason.WRONG_DN),
        (SOUTH, DN_NORTH, Reason.WRONG_DN),
        (NORTH, DN_NONE, Reason.WRONG_DN),
        (UNLISTED, DN_NORTH, Reason.SENDER_DOMAIN_UNLISTED),
        (OURS, DN_NORTH, Reason.SENDER_DOMAIN_OURS),
        (OURS, DN_OURS, None),
        (None, DN_NORTH, None),
        (None, DN_NONE, Reason.WRONG_DN),
    ],
)
def test_sender(domain, dn, reason):
    check(decide_sender(SenderFacts(domain, dn), TRUSTED, OWN, NOW), reason)


@pytest.mark.parametrize(("trusted", "reason"), BAD_LISTS)
@pytest.mark.parametrize("domain", [NORTH, None])
def test_sender_without_a_usable_list(trusted, reason, domain):
    check(decide_sender(SenderFacts(domain, DN_NORTH), trusted, OWN, NOW), reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (RecipientFacts(OURS, True, AccountState.ACTIVE), None),
        (RecipientFacts(OURS, True, AccountState.ACTIVE, recipients_so_far=99), None),
        (RecipientFacts(OURS, True, AccountState.ACTIVE, recipients_so_far=100), Reason.TOO_MANY_RECIPIENTS),
        (RecipientFacts(OURS, True), Reason.UNKNOWN_RECIPIENT),
        (RecipientFacts(OURS, True, AccountState.DISABLED), Reason.DISABLED_ACCOUNT),
        (RecipientFacts(UNLISTED, True, AccountState.ACTIVE), Reason.RECIPIENT_DOMAIN_UNLISTED),
        (RecipientFacts(NORTH, False), Reason.RECIPIENT_NOT_HERE),
        (RecipientFacts(UNLISTED, False), Reason.RECIPIENT_NOT_HERE),
        (RecipientFacts(NORTH, False, may_relay=True), None),
        (RecipientFacts(UNLISTED, False, may_relay=True), Reason.RECIPIENT_DOMAIN_UNLISTED),
        (RecipientFacts(OURS, True, may_relay=True), Reason.UNKNOWN_RECIPIENT),
    ],
)
def test_recipient(facts, reason):
    check(decide_recipient(facts, TRUSTED, NOW), reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ((OURS, True), Reason.UNKNOWN_PATIENT),
        ((OURS, True, AccountState.DISABLED), Reason.CLOSED_PATIENT),
        ((OURS, True, AccountState.ACTIVE), None),
        ((NORTH, False), Reason.RECIPIENT_NOT_HERE),
        ((UNLISTED, True), Reason.RECIPIENT_DOMAIN_UNLISTED),
    ],
)
def test_a_patient_at_rcpt(facts, reason):
    check(decide_recipient(RecipientFacts(*facts, is_patient=True), TRUSTED, NOW), reason)


@pytest.mark.parametrize("is_ours", [True, False])
@pytest.mark.parametrize(
    ("is_patient", "size", "reason"),
    [
        (True, PATIENT_MESSAGE_BYTES, None),
        (True, PATIENT_MESSAGE_BYTES + 1, Reason.MESSAGE_TOO_LARGE_FOR_PATIENT),
        (False, PATIENT_MESSAGE_BYTES + 1, None),
    ],
)
def test_a_stated_size_at_rcpt(is_ours, is_patient, size, reason):
    facts = RecipientFacts(
        OURS if is_ours else NORTH,
        is_ours,
        AccountState.ACTIVE if is_ours else None,
        may_relay=True,
        is_patient=is_patient,
        stated_bytes=size,
    )
    check(decide_recipient(facts, TRUSTED, NOW), reason)


@pytest.mark.parametrize(
    ("domain", "dn", "reason"),
    [
        (NORTH, DN_SOUTH, None),
        (EAST, DN_SOUTH, Reason.WRONG_DN),
        (UNLISTED, DN_NORTH, Reason.RECIPIENT_DOMAIN_UNLISTED),
    ],
)
def test_next_hop(domain, dn, reason):
    check(decide_next_hop(domain, dn, TRUSTED, NOW), reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (MessageFacts(1), None),
        (MessageFacts(100, limit_bytes=100), None),
        (MessageFacts(101, limit_bytes=100), Reason.MESSAGE_TOO_LARGE),
        (MessageFacts(1, has_bare_octets=True), Reason.SMUGGLING),
        (MessageFacts(1, has_malformed_headers=True), Reason.MALFORMED_HEADERS),
        (MessageFacts(101, limit_bytes=100, has_bare_octets=True), Reason.SMUGGLING),
    ],
)
def test_message(facts, reason):
    check(decide_message(facts), reason)


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (Scan.CLEAN, None),
        (Scan.INFECTED, Reason.INFECTED),
        (Scan.TOO_LARGE, Reason.TOO_LARGE_TO_SCAN),
        (Scan.AWAY, Reason.ANTIVIRUS_AWAY),
    ],
)
def test_scan(scan, reason):
    check(decide_scan(scan), reason)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (ContentFacts((NORTH,), DN_NORTH), None),
        (ContentFacts((EAST,), DN_NORTH, recipient_count=5), None),
        (ContentFacts((SOUTH,), DN_NORTH), Reason.FROM_FOREIGN),
        (ContentFacts((UNLISTED,), DN_NORTH), Reason.FROM_FOREIGN),
        (ContentFacts((OURS,), DN_NORTH), Reason.FROM_FOREIGN),
        (ContentFacts((), DN_NORTH), Reason.FROM_MISSING),
        (ContentFacts((NORTH, NORTH), DN_NORTH), Reason.FROM_SEVERAL),
        (ContentFacts((NORTH, SOUTH), DN_NORTH), Reason.FROM_SEVERAL),
        (ContentFacts((NORTH,), DN_NORTH, is_null_sender=True, is_report=True), None),
        (ContentFacts((SOUTH,), DN_NORTH, is_null_sender=True, is_report=True), Reason.FROM_FOREIGN),
        (ContentFacts((NORTH,), DN_NORTH, is_null_sender=True), Reason.NULL_SENDER_NO_REPORT),
        (
            ContentFacts((NORTH,), DN_NORTH, is_null_sender=True, is_report=True, recipient_count=2),
            Reason.NULL_SENDER_SEVERAL_RECIPIENTS,
        ),
        (ContentFacts((NORTH,), DN_NORTH, is_report=True, recipient_count=2), None),
    ],
)
def test_content(facts, reason):
    check(decide_content(facts, TRUSTED, NOW), reason)


ME, ME_TOO = parse_address("Doctor@ours.demo.example"), parse_address("doctor.second@ours.demo.example")
OTHER, STRAY = parse_address("other@ours.demo.example"), parse_address("doctor@unlisted.demo.example")


def submission(sender=ME, authors=(ME,), domains=(NORTH,), **rest):
    return SubmissionFacts((ME, ME_TOO, STRAY), sender, authors, domains, **rest)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (submission(), None),
        (submission(sender=parse_address("doctor@OURS.demo.example"), authors=(ME_TOO,)), None),
        (submission(domains=(NORTH, OURS, SOUTH)), None),
        (submission(sender=OTHER), Reason.SENDER_NOT_OWNED),
        (submission(authors=(OTHER,)), Reason.FROM_NOT_OWNED),
        (submission(authors=()), Reason.FROM_MISSING),
        (submission(authors=(ME, ME_TOO)), Reason.FROM_SEVERAL),
        (submission(authors=(ME, OTHER)), Reason.FROM_SEVERAL),
        (submission(domains=(NORTH, UNLISTED)), Reason.RECIPIENT_DOMAIN_UNLISTED),
        (submission(domains=(NORTH,) * 101), Reason.TOO_MANY_RECIPIENTS),
        (submission(domains=(NORTH,) * 3, recipient_limit=2), Reason.TOO_MANY_RECIPIENTS),
        (submission(sender=STRAY), Reason.SENDER_DOMAIN_UNLISTED),
        (submission(authors=(STRAY,)), Reason.SENDER_DOMAIN_UNLISTED),
        (submission(sender=None, is_report=True), None),
        (submission(sender=None), Reason.NULL_SENDER_NO_REPORT),
        (
            submission(sender=None, is_report=True, domains=(NORTH, NORTH)),
            Reason.NULL_SENDER_SEVERAL_RECIPIENTS,
        ),
        (submission(sender=None, is_report=True, authors=(OTHER,)), Reason.FROM_NOT_OWNED),
    ],
)
def test_submission(facts, reason):
    check(decide_submission(facts, TRUSTED, NOW), reason)


@pytest.mark.parametrize(("trusted", "reason"), BAD_LISTS)
@pytest.mark.parametrize(
    "decide",
    [
        lambda trusted: decide_recipient(RecipientFacts(OURS, True, AccountState.ACTIVE), trusted, NOW),
        lambda trusted: decide_next_hop(NORTH, DN_NORTH, trusted, NOW),
        lambda trusted: decide_content(ContentFacts((NORTH,), DN_NORTH), trusted, NOW),
        lambda trusted: decide_submission(submission(domains=(OURS,)), trusted, NOW),
    ],
)
def test_no_usable_list_refuses_everything(decide, trusted, reason):
    check(decide(trusted), reason)


def test_decision_and_reason_agree():
    for accepted, reason in ((True, Reason.NO_TLS), (False, Reason.ACCEPTED)):
        with pytest.raises(ValueError, match="agree"):
            Decision(accepted, reason)
