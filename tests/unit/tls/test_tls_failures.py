"""OpenSSL's reasons become faults, and are remembered for a while, for so many peers."""

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from mailserver.tls.failures import HandshakeFailures, fault_of
from mailserver.tls.faults import HandshakeFault, classify_fault

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("verify_code", "reason", "fault"),
    [
        (10, "CERTIFICATE_VERIFY_FAILED", HandshakeFault.EXPIRED),
        (9, None, HandshakeFault.NOT_YET_VALID),
        (18, None, HandshakeFault.FOREIGN),
        (19, None, HandshakeFault.FOREIGN),
        (20, None, HandshakeFault.FOREIGN),
        (7, None, HandshakeFault.FOREIGN),
        (23, None, HandshakeFault.REVOKED),
        (3, None, HandshakeFault.REVOCATION_UNKNOWN),
        (12, None, HandshakeFault.REVOCATION_UNKNOWN),
        (26, None, HandshakeFault.USAGE),
        (66, None, HandshakeFault.KEY),
        (999, None, HandshakeFault.OTHER),
        (None, "UNSUPPORTED_PROTOCOL", HandshakeFault.PROTOCOL),
        (None, "NO_SHARED_CIPHER", HandshakeFault.PROTOCOL),
        (0, "NO_SHARED_CIPHER", HandshakeFault.PROTOCOL),
        (None, "SOMETHING_NEW", HandshakeFault.OTHER),
        (None, None, HandshakeFault.OTHER),
    ],
)
def test_classification(verify_code, reason, fault):
    assert classify_fault(verify_code, reason) is fault


def verification_error(code, message):
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message, error.reason = code, message, "CERTIFICATE_VERIFY_FAILED"
    return error


def protocol_error(reason):
    error = ssl.SSLError(1, "x")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            verification_error(10, "certificate has expired"),
            (HandshakeFault.EXPIRED, "certificate has expired"),
        ),
        (verification_error(10, "a\r\nb" + "c" * 500), (HandshakeFault.EXPIRED, "ab" + "c" * 118)),
        (protocol_error("UNSUPPORTED_PROTOCOL"), (HandshakeFault.PROTOCOL, "unsupported protocol")),
        (protocol_error(None), (HandshakeFault.OTHER, "")),
        (ConnectionResetError(), (HandshakeFault.OTHER, "connection closed")),
    ],
)
def test_fault_of_an_error(error, expected):
    assert fault_of(error) == expected


def test_remembered_for_a_quarter_of_an_hour():
    failures = HandshakeFailures()
    added = failures.add_failure("192.0.2.1", verification_error(10, "certificate has expired"), NOW)
    assert added.fault is HandshakeFault.EXPIRED
    assert failures.find_failure("192.0.2.1", NOW + timedelta(minutes=15)) == added
    assert failures.find_failure("192.0.2.2", NOW) is None
    assert failures.find_failure("192.0.2.1", NOW + timedelta(minutes=15, seconds=1)) is None
    assert len(failures) == 0


def test_last_failure_wins_and_success_forgets():
    failures = HandshakeFailures()
    failures.add_failure("192.0.2.1", verification_error(10, ""), NOW)
    failures.add_failure("192.0.2.1", verification_error(23, ""), NOW)
    assert failures.find_failure("192.0.2.1", NOW).fault is HandshakeFault.REVOKED
    failures.remove_failure("192.0.2.1")
    failures.remove_failure("192.0.2.9")
    assert failures.find_failure("192.0.2.1", NOW) is None


def test_bounded_in_number():
    failures = HandshakeFailures(peers=3)
    for number in (1, 2, 3, 1, 4):
        failures.add_failure(f"192.0.2.{number}", ConnectionResetError(), NOW)
    assert len(failures) == 3
    kept = [number for number in range(1, 5) if failures.find_failure(f"192.0.2.{number}", NOW)]
    assert kept == [1, 3, 4]
