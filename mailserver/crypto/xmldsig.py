"""Enveloped XML signatures (XML-DSig) in the one shape that the trust list uses, and no other.

RSA-SHA256 over exclusive C14N, SHA-256 digest, ``Reference URI=""``, transforms enveloped-signature + exc-c14n, one
certificate in KeyInfo, the Signature as the last child of the root. Documents must be plain: UTF-8, default
namespaces only, no DOCTYPE, comment, CDATA or processing instruction, no attribute outside the signature. On such
documents C14N 2.0 (the standard library's) and exclusive C14N give the same bytes; anything else is refused, so the
equality is never trusted further. Callers receive the canonical bytes whose digest was signed, and nothing else.
"""

import base64
import binascii
import hashlib
import hmac
import io
import re

# no entity can be declared: documents with "<!" are refused before the parser sees them
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtensionOID

from mailserver.crypto.x509 import CertificateFacts, DistinguishedName, KeyType, certificate_facts
from mailserver.model.errors import Denied, Malformed

DOCUMENT_BYTES = 32 * 1024 * 1024
SIGNATURE_CHARACTERS = 64 * 1024
DEPTH = 16
RSA_BITS_FLOOR = 2048

DSIG = "http://www.w3.org/2000/09/xmldsig#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = "http://www.w3.org/2000/09/xmldsig#enveloped-signature"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"

_DECLARATION = re.compile(
    r"""<\?xml\s+version\s*=\s*(?:"1\.0"|'1\.0')"""
    r"""(?:\s+encoding\s*=\s*(?:"utf-8"|'utf-8'))?(?:\s+standalone\s*=\s*["'](?:yes|no)["'])?\s*\?>""",
    re.IGNORECASE,
)
_SIGNATURE_START = re.compile(r"<Signature[\s>]")
_SIGNATURE_END = re.compile(r"</Signature\s*>")
_LAST_TAG = re.compile(r"\s*</[^<>]+>\s*")
_SPACES = re.compile(r"[ \t\r\n]+")

# every element of a signature, with the attribute values that it must carry, in order (W3C xmldsig-core §4)
_SIGNED_INFO_SHAPE: tuple[tuple[str, dict[str, str]], ...] = (
    ("SignedInfo", {}),
    ("CanonicalizationMethod", {"Algorithm": EXC_C14N}),
    ("SignatureMethod", {"Algorithm": RSA_SHA256}),
    ("Reference", {"URI": ""}),
    ("Transforms", {}),
    ("Transform", {"Algorithm": ENVELOPED}),
    ("Transform", {"Algorithm": EXC_C14N}),
    ("DigestMethod", {"Algorithm": SHA256}),
    ("DigestValue", {}),
)
_SIGNATURE_SHAPE = (
    ("Signature", {}),
    *_SIGNED_INFO_SHAPE,
    ("SignatureValue", {}),
    ("KeyInfo", {}),
    ("X509Data", {}),
    ("X509Certificate", {}),
)
_CHILDREN = {
    "Signature": ("SignedInfo", "SignatureValue", "KeyInfo"),
    "SignedInfo": ("CanonicalizationMethod", "SignatureMethod", "Reference"),
    "Reference": ("Transforms", "DigestMethod", "DigestValue"),
    "Transforms": ("Transform", "Transform"),
    "KeyInfo": ("X509Data",),
    "X509Data": ("X509Certificate",),
}
_TEXT_ELEMENTS = frozenset({"DigestValue", "SignatureValue", "X509Certificate"})


@dataclass(frozen=True, slots=True)
class PinnedSigner:
    """Who may sign: certificates by SHA-256 fingerprint, several while one follows the other. Names, when given, must
    hold too. Without fingerprints nobody is trusted: every operator holds a certificate of the same authority.
    """

    fingerprints: frozenset[str] = frozenset()
    names: frozenset[DistinguishedName] = frozenset()


@dataclass(frozen=True, slots=True)
class VerifiedXml:
    """The bytes to use (canonical form, signature removed) and who signed them."""

    content: bytes
    signer: CertificateFacts


@dataclass(frozen=True, slots=True)
class _Signature:
    signed_info: bytes
    digest: bytes
    value: bytes
    certificate_der: bytes


