"""What a trust list may not be: each case is one line. Refused with its code; the list in force, the copy kept and what
the log tells stay free of it. The codes together are all that checking a list can say.
"""

import logging
import re
from datetime import timedelta

import pytest
from harness.trust_lists import DN, facts_of, pin_of, put, signed_list

from mailserver.app.trust_watch import TrustWatch
from mailserver.crypto.authority import IssuedCertificate, Variant
from mailserver.crypto.x509 import certificate_facts, parse_dn
from mailserver.crypto.xmldsig import DOCUMENT_BYTES, PinnedSigner, sign_enveloped
from mailserver.model.address import parse_domain
from mailserver.policy.trust_list import NAMESPACE, TrustedDomain, format_trust_list
from mailserver.policy.trust_source import GOOD_COPY, SourcePlan, TrustSource
from mailserver.policy.trust_steps import REFUSALS, ListRule, find_step
from mailserver.policy.trust_store import TrustStore

HELD, NEW = "held.demo.example", "new.demo.example"
HOUR = timedelta(hours=1)
SIGNATURE = re.compile(rb"<Signature .*</Signature>", re.DOTALL)
DOMAIN = re.compile(rb"\s*<Domaine>.*?</Domaine>", re.DOTALL)


class Bench:
    """Who signs what. ``good`` is the list that would be taken."""

    def __init__(self, authority, signer, next_signer, operator, now):
        self.signer, self.operator, self.now = signer, operator, now
        self.expired = authority.issue_list_signer("demo.example", now=now, variant=Variant.EXPIRED)
        self.early = authority.issue_list_signer("demo.example", now=now, variant=Variant.NOT_YET_VALID)
        self.misnamed = next_signer
        root_key = (authority.certificate_path.parent / "demo-ca.key").read_bytes()
        self.root = IssuedCertificate(root_key, authority.certificate_path.read_bytes())
        pinned = pin_of(signer, self.expired, self.early, self.misnamed, self.root)
        names = {facts_of(signer).dn, certificate_facts(authority.certificate_der).dn}
        self.pin = PinnedSigner(pinned.fingerprints, frozenset(names))
        self.good = signed_list(signer, now, HELD, NEW)
        (self.signature,) = SIGNATURE.findall(self.good)
        self.unsigned = SIGNATURE.sub(b"", self.good)

    def by(self, signer, minutes=0):
        return signed_list(signer, self.now + timedelta(minutes=minutes), HELD, NEW)

    def signed(self, old, new):
        """The good list with something else in it, and a true signature over that."""
        xml = format_trust_list([TrustedDomain(parse_domain(NEW), DN)], self.now)
        changed = xml.replace(old.encode(), new.encode())
        assert changed != xml
        return sign_enveloped(changed, self.signer.key_pem, self.signer.cert_pem)

    def changed(self, old, new):
        octets = self.good.replace(old.encode(), new.encode())
        assert octets != self.good
        return octets


