"""X.509 certificates and distinguished names, as plain facts that policy can compare.

A name is compared as a parsed sequence of (type, value) pairs, in either direction: tools print it most specific
first or last, and the trust list prints ``CN=…,OU=3<SIRET>,O=…,ST=…,C=FR``. Attribute types are folded to one short
name, runs of spaces to one space, text to NFC. Values keep their case: a stricter rule than RFC 5280 §7.1, which
refuses more and trusts no more. Input is bounded, and only Malformed escapes.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from mailserver.model.errors import Malformed

CERTIFICATE_BYTES = 32 * 1024
DN_CHARACTERS = 4096
DN_PAIRS = 32

_SHORT_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.4": "SN",
    "2.5.4.5": "SERIALNUMBER",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "2.5.4.12": "T",
    "2.5.4.17": "POSTALCODE",
    "2.5.4.42": "GN",
    "2.5.4.97": "ORGANIZATIONIDENTIFIER",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
    "1.2.840.113549.1.9.1": "EMAILADDRESS",
}
_SYNONYMS = {
    "COMMONNAME": "CN",
    "SURNAME": "SN",
    "COUNTRYNAME": "C",
    "LOCALITYNAME": "L",
    "S": "ST",
    "STATEORPROVINCENAME": "ST",
    "STREETADDRESS": "STREET",
    "ORGANIZATIONNAME": "O",
    "ORGANIZATIONALUNITNAME": "OU",
    "TITLE": "T",
    "GIVENNAME": "GN",
    "USERID": "UID",
    "DOMAINCOMPONENT": "DC",
    "E": "EMAILADDRESS",
}
# RFC 4514 §3 attributeType: descr or numericoid; a leading "OID." is what some tools print
_TYPE = r"(?:OID\.)?(?:[A-Za-z][A-Za-z0-9-]{0,63}|[0-9]+(?:\.[0-9]+)+)"
_HEAD = re.compile(rf"\s*({_TYPE})\s*=\s*", re.IGNORECASE)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*', re.DOTALL)
# A separator counts only when another attribute follows it: lists carry values such as "O=A, B" unescaped
_NEXT = rf"(?=\s*{_TYPE}\s*=)"
_PLAIN = {
    separator: re.compile(rf"((?:[^\\{separator}]|\\.|{separator}(?!\s*{_TYPE}\s*=))*)", re.DOTALL)
    for separator in ",/"
}
_MULTIVALUED = re.compile(rf"(?<!\\)\+{_NEXT}")
_HEX_RUN = re.compile(r"(?:\\x?[0-9A-Fa-f]{2})+")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SPECIAL = re.compile(r'([,+"\\<>;=])')


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """An ordered name. Equal to another when their pairs agree in either direction; hashable accordingly.

    ``pairs`` are (short type, value), most specific first when built by this module. Raises Malformed when empty,
    over ``DN_PAIRS``, or when a type or value is empty.
    """

    pairs: tuple[tuple[str, str], ...] = field(compare=False)
    _key: tuple[tuple[str, str], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 < len(self.pairs) <= DN_PAIRS:
            raise Malformed("dn-length")
        pairs = tuple((_short_type(kind), _fold(value)) for kind, value in self.pairs)
        if not all(value for _, value in pairs):
            raise Malformed("dn-empty-value")
        object.__setattr__(self, "pairs", pairs)
        object.__setattr__(self, "_key", min(pairs, pairs[::-1]))

    def __str__(self) -> str:
        return format_dn(self)

    def find_value(self, kind: str) -> str | None:
        """The first value of this attribute type, or None."""
        wanted = _short_type(kind)
        return next((value for name, value in self.pairs if name == wanted), None)

    @property
    def common_name(self) -> str | None:
        return self.find_value("CN")


class KeyType(StrEnum):
    RSA = "rsa"
    EC = "ec"
    EDWARDS = "edwards"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What policy needs to know of one certificate. Times are aware UTC; usages are the ones it states."""

    dn: DistinguishedName
    issuer: DistinguishedName
    serial: int
    not_before: datetime
    not_after: datetime
    has_server_auth: bool
    has_client_auth: bool
    key_type: KeyType
    key_bits: int
    fingerprint_sha256: str
    """64 lower-case hexadecimal digits over the DER."""

    def is_valid_at(self, now: datetime) -> bool:
        return self.not_before <= now <= self.not_after


def parse_dn(text: str) -> DistinguishedName:
    r"""``CN=…,O=…`` in either order, RFC 4514 §3 or OpenSSL's ``/C=…/CN=…`` → DistinguishedName.

    Accepts what tools print: spaces around separators, quoted values, ``\,`` and ``\C3\A9`` escapes, and a bare
    comma inside a value when no attribute follows it. Refuses multi-valued and ``#hex`` values. Raises Malformed.
    """
    if len(text) > DN_CHARACTERS:
        raise Malformed("dn-length")
    text = text.strip()
    separator = "/" if text.startswith("/") else ","
    pairs = tuple(_parse_pairs(text.removeprefix("/"), separator))
    return DistinguishedName(_specific_first(pairs))


def format_dn(dn: DistinguishedName) -> str:
    """RFC 4514 §2 text, in the order of ``pairs``; ``parse_dn`` gives an equal name back."""
    return _format_pairs(dn.pairs)


