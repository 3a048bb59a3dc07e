"""A certificate authority for demonstrations and tests. Its keys lie unprotected on the disk: never trust it for care.

It stands in for the health authority of the trust space: RSA certificates for operators (server and client usage,
named ``CN=…,OU=3<SIRET>,O=…,ST=…,C=FR``), one signer of trust lists, and a revocation list. Building one warns.
SIRET numbers are invented: they start with zeros, which no real one does.
"""

import hashlib
import ipaddress
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mailserver.model.errors import Malformed, NotFound

CERTIFICATE_FILE = "demo-ca.pem"
KEY_FILE = "demo-ca.key"
CRL_FILE = "demo-ca.crl"
RSA_BITS = 3072
"""Of the authority itself, for ten years."""
LEAF_RSA_BITS = 2048
"""Of what it issues, for one year: each handshake of a server signs with it, three times as fast as with 3072."""
_CA_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)  # Mozilla's recommendations refuse more than 366
_CRL_LIFE = (
    _LEAF_LIFE  # nothing writes it again by itself, and a demonstration must not end before its certificates
)
_BACKDATED = timedelta(hours=1)


class DemoAuthorityWarning(UserWarning):
    """Emitted each time a demo authority is created or opened."""


class IssuedCertificate(NamedTuple):
    """A private key (PKCS #8, not encrypted) and its certificate, both PEM."""

    key_pem: bytes
    cert_pem: bytes


class Variant(StrEnum):
    """A sound certificate, or one with the single fault that a test needs."""

    SOUND = "sound"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    SERVER_ONLY = "server-only"
    CLIENT_ONLY = "client-only"


@dataclass(frozen=True, slots=True)
class _Profile:
    subject: x509.Name
    starts: datetime
    ends: datetime
    usages: tuple[x509.ObjectIdentifier, ...]
    names: tuple[x509.GeneralName, ...] = ()
    may_repudiate: bool = True