def sign_enveloped(xml: bytes, key_pem: bytes, cert_pem: bytes) -> bytes:
    """Put a signature just before the root's end tag of a plain document. Raises Malformed when it is not plain."""
    text = _plain_text(xml)
    canonical = _canonical(text, are_attributes_allowed=False)
    place = text.rfind("</")
    if place < 0 or _SIGNATURE_START.search(text):
        raise Malformed("xml-signature-place")
    key = serialization.load_pem_private_key(key_pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise Malformed("xml-signature-key")
    certificate = x509.load_pem_x509_certificate(cert_pem).public_bytes(serialization.Encoding.DER)
    signed_info = _format_signed_info(hashlib.sha256(canonical).digest())
    value = key.sign(signed_info.encode(), padding.PKCS1v15(), hashes.SHA256())
    signature = (
        f'<Signature xmlns="{DSIG}">'
        f"{signed_info}"
        f"<SignatureValue>{base64.b64encode(value).decode()}</SignatureValue>"
        f"<KeyInfo><X509Data><X509Certificate>{base64.b64encode(certificate).decode()}"
        "</X509Certificate></X509Data></KeyInfo></Signature>"
    )
    signed = text[:place].lstrip("\r\n\t ") + signature + text[place:]
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + signed.encode()


def verify_enveloped(xml: bytes, pinned: PinnedSigner, now: datetime) -> VerifiedXml:
    """Check the one signature of a document and give back the bytes that it covers.

    1. The document is UTF-8 of at most 32 MiB, without DOCTYPE, comment, CDATA or processing instruction.
    2. It holds one signature, the root's last child, in exactly the expected shape.
    3. The signer's certificate is pinned: by fingerprint, and by name when names are given.
    4. The certificate is in its time, and of a key and a usage for signatures.
    5. Its key signed SignedInfo.
    6. The document without its signature has a plain canonical form: default namespaces and no attribute.
    7. SignedInfo holds the digest of the very bytes returned.

    Raises Malformed for 1, 2 and 6; Denied("xml-signer-not-pinned", "xml-signer-name", "xml-signer-expired",
    "xml-signer-usage", "xml-signature", "xml-digest") for the others.
    """
    text = _plain_text(xml)  # 1
    plain, signature_text = _split(text)  # 2
    signature = _parse_signature(signature_text)
    signer = _pinned_signer(signature.certificate_der, pinned)  # 3
    _check_signer(signature.certificate_der, signer, now)  # 4
    _check_value(signature)  # 5
    content = _canonical(plain, are_attributes_allowed=False)  # 6
    if not hmac.compare_digest(hashlib.sha256(content).digest(), signature.digest):  # 7
        raise Denied("xml-digest")
    return VerifiedXml(content, signer)


class _PlainWriter(ET.C14NWriterTarget):
    """The standard canonical writer, which refuses what would make C14N 2.0 and exclusive C14N differ."""

    def __init__(self, lines: io.StringIO, *, are_attributes_allowed: bool) -> None:
        super().__init__(lines.write)
        self._are_attributes_allowed = are_attributes_allowed
        self._depth = 0

    def start_ns(self, prefix: str, uri: str) -> None:
        if prefix or not uri:
            raise Malformed("xml-prefix")
        super().start_ns(prefix, uri)

    def start(self, tag: str, attrs: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth > DEPTH:
            raise Malformed("xml-depth")
        if not tag.startswith("{"):
            raise Malformed("xml-no-namespace")
        if attrs and not self._are_attributes_allowed:
            raise Malformed("xml-attribute")
        super().start(tag, attrs)

    def end(self, tag: str) -> None:
        self._depth -= 1
        super().end(tag)


def _plain_text(xml: bytes) -> str:
    """Decode, drop the declaration, and refuse every construct that a plain document does not need."""
    if len(xml) > DOCUMENT_BYTES:
        raise Malformed("xml-length")
    try:
        text = xml.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("xml-encoding") from error
    declaration = _DECLARATION.match(text)
    if declaration is not None:
        text = text[declaration.end() :]
    # "<" is never literal in character data or attributes: these two searches see every such construct
    if "<!" in text or "<?" in text:
        raise Malformed("xml-not-plain")
    return text


def _canonical(text: str, *, are_attributes_allowed: bool) -> bytes:
    lines = io.StringIO()
    writer = _PlainWriter(lines, are_attributes_allowed=are_attributes_allowed)
    try:
        parser = ET.XMLParser(target=writer)  # noqa: S314 - no DOCTYPE can reach it, see _plain_text
        parser.feed(text)
        parser.close()
    except (ET.ParseError, ValueError) as error:
        raise Malformed("xml-syntax") from error
    return lines.getvalue().encode()


def _split(text: str) -> tuple[str, str]:
    """The document without its signature, and the signature's own text."""
    starts = list(_SIGNATURE_START.finditer(text))
    ends = list(_SIGNATURE_END.finditer(text))
    if not starts and not ends:
        raise Malformed("xml-unsigned")
    if len(starts) != 1 or len(ends) != 1:
        raise Malformed("xml-several-signatures")
    start, end = starts[0].start(), ends[0].end()
    if start > end or end - start > SIGNATURE_CHARACTERS or not _LAST_TAG.fullmatch(text, end):
        raise Malformed("xml-signature-place")
    return text[:start] + text[end:], text[start:end]


def _parse_signature(text: str) -> _Signature:
    try:
        canonical = _canonical(text, are_attributes_allowed=True).decode()
    except Malformed as error:  # one shape is read: whatever else it is, it is not that one
        raise Malformed("xml-signature-shape", error.code) from error
    root = ET.fromstring(canonical)  # noqa: S314 - our own canonical form, without entities
    elements = list(root.iter())
    shape = tuple((_local(element.tag), dict(element.attrib)) for element in elements)
    if shape != _SIGNATURE_SHAPE:
        raise Malformed("xml-signature-shape")
    for element in elements:
        _check_nesting(element)
    texts = {_local(element.tag): element.text or "" for element in elements}
    # the shape has one SignedInfo, without attributes: in canonical form it spans these two tags
    start, end = canonical.index("<SignedInfo>"), canonical.index("</SignedInfo>")
    inner = canonical[start + len("<SignedInfo>") : end]
    return _Signature(
        signed_info=f'<SignedInfo xmlns="{DSIG}">{inner}</SignedInfo>'.encode(),
        digest=_decode(texts["DigestValue"]),
        value=_decode(texts["SignatureValue"]),
        certificate_der=_decode(texts["X509Certificate"]),
    )


def _check_nesting(element: ET.Element) -> None:
    name = _local(element.tag)
    children = tuple(_local(child.tag) for child in element)
    if children != _CHILDREN.get(name, ()):
        raise Malformed("xml-signature-shape")
    stray = [child.tail for child in element]
    if name not in _TEXT_ELEMENTS:
        stray.append(element.text)
    if any(text is not None and text.strip() for text in stray):
        raise Malformed("xml-signature-shape")


def _local(tag: str) -> str:
    namespace, _, name = tag.removeprefix("{").partition("}")
    if namespace != DSIG:
        raise Malformed("xml-signature-shape")
    return name


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(_SPACES.sub("", text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("xml-signature-base64") from error


def _pinned_signer(der: bytes, pinned: PinnedSigner) -> CertificateFacts:
    try:
        facts = certificate_facts(der)
    except Malformed as error:
        raise Denied("xml-signer-not-pinned", error.code) from error
    signer = f"certificate {facts.fingerprint_sha256} of {facts.dn}"
    if facts.fingerprint_sha256 not in pinned.fingerprints:
        raise Denied("xml-signer-not-pinned", signer)
    if pinned.names and facts.dn not in pinned.names:
        raise Denied("xml-signer-name", signer)
    return facts


def _check_signer(der: bytes, facts: CertificateFacts, now: datetime) -> None:
    if not facts.is_valid_at(now):
        raise Denied("xml-signer-expired")
    if not _may_sign(der) or facts.key_type is not KeyType.RSA or facts.key_bits < RSA_BITS_FLOOR:
        raise Denied("xml-signer-usage")


def _may_sign(der: bytes) -> bool:
    """RFC 5280 §4.2.1.3: a stated key usage must include signatures."""
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        usage = extensions.get_extension_for_oid(ExtensionOID.KEY_USAGE).value
    except x509.ExtensionNotFound:
        return True
    return isinstance(usage, x509.KeyUsage) and (usage.digital_signature or usage.content_commitment)


def _check_value(signature: _Signature) -> None:
    key = x509.load_der_x509_certificate(signature.certificate_der).public_key()
    assert isinstance(key, rsa.RSAPublicKey)  # _check_signer said so
    try:
        key.verify(signature.value, signature.signed_info, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature as error:
        raise Denied("xml-signature") from error


def _format_signed_info(digest: bytes) -> str:
    """SignedInfo, written at once in its canonical form."""
    return (
        f'<SignedInfo xmlns="{DSIG}">'
        f'<CanonicalizationMethod Algorithm="{EXC_C14N}"></CanonicalizationMethod>'
        f'<SignatureMethod Algorithm="{RSA_SHA256}"></SignatureMethod>'
        '<Reference URI=""><Transforms>'
        f'<Transform Algorithm="{ENVELOPED}"></Transform>'
        f'<Transform Algorithm="{EXC_C14N}"></Transform></Transforms>'
        f'<DigestMethod Algorithm="{SHA256}"></DigestMethod>'
        f"<DigestValue>{base64.b64encode(digest).decode()}</DigestValue></Reference></SignedInfo>"
    )
