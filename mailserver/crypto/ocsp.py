"""OCSP (RFC 6960): the question about one certificate, and an answer that is checked before it is believed.

The signer is the certificate's own issuer, or a responder that this issuer certified for OCSP signing alone. An answer
that is late, early or about something else says nothing. Input is bounded, and only Malformed escapes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mailserver.crypto.revocation_lists import (
    CLOCK_TOLERANCE,
    SOUND_HASHES,
    UNREADABLE,
    ChainLink,
    Standing,
    find_extension,
    has_issued,
)
from mailserver.model.errors import Malformed

ANSWER_BYTES = 64 * 1024
REQUEST_TYPE = "application/ocsp-request"
"""RFC 6960 §A.1."""
_NO_END = timedelta(hours=1)
"""How long an answer without nextUpdate counts (RFC 6960 §4.2.2.1 gives no end)."""
_STANDINGS = {
    ocsp.OCSPCertStatus.GOOD: Standing.GOOD,
    ocsp.OCSPCertStatus.REVOKED: Standing.REVOKED,
    ocsp.OCSPCertStatus.UNKNOWN: Standing.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class OcspAnswer:
    """What the responder says, and until when it may be kept."""

    standing: Standing
    until: datetime


def format_request(link: ChainLink) -> bytes:
    """The question in DER. SHA-1 only names the issuer here, as every responder expects (RFC 5019 §2.1.1)."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(link.certificate, link.issuer, hashes.SHA1())  # noqa: S303 # as above
    return builder.build().public_bytes(serialization.Encoding.DER)


def parse_answer(octets: bytes, link: ChainLink, now: datetime) -> OcspAnswer:
    """An answer about this certificate, in force now.

    Raises Malformed: ``ocsp-length``, ``ocsp-syntax``, ``ocsp-refused`` (the responder gave an error),
    ``ocsp-signature``, ``ocsp-other`` (not about this certificate), ``ocsp-time``.
    """
    if len(octets) > ANSWER_BYTES:
        raise Malformed("ocsp-length")
    try:
        response = ocsp.load_der_ocsp_response(octets)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise Malformed("ocsp-refused")
        if any(each.critical for each in response.extensions):  # RFC 6960 §4.4: none of them is asked for
            raise Malformed("ocsp-syntax")
        _check_signature(response, link.issuer, now)
        single = _load_single(response.responses, link)
        return _judge_time(single, now)
    except UNREADABLE as error:
        raise Malformed("ocsp-syntax") from error


def _check_signature(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: datetime) -> None:
    """RFC 6960 §3.2, steps 2 to 4."""
    candidates = [issuer] + [each for each in response.certificates if _is_delegate(each, issuer, now)]
    for signer in candidates:
        if _is_named(signer, response) and _has_signed(signer, response):
            return
    raise Malformed("ocsp-signature")


def _is_delegate(certificate: x509.Certificate, issuer: x509.Certificate, now: datetime) -> bool:
    """RFC 6960 §4.2.2.2: certified for this by the issuer itself, and in date."""
    usages = find_extension(certificate.extensions, x509.ExtendedKeyUsage)
    if usages is None or ExtendedKeyUsageOID.OCSP_SIGNING not in usages:
        return False
    is_in_date = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return is_in_date and has_issued(issuer, certificate)


def _is_named(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    if response.responder_name is not None:
        return response.responder_name == signer.subject
    digest = x509.SubjectKeyIdentifier.from_public_key(_rsa_or_ec(signer)).digest
    return response.responder_key_hash == digest


def _rsa_or_ec(signer: x509.Certificate) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    key = signer.public_key()
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise Malformed("ocsp-signature")
    return key


def _has_signed(signer: x509.Certificate, response: ocsp.OCSPResponse) -> bool:
    digest = response.signature_hash_algorithm
    if not isinstance(digest, SOUND_HASHES):
        return False
    key = _rsa_or_ec(signer)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), digest)
        else:
            key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def _load_single(singles: Iterable[ocsp.OCSPSingleResponse], link: ChainLink) -> ocsp.OCSPSingleResponse:
    """The one whose CertID is ours: serial, issuer's name and issuer's key."""
    wanted = ocsp.load_der_ocsp_request(format_request(link))
    for single in singles:
        if (
            single.serial_number == wanted.serial_number
            and isinstance(single.hash_algorithm, hashes.SHA1)
            and single.issuer_name_hash == wanted.issuer_name_hash
            and single.issuer_key_hash == wanted.issuer_key_hash
        ):
            return single
    raise Malformed("ocsp-other")


def _judge_time(single: ocsp.OCSPSingleResponse, now: datetime) -> OcspAnswer:
    """RFC 6960 §3.2, steps 5 and 6."""
    starts = single.this_update_utc
    ends = single.next_update_utc or starts + _NO_END
    if starts > now + CLOCK_TOLERANCE or ends < now:
        raise Malformed("ocsp-time")
    return OcspAnswer(_STANDINGS[single.certificate_status], ends)