class DemoAuthority:
    """One authority in one folder: ``demo-ca.pem``, ``demo-ca.key`` and ``demo-ca.crl``."""

    def __init__(self, folder: Path, key: rsa.RSAPrivateKey, certificate: x509.Certificate) -> None:
        warnings.warn("the demo authority vouches for nobody", DemoAuthorityWarning, stacklevel=3)
        self._folder = folder
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(
        cls, folder: Path, now: datetime, *, name: str = "AC PLI DEMO", key_bits: int = RSA_BITS
    ) -> "DemoAuthority":
        """A new authority, with an empty revocation list. Overwrites what the folder holds."""
        folder.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=key_bits)
        subject = _name(
            (NameOID.COUNTRY_NAME, "FR"), (NameOID.ORGANIZATION_NAME, "PLI DEMO"), (NameOID.COMMON_NAME, name)
        )
        public = key.public_key()
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED - 2 * _LEAF_LIFE)
            .not_valid_after(now + _CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        authority = cls(folder, key, certificate)
        _write(folder / KEY_FILE, _key_pem(key), mode=0o600)
        authority._write_crl((), now)
        # last: with its certificate the authority is whole
        _write(folder / CERTIFICATE_FILE, certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    @classmethod
    def open(cls, folder: Path) -> "DemoAuthority":
        """The authority of a folder. Raises NotFound when a file is missing, Malformed when one cannot be read."""
        try:
            key = serialization.load_pem_private_key((folder / KEY_FILE).read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE_FILE).read_bytes())
        except FileNotFoundError as error:
            raise NotFound("demo-authority") from error
        except ValueError as error:
            raise Malformed("demo-authority") from error
        if not isinstance(key, rsa.RSAPrivateKey):
            raise Malformed("demo-authority")
        return cls(folder, key, certificate)

    @property
    def certificate_path(self) -> Path:
        return self._folder / CERTIFICATE_FILE

    @property
    def crl_path(self) -> Path:
        return self._folder / CRL_FILE

    @property
    def certificate_der(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.DER)

    def issue_operator(
        self, domain: str, hosts: Sequence[str], org: str, *, now: datetime, variant: Variant = Variant.SOUND
    ) -> IssuedCertificate:
        """A certificate for both ends of operator links. ``hosts`` are DNS names or IP addresses; the first one is CN."""
        starts, ends = _validity(variant, now)
        usages = {
            Variant.SERVER_ONLY: (ExtendedKeyUsageOID.SERVER_AUTH,),
            Variant.CLIENT_ONLY: (ExtendedKeyUsageOID.CLIENT_AUTH,),
        }.get(variant, (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH))
        subject = _name(
            (NameOID.COUNTRY_NAME, "FR"),
            (NameOID.STATE_OR_PROVINCE_NAME, "Démonstration (00)"),
            (NameOID.ORGANIZATION_NAME, org),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, f"3{_invented_siret(domain)}"),
            (NameOID.COMMON_NAME, next((host for host in hosts if not _is_ip(host)), domain)),
        )
        return self._issue(
            _Profile(subject, starts, ends, usages, tuple(_general_name(host) for host in hosts))
        )

    def issue_list_signer(
        self, demo_domain: str, *, now: datetime, variant: Variant = Variant.SOUND
    ) -> IssuedCertificate:
        """The signer of trust lists, ``CN=alb.<demo_domain>``: usage of signatures and e-mail protection only."""
        starts, ends = _validity(variant, now)
        subject = _name(
            (NameOID.COUNTRY_NAME, "FR"),
            (NameOID.ORGANIZATION_NAME, "PLI DEMO"),
            (NameOID.COMMON_NAME, f"alb.{demo_domain}"),
        )
        profile = _Profile(
            subject, starts, ends, (ExtendedKeyUsageOID.EMAIL_PROTECTION,), may_repudiate=False
        )
        return self._issue(profile)

    def revoke(self, cert_pem: bytes, now: datetime) -> None:
        """Add one certificate to the revocation list and write the list again."""
        serial = x509.load_pem_x509_certificate(cert_pem).serial_number
        self._write_crl((*self._revoked(), (serial, now)), now)

    def renew_crl(self, now: datetime) -> None:
        """Write the revocation list again, with a new date: TLS refuses every peer once it is a year old."""
        self._write_crl(self._revoked(), now)

    def _revoked(self) -> tuple[tuple[int, datetime], ...]:
        crl = x509.load_pem_x509_crl(self.crl_path.read_bytes())
        return tuple((entry.serial_number, entry.revocation_date_utc) for entry in crl)

    def _write_crl(self, revoked: Sequence[tuple[int, datetime]], now: datetime) -> None:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - _BACKDATED)
            .next_update(now + _CRL_LIFE)
            .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        )
        for serial, when in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(when).build()
            builder = builder.add_revoked_certificate(entry)
        crl = builder.sign(self._key, hashes.SHA256())
        _write(self.crl_path, crl.public_bytes(serialization.Encoding.PEM))

    def _issue(self, profile: _Profile) -> IssuedCertificate:
        key = rsa.generate_private_key(public_exponent=65537, key_size=LEAF_RSA_BITS)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(profile.subject)
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(profile.starts)
            .not_valid_after(profile.ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(may_repudiate=profile.may_repudiate), critical=True)
            .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority_key, critical=False)
        )
        if profile.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(profile.names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return IssuedCertificate(_key_pem(key), certificate.public_bytes(serialization.Encoding.PEM))


def _validity(variant: Variant, now: datetime) -> tuple[datetime, datetime]:
    if variant is Variant.EXPIRED:
        return now - timedelta(days=365), now - timedelta(days=1)
    if variant is Variant.NOT_YET_VALID:
        return now + timedelta(days=1), now + timedelta(days=365)
    return now - _BACKDATED, now + _LEAF_LIFE


def _key_usage(*, is_authority: bool = False, may_repudiate: bool = True) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=not may_repudiate,
        key_encipherment=not is_authority and may_repudiate,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(*pairs: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


def _invented_siret(domain: str) -> str:
    digits = int.from_bytes(hashlib.sha256(domain.encode()).digest()[:8], "big") % 10**9
    return f"00000{digits:09d}"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _general_name(host: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(host)) if _is_ip(host) else x509.DNSName(host)


def _key_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    partial.replace(path)
