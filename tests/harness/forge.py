"""Certificates, revocation lists and OCSP answers with any fault that a test needs. The product's demo authority makes
sound ones; this one forges."""

import functools
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@functools.cache
def rsa_key(label: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key for each label in a test session: making them is what takes time."""
    assert label
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@functools.cache
def ec_key(label: str) -> ec.EllipticCurvePrivateKey:
    assert label
    return ec.generate_private_key(ec.SECP256R1())


def named(common_name: str, organisation: str = "Forge") -> x509.Name:
    pairs = (
        (NameOID.COUNTRY_NAME, "FR"),
        (NameOID.ORGANIZATION_NAME, organisation),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in pairs])


@dataclass(frozen=True)
class Wanted:
    """A leaf. The defaults are a sound one's."""

    subject: x509.Name = field(default_factory=lambda: named("mx.b.localhost"))
    starts: timedelta = -HOUR
    ends: timedelta = DAY
    usages: tuple[x509.ObjectIdentifier, ...] = BOTH
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(default_factory=lambda: rsa_key("leaf"))
    is_authority: bool = False
    hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    point: str = ""
    """Where its authority publishes the list for it."""


@dataclass(frozen=True)
class Issued:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def write(self, folder: Path, name: str, *chain: bytes) -> tuple[Path, Path]:
        """PEM files: the certificate with ``chain`` behind it, and the key."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(b"".join((self.pem, *chain)))
        key.write_bytes(self.key_pem)
        return certificate, key


class Forge:
    """An authority that signs anything."""

    def __init__(
        self,
        now: datetime,
        name: str = "AC FORGE",
        key: rsa.RSAPrivateKey | None = None,
        *,
        over: "Forge | None" = None,
    ) -> None:
        self.now = now
        self.key = key or rsa_key(name)
        subject = named(name)
        wanted = Wanted(subject, -3650 * DAY, 3650 * DAY, (), self.key, is_authority=True)
        self.certificate = (over or self)._sign(wanted, subject if over is None else over.certificate.subject)

    @classmethod
    def of_files(cls, certificate: Path, key: Path) -> "Forge":
        """With the key of an authority that exists."""
        forge = cls.__new__(cls)
        forge.now = datetime.now(UTC)
        forge.certificate = x509.load_pem_x509_certificate(certificate.read_bytes())
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        forge.key = loaded
        return forge

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, wanted: Wanted | None = None) -> Issued:
        wanted = wanted or Wanted()
        return Issued(wanted.key, self._sign(wanted, self.certificate.subject))

    def _sign(self, wanted: Wanted, issuer: x509.Name) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(wanted.subject)
            .issuer_name(issuer)
            .public_key(wanted.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + wanted.starts)
            .not_valid_after(self.now + wanted.ends)
            .add_extension(x509.BasicConstraints(ca=wanted.is_authority, path_length=None), critical=True)
        )
        if wanted.usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(wanted.usages), critical=False)
        if wanted.point:
            names = [x509.UniformResourceIdentifier(wanted.point)]
            points = [x509.DistributionPoint(names, relative_name=None, reasons=None, crl_issuer=None)]
            builder = builder.add_extension(x509.CRLDistributionPoints(points), critical=False)
        return builder.sign(self.key, wanted.hash)

    def revoke(
        self, *revoked: Issued, starts: timedelta = -HOUR, ends: timedelta | None = DAY, **more: object
    ) -> bytes:
        """A revocation list in DER. ``more``: hash, extensions, signer."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(self.now + starts)
            .next_update(self.now + (ends or DAY))
        )
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(self.now - DAY).build())
        for extension, critical in more.get("extensions", ()):
            builder = builder.add_extension(extension, critical=critical)
        signed = builder.sign(more.get("signer", self.key), more.get("hash", hashes.SHA256()))
        return signed.public_bytes(serialization.Encoding.DER)

    def answer(
        self,
        about: Issued,
        status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
        *,
        starts: timedelta = -HOUR,
        ends: timedelta | None = DAY,
        **more: object,
    ) -> bytes:
        """An OCSP answer in DER. ``more``: signer (an Issued), shows (certificates), issuer, hash."""
        signer = more.get("signer")
        key, certificate = (
            (self.key, self.certificate) if signer is None else (signer.key, signer.certificate)
        )
        revoked_at = self.now - DAY if status is ocsp.OCSPCertStatus.REVOKED else None
        builder = ocsp.OCSPResponseBuilder().add_response(
            cert=about.certificate,
            issuer=more.get("issuer", self.certificate),
            algorithm=hashes.SHA1(),
            cert_status=status,
            this_update=self.now + starts,
            next_update=None if ends is None else self.now + ends,
            revocation_time=revoked_at,
            revocation_reason=None,
        )
        by_name = more.get("encoding", ocsp.OCSPResponderEncoding.HASH)
        builder = builder.responder_id(by_name, certificate)
        if "shows" in more:
            builder = builder.certificates([each.certificate for each in more["shows"]])
        signed = builder.sign(key, more.get("hash", hashes.SHA256()))
        return signed.public_bytes(serialization.Encoding.DER)
