"""Signed trust lists for tests, and who may sign them."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from mailserver.crypto.authority import IssuedCertificate
from mailserver.crypto.x509 import (
    CertificateFacts,
    DistinguishedName,
    certificate_facts,
    der_from_pem,
    parse_dn,
)
from mailserver.crypto.xmldsig import PinnedSigner, sign_enveloped
from mailserver.model.address import parse_domain
from mailserver.policy.trust_list import TrustedDomain, format_trust_list

DN = parse_dn("CN=mx.demo.example,O=A,C=FR")


def facts_of(issued: IssuedCertificate) -> CertificateFacts:
    return certificate_facts(der_from_pem(issued.cert_pem))


def pin_of(*signers: IssuedCertificate, names: Iterable[DistinguishedName] = ()) -> PinnedSigner:
    return PinnedSigner(frozenset(facts_of(each).fingerprint_sha256 for each in signers), frozenset(names))


def signed_list(signer: IssuedCertificate, date: datetime, *names: str, dn: DistinguishedName = DN) -> bytes:
    """A list that names these domains, all for one certificate."""
    entries = [TrustedDomain(parse_domain(name), dn, updated_at=date) for name in names]
    return sign_enveloped(format_trust_list(entries, date), signer.key_pem, signer.cert_pem)


def put(path: Path, octets: bytes) -> None:
    """Replace a file in one step, so that its change is always seen."""
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(octets)
    partial.replace(path)
