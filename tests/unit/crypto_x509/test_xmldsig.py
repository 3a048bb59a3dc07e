"""Enveloped signatures: one shape is read, every attack has its refusal."""

import base64
import re
from datetime import timedelta

import pytest
from cryptography import x509 as library
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from mailserver.crypto import xmldsig
from mailserver.crypto.authority import Variant
from mailserver.crypto.x509 import certificate_facts, der_from_pem, parse_dn
from mailserver.crypto.xmldsig import PinnedSigner, sign_enveloped, verify_enveloped
from mailserver.model.errors import Denied, Malformed

PLAIN = b"""<?xml version="1.0" encoding="UTF-8"?>
<List xmlns="urn:demo:list">
    <Date>2026-03-02T08:00:00Z</Date>
    <Name>d\xc3\xa9mo &amp; &lt;co&gt;</Name>
</List>
"""
CANONICAL = PLAIN.split(b"\n", 1)[1].rstrip(b"\n")


@pytest.fixture(scope="module")
def pinned(signer):
    facts = certificate_facts(der_from_pem(signer.cert_pem))
    return PinnedSigner(fingerprints=frozenset({facts.fingerprint_sha256}))


@pytest.fixture(scope="module")
def signed(signer):
    return sign_enveloped(PLAIN, signer.key_pem, signer.cert_pem)


def refusal_of(xml, pinned, now):
    with pytest.raises((Malformed, Denied)) as refusal:
        verify_enveloped(xml, pinned, now)
    return refusal.value.code


def test_round_trip(signed, pinned, signer, now):
    verified = verify_enveloped(signed, pinned, now)
    assert verified.content == CANONICAL
    assert verified.signer == certificate_facts(der_from_pem(signer.cert_pem))
    assert b"<Signature" not in verified.content


def test_signature_stands_just_before_the_roots_end(signed):
    assert re.search(rb"</Signature></List>\s*\Z", signed)


@pytest.mark.parametrize(
    "change",
    [
        lambda xml: b"\xef\xbb\xbf" + xml,
        lambda xml: xml.replace(b"\n", b"\r\n"),
        lambda xml: xml.replace(b'<?xml version="1.0" encoding="UTF-8"?>\n', b""),
        lambda xml: xml.replace(b'"UTF-8"', b"'utf-8' standalone='yes'"),
        lambda xml: re.sub(rb"<Transform (Algorithm=\"[^\"]*\")></Transform>", rb"<Transform \1 />", xml),
        lambda xml: re.sub(rb"(<SignatureValue>.{76})", rb"\1&#13;\n", xml),
        lambda xml: xml.replace(b"<Date>", b"<Date  >"),
        lambda xml: xml.replace(b"</Signature>", b"</Signature >"),
        lambda xml: xml.replace(b"&gt;", b">"),
    ],
)
def test_other_writings_of_the_same(signed, pinned, now, change):
    assert verify_enveloped(change(signed), pinned, now).content == CANONICAL


def test_pin_by_fingerprint_and_name(signed, signer, pinned, operator, now):
    name = certificate_facts(der_from_pem(signer.cert_pem)).dn
    other = certificate_facts(der_from_pem(operator.cert_pem))
    for names in ([name], [parse_dn("/" + "/".join(str(name).split(",")[::-1]))], [other.dn, name]):
        pin = PinnedSigner(pinned.fingerprints, frozenset(names))
        assert verify_enveloped(signed, pin, now).signer.dn == name
    # the next signer stands beside today's
    assert verify_enveloped(signed, PinnedSigner(pinned.fingerprints | {other.fingerprint_sha256}), now)
    for pin, code in (
        (PinnedSigner(), "xml-signer-not-pinned"),
        (PinnedSigner(names=frozenset({name})), "xml-signer-not-pinned"),
        (PinnedSigner(frozenset({"0" * 64}), frozenset({name})), "xml-signer-not-pinned"),
        (PinnedSigner(frozenset({other.fingerprint_sha256})), "xml-signer-not-pinned"),
        (PinnedSigner(pinned.fingerprints, frozenset({other.dn})), "xml-signer-name"),
    ):
        assert refusal_of(signed, pin, now) == code


