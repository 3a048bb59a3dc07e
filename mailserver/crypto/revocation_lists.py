"""Revocation lists of the pinned authorities, checked before one is believed (RFC 5280 §5, §6.3), and what they say.

A list counts only when an authority of the operator's own file signed it, with SHA-2; never one that a certificate
points to. Partial lists (delta, indirect, by reason) and lists without an end are refused, and one of several that an
issuer cuts by place speaks of its own place alone: what is not understood must not vouch for anybody. Input is bounded, and only Malformed escapes.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mailserver.crypto.x509 import CERTIFICATE_BYTES
from mailserver.model.errors import Malformed

LIST_BYTES = 16 * 1024 * 1024
CLOCK_TOLERANCE = timedelta(minutes=10)
SOUND_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)
"""What the library raises for octets that are no certificate, list or answer."""
_LONGEST_CHAIN = 6


class Standing(StrEnum):
    """What is known of a certificate's revocation."""

    GOOD = "good"
    REVOKED = "revoked"
    UNKNOWN = "unknown"
    """It should have been checked and could not."""
    UNCHECKED = "unchecked"
    """The operator has configured no way to check."""


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A certificate and the authority that issued it."""

    certificate: x509.Certificate = field(repr=False)
    issuer: x509.Certificate = field(repr=False)
    is_authority: bool

    @property
    def points(self) -> frozenset[x509.GeneralName]:
        """Where it says that the whole of its issuer's word on it is published (RFC 5280 §4.2.1.13)."""
        try:
            found = find_extension(self.certificate.extensions, x509.CRLDistributionPoints)
        except UNREADABLE:
            return frozenset()
        whole = (each for each in found or () if each.reasons is None and each.crl_issuer is None)
        return frozenset(name for each in whole for name in each.full_name or ())


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A list whose signature was checked. ``issuer`` is the fingerprint of the authority that signed it; ``points``,
    when there are any, the places whose certificates alone it speaks of.
    """

    issuer: bytes
    this_update: datetime
    next_update: datetime
    serials: frozenset[int] = field(repr=False)
    covers_users: bool = True
    covers_authorities: bool = True
    points: frozenset[x509.GeneralName] = field(default=frozenset(), repr=False)

    def is_current_at(self, now: datetime) -> bool:
        return now <= self.next_update

    def covers(self, link: ChainLink) -> bool:
        """Whether it speaks of this kind of certificate."""
        return self.covers_authorities if link.is_authority else self.covers_users

    def vouches_for(self, link: ChainLink, now: datetime) -> bool:
        """Whether its silence counts: in date, and not another part of the issuer's lists (RFC 5280 §6.3.3 b 2)."""
        return self.is_current_at(now) and (not self.points or not self.points.isdisjoint(link.points))


