"""Certificates: the facts read, hostile bytes, and the demo authority."""

import shutil
import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant
from mailserver.crypto.x509 import (
    CERTIFICATE_BYTES,
    KeyType,
    certificate_dn,
    certificate_facts,
    der_from_pem,
    parse_dn,
)
from mailserver.model.errors import Malformed, NotFound


def test_operator_facts(operator, authority, now):
    der = der_from_pem(operator.cert_pem)
    facts = certificate_facts(der)
    assert facts.dn == certificate_dn(der)
    assert facts.dn.common_name == "mx.north.demo.example"
    unit = facts.dn.find_value("OU")
    assert unit is not None and len(unit) == 15 and unit.startswith("300000")
    assert [kind for kind, _ in facts.dn.pairs] == ["CN", "OU", "O", "ST", "C"]
    assert parse_dn(str(facts.dn)) == facts.dn
    assert facts.issuer == parse_dn("CN=AC PLI DEMO,O=PLI DEMO,C=FR")
    assert facts.has_server_auth and facts.has_client_auth
    assert (facts.key_type, facts.key_bits) == (KeyType.RSA, 2048)
    loaded = library.load_der_x509_certificate(der)
    assert facts.fingerprint_sha256 == loaded.fingerprint(hashes.SHA256()).hex()
    assert facts.serial == loaded.serial_number
    assert facts.not_before < now < facts.not_after
    assert facts.is_valid_at(now)
    assert not facts.is_valid_at(facts.not_after + timedelta(seconds=1))
    loaded.verify_directly_issued_by(library.load_der_x509_certificate(authority.certificate_der))


@pytest.mark.parametrize(
    ("variant", "server", "client", "valid"),
    [
        (Variant.EXPIRED, True, True, False),
        (Variant.NOT_YET_VALID, True, True, False),
        (Variant.SERVER_ONLY, True, False, True),
        (Variant.CLIENT_ONLY, False, True, True),
    ],
)
def test_variants(authority, now, variant, server, client, valid):
    issued = authority.issue_operator("x.demo.example", ["127.0.0.1"], "X", now=now, variant=variant)
    facts = certificate_facts(der_from_pem(issued.cert_pem))
    assert (facts.has_server_auth, facts.has_client_auth, facts.is_valid_at(now)) == (server, client, valid)
    assert facts.dn.common_name == "x.demo.example"


def test_signer_facts(signer):
    facts = certificate_facts(der_from_pem(signer.cert_pem))
    assert facts.dn.common_name == "alb.demo.example"
    assert not facts.has_server_auth and not facts.has_client_auth


def _self_signed(key, name, extensions=()):
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = library.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(start).not_valid_after(start + timedelta(days=9))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.DER)


_NAME = library.Name([library.NameAttribute(NameOID.COMMON_NAME, "a")])


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (ec.generate_private_key(ec.SECP384R1()), (KeyType.EC, 384)),
        (ed25519.Ed25519PrivateKey.generate(), (KeyType.EDWARDS, 256)),
        (dsa.generate_private_key(2048), (KeyType.OTHER, 0)),
    ],
)
def test_other_keys(key, expected):
    facts = certificate_facts(_self_signed(key, _NAME))
    assert (facts.key_type, facts.key_bits) == expected
    assert not facts.has_client_auth


def test_multivalued_name_is_refused():
    both = [
        library.NameAttribute(NameOID.COMMON_NAME, "a"),
        library.NameAttribute(NameOID.ORGANIZATION_NAME, "b"),
    ]
    name = library.Name([library.RelativeDistinguishedName(both)])
    with pytest.raises(Malformed) as refusal:
        certificate_dn(_self_signed(ec.generate_private_key(ec.SECP256R1()), name))
    assert refusal.value.code == "dn-multivalued"


def test_empty_name_is_refused():
    with pytest.raises(Malformed) as refusal:
        certificate_facts(_self_signed(ec.generate_private_key(ec.SECP256R1()), library.Name([])))
    assert refusal.value.code == "dn-length"


@pytest.mark.parametrize(
    ("der", "code"),
    [
        (b"", "certificate-syntax"),
        (b"\x30\x00", "certificate-syntax"),
        (b"0" * (CERTIFICATE_BYTES + 1), "certificate-length"),
    ],
)
def test_hostile_bytes(der, code):
    for read in (certificate_dn, certificate_facts):
        with pytest.raises(Malformed) as refusal:
            read(der)
        assert refusal.value.code == code


def test_any_cut_is_refused(operator):
    der = der_from_pem(operator.cert_pem)
    for length in range(0, len(der), 7):
        with pytest.raises(Malformed):
            certificate_facts(der[:length])


def test_any_flipped_byte_gives_facts_or_malformed(operator):
    der = der_from_pem(operator.cert_pem)
    whole = certificate_facts(der)
    for place in range(len(der)):
        damaged = der[:place] + bytes([der[place] ^ 0x5A]) + der[place + 1 :]
        for read in (certificate_dn, certificate_facts):
            try:
                assert read(damaged) != whole
            except Malformed:
                pass


def test_value_that_is_no_text_is_refused():
    bits = library.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\x00\x01", _type=_ASN1Type.BitString)
    with pytest.raises(Malformed) as refusal:
        certificate_dn(_self_signed(ec.generate_private_key(ec.SECP256R1()), library.Name([bits])))
    assert refusal.value.code == "dn-value"


def test_bad_pem():
    with pytest.raises(Malformed) as refusal:
        der_from_pem(b"-----BEGIN CERTIFICATE-----\n")
    assert refusal.value.code == "certificate-syntax"


def test_authority_reopens_and_revokes(tmp_path, authority, now):
    folder = tmp_path / "ca"
    shutil.copytree(authority.certificate_path.parent, folder)
    with pytest.warns(DemoAuthorityWarning):
        opened = DemoAuthority.open(folder)
    issued = opened.issue_operator("y.demo.example", ["y.demo.example"], "Y", now=now)
    assert library.load_pem_x509_crl(opened.crl_path.read_bytes()).next_update_utc > now
    opened.revoke(issued.cert_pem, now)
    opened.renew_crl(now + timedelta(days=20))
    crl = library.load_pem_x509_crl(opened.crl_path.read_bytes())
    serial = certificate_facts(der_from_pem(issued.cert_pem)).serial
    assert [entry.serial_number for entry in crl] == [serial]
    assert crl.next_update_utc == now + timedelta(days=385)
    assert stat.S_IMODE((authority.certificate_path.parent / "demo-ca.key").stat().st_mode) == 0o600


def test_authority_missing_or_broken(tmp_path, authority):
    with pytest.raises(NotFound) as missing:
        DemoAuthority.open(tmp_path)
    assert missing.value.code == "demo-authority"
    folder = tmp_path / "ca"
    shutil.copytree(authority.certificate_path.parent, folder)
    (folder / "demo-ca.key").write_bytes(b"no key")
    with pytest.raises(Malformed) as broken:
        DemoAuthority.open(folder)
    assert broken.value.code == "demo-authority"
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "demo-ca.key").write_bytes(pem)
    with pytest.raises(Malformed):
        DemoAuthority.open(folder)