ROOT = f'<ListeBlancheMSSante xmlns="{NAMESPACE}">'
CASES = {
    "one byte changed": (lambda b: b.changed("new.demo", "mew.demo"), "xml-digest"),
    "one byte of a DN changed": (lambda b: b.changed("CN=mx.", "CN=my."), "xml-digest"),
    "one byte of the digest": (lambda b: re.sub(rb"<DigestValue>..", b"<DigestValue>AA", b.good), "xml-signature"),
    "one byte of the signature": (
        lambda b: re.sub(rb"<SignatureValue>....", b"<SignatureValue>AAAA", b.good), "xml-signature"),
    "signature that is no base64": (lambda b: b.changed("<SignatureValue>", "<SignatureValue>*"), "xml-signature-base64"),
    "truncated list with the old signature": (lambda b: DOMAIN.sub(b"", b.good, 1), "xml-digest"),
    "no domains and the old signature": (lambda b: DOMAIN.sub(b"", b.good), "xml-digest"),
    "a domain added": (lambda b: b.good.replace(*[m := DOMAIN.search(b.good)[0], m + m.replace(b"new", b"n")]), "xml-digest"),
    "written again on one line": (lambda b: re.sub(rb">\s+<", b"><", b.good), "xml-digest"),
    "cut in the middle": (lambda b: b.good.partition(b"</Nom>")[0], "xml-unsigned"),
    "cut in its signature": (lambda b: b.good.partition(b"</Signature>")[0], "xml-several-signatures"),
    "cut at its end": (lambda b: b.good[:-9], "xml-signature-place"),
    "unsigned": (lambda b: b.unsigned, "xml-unsigned"),
    "empty file": (lambda b: b"", "xml-unsigned"),
    "a page of the web": (lambda b: b"<html><body>404</body></html>", "xml-unsigned"),
    "signer of the same authority": (lambda b: b.by(b.operator), "xml-signer-not-pinned"),
    "signer of another name": (lambda b: b.by(b.misnamed), "xml-signer-name"),
    "expired signer": (lambda b: b.by(b.expired), "xml-signer-expired"),
    "signer whose time is to come": (lambda b: b.by(b.early), "xml-signer-expired"),
    "certificate that may not sign": (lambda b: b.by(b.root), "xml-signer-usage"),
    "certificate that is none": (
        lambda b: re.sub(rb"(<X509Certificate>.{80})[^<]*", rb"\1", b.good), "xml-signer-not-pinned"),
    "older date": (lambda b: b.by(b.signer, minutes=-61), "trust-list-older"),
    "from the future": (lambda b: b.by(b.signer, minutes=11), "trust-list-from-future"),
    "prefix": (lambda b: b.changed(ROOT, ROOT.replace("xmlns=", 'xmlns:p="urn:p" xmlns=')), "xml-prefix"),
    "prefixed elements": (
        lambda b: b.changed("ListeDomaines>", "p:ListeDomaines>").replace(b"xmlns=", b'xmlns:p="urn:p" xmlns=', 1),
        "xml-prefix"),
    "namespace as an element": (
        lambda b: b.changed(ROOT, f"<ListeBlancheMSSante><xmlns>{NAMESPACE}</xmlns>"), "xml-no-namespace"),
    "default namespace undeclared": (lambda b: b.changed("<Nom>", '<Nom xmlns="">'), "xml-prefix"),
    "another namespace": (lambda b: b.changed(NAMESPACE, NAMESPACE + "/2"), "xml-digest"),
    "another namespace, signed": (lambda b: b.signed(NAMESPACE, NAMESPACE + "/2"), "trust-list-syntax"),
    "two signatures": (lambda b: b.good.replace(b.signature, b.signature * 2), "xml-several-signatures"),
    "signature first": (lambda b: b.unsigned.replace(ROOT.encode(), ROOT.encode() + b.signature), "xml-signature-place"),
    "signature after the root": (lambda b: b.unsigned + b.signature, "xml-signature-place"),
    "signed root inside a new root": (
        lambda b: ROOT.encode() + b.unsigned.split(b"\n", 1)[1] + b.signature + b"</ListeBlancheMSSante>", "xml-digest"),
    "signed list moved into Object": (
        lambda b: b.changed("</Signature>", "<Object><List></List></Object></Signature>"), "xml-signature-shape"),
    "reference to a part": (lambda b: b.changed('URI=""', 'URI="#a"'), "xml-signature-shape"),
    "weaker digest": (lambda b: b.changed("2001/04/xmlenc#sha256", "2000/09/xmldsig#sha1"), "xml-signature-shape"),
    "broken XML in the signature": (lambda b: b.changed("<KeyInfo>", "<KeyInfo><a>"), "xml-signature-shape"),
    "comment": (lambda b: b.changed("<Nom>", "<Nom><!-- -->"), "xml-not-plain"),
    "comment that splits a name": (lambda b: b.changed(NEW, "new<!-- -->.demo.example"), "xml-not-plain"),
    "CDATA": (lambda b: b.changed("<Nom>", "<Nom><![CDATA[]]>"), "xml-not-plain"),
    "processing instruction": (lambda b: b.changed("<Nom>", "<?x y?><Nom>"), "xml-not-plain"),
    "DOCTYPE": (lambda b: b.changed(ROOT, "<!DOCTYPE x>" + ROOT), "xml-not-plain"),
    "entities that grow": (
        lambda b: b.changed(ROOT, '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + ROOT), "xml-not-plain"),
    "file of this machine": (
        lambda b: b.changed(ROOT, '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + ROOT), "xml-not-plain"),
    "attribute": (lambda b: b.changed("<Nom>", '<Nom a="b">'), "xml-attribute"),
    "attribute of the root": (lambda b: b.changed(ROOT, ROOT.replace(">", ' Id="a">')), "xml-attribute"),
    "unbalanced": (lambda b: b.changed("</Nom>", "</Nam>"), "xml-syntax"),
    "deep": (lambda b: b.changed("<Nom>", "<a>" * 20 + "</a>" * 20 + "<Nom>"), "xml-depth"),
    "UTF-16": (lambda b: b.good.decode().encode("utf-16"), "xml-encoding"),
    "huge": (lambda b: b.good + b" " * DOCUMENT_BYTES, "xml-length"),
    "no date": (lambda b: b.signed("DateDeGeneration", "Date"), "trust-list-syntax"),
    "two lists": (lambda b: b.signed("</ListeDomaines>", "</ListeDomaines><ListeDomaines></ListeDomaines>"), "trust-list-syntax"),
    "date without a zone": (lambda b: b.signed("000Z</DateDe", "000</DateDe"), "trust-list-date"),
    "a file that is gone": (lambda b: None, "trust-list-unreadable"),
}  # fmt: skip
PUT_IN_FORCE = {"trust-list-empty", "trust-list-stale"}
"""Such a list takes its place, and trusts nobody: a list that ends trust must not be kept out."""


@pytest.fixture(scope="module")
def bench(authority, signer, next_signer, operator, now):
    return Bench(authority, signer, next_signer, operator, now)


@pytest.fixture
def watched(bench, tmp_path, now):
    put(tmp_path / "incoming.xml", signed_list(bench.signer, now - HOUR, HELD))
    source = TrustSource(SourcePlan(tmp_path / "incoming.xml", ListRule(bench.pin)), tmp_path)
    trust = TrustStore([source])
    trust.load(now)
    watch = TrustWatch(trust)
    watch.begin(now)
    return trust, watch


@pytest.mark.parametrize(("change", "code"), CASES.values(), ids=CASES.keys())
def test_refused(bench, watched, tmp_path, now, caplog, change, code):
    trust, watch = watched
    before, copy, octets = trust.current, (tmp_path / GOOD_COPY).read_bytes(), change(bench)
    caplog.clear()
    caplog.set_level(logging.INFO)
    if octets is None:
        (tmp_path / "incoming.xml").unlink()
    else:
        put(tmp_path / "incoming.xml", octets)
    watch.round(now)
    watch.round(now)
    assert trust.current is before
    assert not trust.current.is_listed(parse_domain(NEW))
    assert (tmp_path / GOOD_COPY).read_bytes() == copy
    (record,) = caplog.records
    assert (record.levelname, record.list, record.code) == ("ERROR", "main", code)
    assert NEW not in str(record.__dict__)
    assert find_step(code) is not None


def test_the_good_list_is_taken(bench, watched, tmp_path, now):
    trust, watch = watched
    put(tmp_path / "incoming.xml", bench.good)
    watch.round(now)
    assert trust.current.is_listed(parse_domain(NEW))


def test_every_refusal_has_its_case():
    assert {code for _change, code in CASES.values()} == REFUSALS - PUT_IN_FORCE


def test_a_domain_listed_twice_has_both_names(bench, watched, tmp_path, now):
    """Two operators' certificates, one of them in the other direction and with an escaped comma."""
    trust, watch = watched
    names = ("CN=mx1.demo.example,O=A,C=FR", r"C=FR,O=B\, SITE 2,CN=mx2.demo.example")
    entries = [TrustedDomain(parse_domain(NEW), parse_dn(name)) for name in names]
    xml = format_trust_list(entries, now)
    put(tmp_path / "incoming.xml", sign_enveloped(xml, bench.signer.key_pem, bench.signer.cert_pem))
    watch.round(now)
    assert trust.current.dns_for(parse_domain(NEW)) == {parse_dn(name) for name in names}
    assert trust.current.is_listed_for(parse_domain(NEW), parse_dn("/c=FR/o=B, SITE 2/cn=mx2.demo.example"))
    assert not trust.current.is_listed_for(parse_domain(NEW), parse_dn("CN=mx1.demo.example,O=B,C=FR"))