@lru_cache(maxsize=1024)
def _format_pairs(pairs: tuple[tuple[str, str], ...]) -> str:
    """The names of operators come again with every message; equal names may have another order."""
    return ",".join(f"{kind}={_escape(value)}" for kind, value in pairs)


def certificate_dn(der: bytes) -> DistinguishedName:
    """The subject of a DER certificate. Raises Malformed."""
    try:
        return _name_of(_load(der).subject)
    except ValueError as error:
        raise Malformed("certificate-syntax") from error


@lru_cache(maxsize=256)
def certificate_facts(der: bytes) -> CertificateFacts:
    """Read one DER certificate; its signature and chain are not checked here. Raises Malformed.

    Those read last are remembered: an operator shows the same one on each of its connections.
    """
    certificate = _load(der)
    try:
        usages = _usages(certificate)
        key_type, key_bits = _key_of(certificate)
        return CertificateFacts(
            dn=_name_of(certificate.subject),
            issuer=_name_of(certificate.issuer),
            serial=certificate.serial_number,
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            has_server_auth=ExtendedKeyUsageOID.SERVER_AUTH in usages,
            has_client_auth=ExtendedKeyUsageOID.CLIENT_AUTH in usages,
            key_type=key_type,
            key_bits=key_bits,
            fingerprint_sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        )
    except (ValueError, TypeError, x509.DuplicateExtension) as error:
        raise Malformed("certificate-syntax") from error


def der_from_pem(pem: bytes) -> bytes:
    """The DER of the first certificate of a PEM file. Raises Malformed."""
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    except ValueError as error:
        raise Malformed("certificate-syntax") from error


def _load(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_BYTES:
        raise Malformed("certificate-length")
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, TypeError, x509.InvalidVersion) as error:
        raise Malformed("certificate-syntax") from error


def _name_of(name: x509.Name) -> DistinguishedName:
    if any(len(list(rdn)) != 1 for rdn in name.rdns):
        raise Malformed("dn-multivalued")
    pairs = []
    for rdn in reversed(name.rdns):
        (attribute,) = rdn
        if not isinstance(attribute.value, str):
            raise Malformed("dn-value")
        pairs.append((attribute.oid.dotted_string, attribute.value))
    return DistinguishedName(_specific_first(tuple(pairs)))


def _usages(certificate: x509.Certificate) -> frozenset[x509.ObjectIdentifier]:
    """The extended key usages that are stated; none stated is none granted (stricter than RFC 5280 §4.2.1.12)."""
    try:
        extension = certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(extension.value) if isinstance(extension.value, x509.ExtendedKeyUsage) else frozenset()


def _key_of(certificate: x509.Certificate) -> tuple[KeyType, int]:
    try:
        key = certificate.public_key()
    except UnsupportedAlgorithm:
        return KeyType.OTHER, 0
    if isinstance(key, rsa.RSAPublicKey):
        return KeyType.RSA, key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return KeyType.EC, key.curve.key_size
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return KeyType.EDWARDS, len(key.public_bytes_raw()) * 8
    return KeyType.OTHER, 0


def _parse_pairs(text: str, separator: str) -> Iterator[tuple[str, str]]:
    position = 0
    while True:
        head = _HEAD.match(text, position)
        if head is None:
            raise Malformed("dn-syntax")
        quoted = _QUOTED.match(text, head.end())
        if quoted is not None:
            raw, position = quoted[1], quoted.end()
        else:
            plain = _PLAIN[separator].match(text, head.end())
            assert plain is not None  # the expression also matches nothing
            raw, position = plain[1], plain.end()
            if raw.startswith("#"):  # RFC 4514 §2.4: a BER value, which no list carries
                raise Malformed("dn-value")
            if _MULTIVALUED.search(raw):
                raise Malformed("dn-multivalued")
        yield head[1], _unescape(raw)
        if position == len(text):
            return
        if text[position] != separator:
            raise Malformed("dn-syntax")
        position += 1


def _unescape(raw: str) -> str:
    def octets(run: re.Match[str]) -> str:
        digits = run[0].replace("\\x", "").replace("\\", "")
        try:
            return bytes.fromhex(digits).decode("utf-8").replace("\\", "\\\\")
        except UnicodeDecodeError as error:
            raise Malformed("dn-value") from error

    # an escaped backslash must not lend its second half to a hexadecimal pair
    kept = [_HEX_RUN.sub(octets, piece) for piece in raw.split("\\\\")]
    text = _ESCAPED.sub(r"\1", "\\\\".join(kept))
    if "\x00" in text:
        raise Malformed("dn-value")
    return text


def _escape(value: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", value)
    return "\\" + escaped if escaped.startswith("#") else escaped


def _short_type(kind: str) -> str:
    name = kind.strip().upper().removeprefix("OID.")
    return _SHORT_NAMES.get(name) or _SYNONYMS.get(name) or name


def _fold(value: str) -> str:
    return " ".join(unicodedata.normalize("NFC", value).split())


def _specific_first(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Turn a name that starts at its country or root domain round; leave the rest as it came."""
    kinds = [_short_type(kind) for kind, _ in pairs]
    return pairs[::-1] if kinds and kinds[0] in {"C", "DC"} and kinds[-1] not in {"C", "DC"} else pairs