class Authorities:
    """The authorities of the operator's own file (PEM). Raises Malformed("authority-syntax") when there is none."""

    def __init__(self, pem: bytes) -> None:
        try:
            self._certificates = tuple(x509.load_pem_x509_certificates(pem))
        except ValueError as error:
            raise Malformed("authority-syntax") from error

    def find_chain(self, leaf_der: bytes) -> tuple[ChainLink, ...]:
        """The leaf and the authorities above it, as far as the file knows them; empty when it knows none of them."""
        if len(leaf_der) > CERTIFICATE_BYTES:
            raise Malformed("certificate-length")
        try:
            certificate = x509.load_der_x509_certificate(leaf_der)
        except UNREADABLE as error:
            raise Malformed("certificate-syntax") from error
        links: list[ChainLink] = []
        while len(links) < _LONGEST_CHAIN and (issuer := self._find_issuer(certificate)) is not None:
            links.append(ChainLink(certificate, issuer, is_authority=bool(links)))
            if issuer.issuer == issuer.subject:
                break
            certificate = issuer
        return tuple(links)

    def _find_issuer(self, certificate: x509.Certificate) -> x509.Certificate | None:
        return next((each for each in self._certificates if has_issued(each, certificate)), None)

    def read_list(self, octets: bytes, now: datetime) -> RevocationList:
        """DER or PEM → the list, once one of the authorities is seen to have signed it.

        Raises Malformed: ``crl-length``, ``crl-syntax``, ``crl-scope``, ``crl-issuer``, ``crl-signature``,
        ``crl-from-future``. One that is out of date is read: what it revokes stays revoked.
        """
        if len(octets) > LIST_BYTES:
            raise Malformed("crl-length")
        try:
            is_pem = octets.lstrip().startswith(b"-----BEGIN")
            parsed = x509.load_pem_x509_crl(octets) if is_pem else x509.load_der_x509_crl(octets)
            return self._judge(parsed, now)
        except UNREADABLE as error:
            raise Malformed("crl-syntax") from error

    def _judge(self, parsed: x509.CertificateRevocationList, now: datetime) -> RevocationList:
        """RFC 5280 §6.3.3, for complete lists signed by the authority itself."""
        named = [each for each in self._certificates if each.subject == parsed.issuer]
        if not named:
            raise Malformed("crl-issuer")
        is_sound = isinstance(parsed.signature_hash_algorithm, SOUND_HASHES)
        signer = next((each for each in named if is_sound and _has_signed(each, parsed)), None)
        if signer is None:
            raise Malformed("crl-signature")
        users, authorities, points = _scope(parsed.extensions)
        if parsed.next_update_utc is None:  # RFC 5280 §5.1.2.5
            raise Malformed("crl-syntax")
        if parsed.last_update_utc > now + CLOCK_TOLERANCE:
            raise Malformed("crl-from-future")
        return RevocationList(
            fingerprint(signer),
            parsed.last_update_utc,
            parsed.next_update_utc,
            frozenset(entry.serial_number for entry in parsed),
            users,
            authorities,
            points,
        )


def judge_by_lists(
    chain: tuple[ChainLink, ...], lists: Collection[RevocationList], now: datetime
) -> Standing:
    """What lists say of a chain: one that revokes settles it. An authority above the leaf without a list is pinned."""
    is_known = bool(chain)
    for link in chain:
        issuer = fingerprint(link.issuer)
        found = [each for each in lists if each.issuer == issuer and each.covers(link)]
        if any(link.certificate.serial_number in each.serials for each in found):
            return Standing.REVOKED
        is_pinned = link.is_authority and not found
        is_known = is_known and (is_pinned or any(each.vouches_for(link, now) for each in found))
    return Standing.GOOD if is_known else Standing.UNKNOWN


def has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Name and signature."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def fingerprint(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())


def _has_signed(signer: x509.Certificate, parsed: x509.CertificateRevocationList) -> bool:
    usage = find_extension(signer.extensions, x509.KeyUsage)
    if usage is not None and not usage.crl_sign:
        return False
    key = signer.public_key()
    return isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey) and parsed.is_signature_valid(key)


def _scope(extensions: x509.Extensions) -> tuple[bool, bool, frozenset[x509.GeneralName]]:
    """Whether it covers users' certificates, and authorities'; of which places. Raises Malformed("crl-scope")."""
    point = find_extension(extensions, x509.IssuingDistributionPoint)
    known = (x509.IssuingDistributionPoint.oid, x509.CRLNumber.oid, x509.AuthorityKeyIdentifier.oid)
    if any(each.critical and each.oid not in known for each in extensions):  # RFC 5280 §5.2
        raise Malformed("crl-scope")
    if find_extension(extensions, x509.DeltaCRLIndicator) is not None:
        raise Malformed("crl-scope")
    if point is None:
        return True, True, frozenset()
    is_partial = point.indirect_crl or point.only_some_reasons or point.only_contains_attribute_certs
    if is_partial or point.relative_name is not None:
        raise Malformed("crl-scope")
    users, authorities = not point.only_contains_ca_certs, not point.only_contains_user_certs
    return users, authorities, frozenset(point.full_name or ())


E = TypeVar("E", bound=x509.ExtensionType)


def find_extension(extensions: x509.Extensions, kind: type[E]) -> E | None:
    """The extension of this class, if it is there."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
