"""xmlsec1 verifies what we sign, and we verify what xmlsec1 signs."""

import subprocess
from datetime import UTC, datetime

import pytest

from mailserver.crypto import xmldsig
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning
from mailserver.crypto.x509 import certificate_facts, der_from_pem, parse_dn
from mailserver.crypto.xmldsig import PinnedSigner, sign_enveloped, verify_enveloped
from mailserver.model.address import parse_domain
from mailserver.model.errors import Denied
from mailserver.policy.trust_list import TrustedDomain, format_trust_list, parse_trust_list

TEMPLATE = f"""<Signature xmlns="{xmldsig.DSIG}">
  <SignedInfo>
    <CanonicalizationMethod Algorithm="{xmldsig.EXC_C14N}"/>
    <SignatureMethod Algorithm="{xmldsig.RSA_SHA256}"/>
    <Reference URI="">
      <Transforms>
        <Transform Algorithm="{xmldsig.ENVELOPED}"/>
        <Transform Algorithm="{xmldsig.EXC_C14N}"/>
      </Transforms>
      <DigestMethod Algorithm="{xmldsig.SHA256}"/>
      <DigestValue/>
    </Reference>
  </SignedInfo>
  <SignatureValue/>
  <KeyInfo>
    <X509Data><X509Certificate/></X509Data>
  </KeyInfo>
</Signature>"""


@pytest.fixture(scope="module")
def xmlsec1(require_tool):
    return require_tool("xmlsec1")


@pytest.fixture(scope="module")
def now():
    return datetime.now(UTC)  # xmlsec1 judges certificates by the machine's clock


@pytest.fixture(scope="module")
def authority(tmp_path_factory, now):
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), now, key_bits=2048)


@pytest.fixture(scope="module")
def signer(authority, now):
    return authority.issue_list_signer("demo.example", now=now)


@pytest.fixture(scope="module")
def pinned(signer):
    facts = certificate_facts(der_from_pem(signer.cert_pem))
    return PinnedSigner(frozenset({facts.fingerprint_sha256}), frozenset({facts.dn}))


@pytest.fixture(scope="module")
def plain(now):
    dn = parse_dn("CN=mx.north.demo.example,OU=300000123456789,O=HÔPITAL <NORD> & Cie,ST=Démo (00),C=FR")
    entry = TrustedDomain(parse_domain("north.demo.example"), dn, "accents é ≥ \" ' & tab\t", "a, b", "c > d")
    return format_trust_list([entry], now)


def verify(xmlsec1, authority, path):
    command = [xmlsec1, "--verify", "--trusted-pem", authority.certificate_path, path]
    return subprocess.run(command, capture_output=True, timeout=30, check=False)


def test_xmlsec1_verifies_ours(xmlsec1, authority, signer, plain, tmp_path):
    path = tmp_path / "ours.xml"
    path.write_bytes(sign_enveloped(plain, signer.key_pem, signer.cert_pem))
    result = verify(xmlsec1, authority, path)
    assert result.returncode == 0, result.stderr
    path.write_bytes(path.read_bytes().replace(b"north.demo", b"south.demo"))
    assert verify(xmlsec1, authority, path).returncode != 0


def test_we_verify_xmlsec1s(xmlsec1, authority, signer, pinned, plain, now, tmp_path):
    (tmp_path / "template.xml").write_bytes(
        plain.replace(b"</ListeBlancheMSSante>", TEMPLATE.encode() + b"</ListeBlancheMSSante>")
    )
    (tmp_path / "key.pem").write_bytes(signer.key_pem)
    (tmp_path / "cert.pem").write_bytes(signer.cert_pem)
    keys = f"{tmp_path / 'key.pem'},{tmp_path / 'cert.pem'}"
    command = [xmlsec1, "--sign", "--privkey-pem", keys, tmp_path / "template.xml"]
    signed = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
    verified = verify_enveloped(signed, pinned, now)
    (entry,) = parse_trust_list(verified).entries
    assert entry.domain == parse_domain("north.demo.example")
    with pytest.raises(Denied) as refusal:
        verify_enveloped(signed.replace(b"north.demo", b"south.demo"), pinned, now)
    assert refusal.value.code == "xml-digest"