def test_another_operators_certificate_signs_nothing(operator, pinned, now):
    forged = sign_enveloped(PLAIN, operator.key_pem, operator.cert_pem)
    assert refusal_of(forged, pinned, now) == "xml-signer-not-pinned"


def test_expired_signer(authority, signed, pinned, now):
    old = authority.issue_list_signer("demo.example", now=now, variant=Variant.EXPIRED)
    facts = certificate_facts(der_from_pem(old.cert_pem))
    pin = PinnedSigner(frozenset({facts.fingerprint_sha256}))
    assert refusal_of(sign_enveloped(PLAIN, old.key_pem, old.cert_pem), pin, now) == "xml-signer-expired"
    assert refusal_of(signed, pinned, now + timedelta(days=4000)) == "xml-signer-expired"


def test_certificate_that_may_not_sign(authority, now):
    root = (authority.certificate_path.parent / "demo-ca.key").read_bytes()
    forged = sign_enveloped(PLAIN, root, authority.certificate_path.read_bytes())
    fingerprint = certificate_facts(authority.certificate_der).fingerprint_sha256
    assert refusal_of(forged, PinnedSigner(fingerprints=frozenset({fingerprint})), now) == "xml-signer-usage"


def test_certificate_without_key_usage(signed, signer, now):
    key = serialization.load_pem_private_key(signer.key_pem, None)
    name = library.Name([library.NameAttribute(library.NameOID.COMMON_NAME, "alb.demo.example")])
    certificate = (
        library.CertificateBuilder(name, name, key.public_key(), 5)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    pin = PinnedSigner(fingerprints=frozenset({certificate_facts(der_from_pem(pem)).fingerprint_sha256}))
    assert verify_enveloped(sign_enveloped(PLAIN, signer.key_pem, pem), pin, now).content == CANONICAL


CHANGED = {
    "one character": (lambda xml: xml.replace(b"08:00", b"09:00"), "xml-digest"),
    "element added": (lambda xml: xml.replace(b"<Date>", b"<Evil></Evil><Date>"), "xml-digest"),
    "element removed": (lambda xml: re.sub(rb"<Name>.*</Name>", b"", xml), "xml-digest"),
    "white space": (lambda xml: xml.replace(b"    <Date>", b"<Date>"), "xml-digest"),
    "other namespace": (lambda xml: xml.replace(b"urn:demo:list", b"urn:demo:evil"), "xml-digest"),
    "root renamed": (lambda xml: xml.replace(b"List", b"Lisp"), "xml-digest"),
    "digest replaced": (lambda xml: re.sub(rb"<DigestValue>..", b"<DigestValue>AA", xml), "xml-signature"),
    "value replaced": (lambda xml: re.sub(rb"<SignatureValue>....", b"<SignatureValue>AAAA", xml), "xml-signature"),
    "value emptied": (lambda xml: re.sub(rb"<SignatureValue>[^<]*", b"<SignatureValue>", xml), "xml-signature"),
    "value no base64": (lambda xml: xml.replace(b"<SignatureValue>", b"<SignatureValue>*"), "xml-signature-base64"),
    "certificate cut": (lambda xml: re.sub(rb"(<X509Certificate>.{100})[^<]*", rb"\1", xml), "xml-signer-not-pinned"),
    "unsigned": (lambda xml: re.sub(rb"<Signature .*</Signature>", b"", xml), "xml-unsigned"),
    "doctype": (lambda xml: xml.replace(b"<List", b"<!DOCTYPE List><List", 1), "xml-not-plain"),
    "entity": (lambda xml: xml.replace(b"<List", b'<!DOCTYPE List [<!ENTITY a "b">]><List', 1), "xml-not-plain"),
    "comment": (lambda xml: xml.replace(b"08:00", b"08<!-- -->:00"), "xml-not-plain"),
    "comment after": (lambda xml: xml + b"<!-- -->", "xml-not-plain"),
    "cdata": (lambda xml: xml.replace(b"08:00", b"<![CDATA[08]]>:00"), "xml-not-plain"),
    "instruction": (lambda xml: xml.replace(b"<Date>", b"<?x y?><Date>"), "xml-not-plain"),
    "style sheet": (lambda xml: xml.replace(b"<List", b'<?xml-stylesheet href="a"?><List', 1), "xml-not-plain"),
    "other encoding": (lambda xml: xml.replace(b"UTF-8", b"ISO-8859-1"), "xml-not-plain"),
    "utf-16": (lambda xml: xml.decode().encode("utf-16"), "xml-encoding"),
    "not utf-8": (lambda xml: xml.replace(b"08:00", b"\xff"), "xml-encoding"),
    "nul": (lambda xml: xml.replace(b"08:00", b"08\x00"), "xml-syntax"),
    "truncated": (lambda xml: xml[:-4], "xml-signature-place"),
    "unbalanced": (lambda xml: xml.replace(b"</Date>", b"</Dote>"), "xml-syntax"),
    "attribute": (lambda xml: xml.replace(b"<Date>", b'<Date a="b">'), "xml-attribute"),
    "xml attribute": (lambda xml: xml.replace(b"<Date>", b'<Date xml:id="b">'), "xml-attribute"),
    "prefix": (lambda xml: xml.replace(b"<Date>", b'<Date xmlns:p="urn:p">'), "xml-prefix"),
    "no namespace": (lambda xml: xml.replace(b"<Date>", b'<Date xmlns="">'), "xml-prefix"),
    "unbound prefix": (lambda xml: xml.replace(b"Date>", b"p:Date>"), "xml-syntax"),
    "unqualified": (lambda xml: xml.replace(b' xmlns="urn:demo:list"', b""), "xml-no-namespace"),
    "deep": (lambda xml: xml.replace(b"<Date>", b"<a>" * 20 + b"</a>" * 20 + b"<Date>"), "xml-depth"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "code"), CHANGED.values(), ids=CHANGED.keys())
def test_changed_documents(signed, pinned, now, change, code):
    changed = change(signed)
    assert changed != signed
    assert refusal_of(changed, pinned, now) == code


SIGNATURE = re.compile(rb"<Signature .*</Signature>", re.DOTALL)

WRAPPED = {
    "signature first": (lambda x, s: SIGNATURE.sub(b"", x).replace(b"<Date>", s + b"<Date>"), "xml-signature-place"),
    "signature nested": (
        lambda x, s: SIGNATURE.sub(b"", x).replace(b"</Name>", s + b"</Name>"), "xml-signature-place"),
    "two signatures": (lambda x, s: x.replace(s, s + s), "xml-several-signatures"),
    "signature around": (lambda x, s: x.replace(s, s.replace(b"<KeyInfo>", s + b"<KeyInfo>")), "xml-several-signatures"),
    "content in Object": (
        lambda x, s: x.replace(s, s.replace(b"</Signature>", b"<Object><List></List></Object></Signature>")),
        "xml-signature-shape"),
    "signed root inside a new root": (
        lambda x, s: b'<New xmlns="urn:demo:list">' + SIGNATURE.sub(b"", x).split(b"\n", 1)[1] + s + b"</New>",
        "xml-digest"),
    "signature after the root": (lambda x, s: SIGNATURE.sub(b"", x) + s, "xml-signature-place"),
    "end before start": (lambda x, s: x.replace(s, b"</Signature><Signature >"), "xml-signature-place"),
    "text after the root": (lambda x, s: x + b"evil", "xml-signature-place"),
}  # fmt: skip


@pytest.mark.parametrize(("wrap", "code"), WRAPPED.values(), ids=WRAPPED.keys())
def test_signature_wrapping(signed, pinned, now, wrap, code):
    (signature,) = SIGNATURE.findall(signed)
    assert refusal_of(wrap(signed, signature), pinned, now) == code


SHAPES = {
    "other c14n": (xmldsig.EXC_C14N, "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
    "sha-1 digest": (xmldsig.SHA256, "http://www.w3.org/2000/09/xmldsig#sha1"),
    "hmac": (xmldsig.RSA_SHA256, "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
    "reference to an id": ('URI=""', 'URI="#a"'),
    "id": ("<Reference URI", '<Reference Id="a" URI'),
    "xslt": (xmldsig.ENVELOPED, "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    "no transforms": ("<Transforms>", "<Transforms></Transforms><Transforms>"),
    "stray text": ("<Reference", "stray<Reference"),
    "text in a structure": ("<KeyInfo>", "<KeyInfo>stray"),
    "signature of another namespace": (xmldsig.DSIG + '"><SignedInfo', 'urn:evil"><SignedInfo'),
    "second certificate": ("</X509Data>", "<X509Certificate>AAAA</X509Certificate></X509Data>"),
    "key value": ("<KeyInfo>", "<KeyInfo><KeyName>a</KeyName>"),
    "child of a text": ("<DigestValue>", "<DigestValue><DigestValue></DigestValue>"),
    "moved": ("<X509Data>", "<X509Data></X509Data></KeyInfo><KeyInfo><X509Data>"),
}


@pytest.mark.parametrize(("old", "new"), SHAPES.values(), ids=SHAPES.keys())
def test_only_one_shape(signed, pinned, now, old, new):
    changed = signed.replace(old.encode(), new.encode())
    assert changed != signed
    assert refusal_of(changed, pinned, now) == "xml-signature-shape"


def test_same_elements_nested_otherwise(signed, pinned, now):
    value = re.search(rb"<SignatureValue>[^<]*</SignatureValue>", signed)[0]
    moved = signed.replace(b"</SignedInfo>" + value, value + b"</SignedInfo>")
    assert refusal_of(moved, pinned, now) == "xml-signature-shape"


def test_short_or_foreign_keys_are_refused(signed, now):
    key = ec.generate_private_key(ec.SECP256R1())
    name = library.Name([library.NameAttribute(library.NameOID.COMMON_NAME, "alb.demo.example")])
    builder = library.CertificateBuilder(name, name, key.public_key(), 5)
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    der = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    element = b"<X509Certificate>" + base64.b64encode(der) + b"<"
    pin = PinnedSigner(fingerprints=frozenset({certificate_facts(der).fingerprint_sha256}))
    assert refusal_of(re.sub(rb"<X509Certificate>[^<]*<", element, signed), pin, now) == "xml-signer-usage"
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(Malformed) as refusal:
        sign_enveloped(PLAIN, pem, b"")
    assert refusal.value.code == "xml-signature-key"


def test_what_was_signed_is_the_reviewed_form(signer, signed):
    """SignedInfo as written is what its own canonical form is: nothing is re-read on the way."""
    key = serialization.load_pem_private_key(signer.key_pem, None).public_key()
    info = re.search(rb"<SignedInfo .*</SignedInfo>", signed)[0]
    value = base64.b64decode(re.search(rb"<SignatureValue>([^<]*)<", signed)[1])
    key.verify(value, info, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(
    ("xml", "code"),
    [
        (b'<a xmlns="urn:a"/>', "xml-signature-place"),
        (b"<a></a>", "xml-no-namespace"),
        (b'<a xmlns="urn:a"><Signature></Signature></a>', "xml-signature-place"),
        (b"not xml", "xml-syntax"),
        (b"", "xml-syntax"),
        (b" " * (xmldsig.DOCUMENT_BYTES + 1), "xml-length"),
    ],
)
def test_what_cannot_be_signed(signer, xml, code):
    with pytest.raises(Malformed) as refusal:
        sign_enveloped(xml, signer.key_pem, signer.cert_pem)
    assert refusal.value.code == code
