"""Signed tokens, strictly: JSON without twins, compact JWS with an asymmetric signature, keys of a JWK set (RFC 7519).

Three algorithms and no more: RS256, PS256, ES256. A key fits an algorithm by its own type, never because a token says
so; "none" and every MAC are unknown words here (RFC 8725 §3.1). Input is bounded, and only Malformed and Denied escape.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from mailserver.model.errors import Denied, Malformed

JsonObject: TypeAlias = Mapping[str, object]

TOKEN_BYTES = 8 * 1024
JSON_DEPTH = 8
MOST_KEYS = 64
_RSA_BITS = range(2048, 8193)
_RSA_EXPONENT = range(3, 1 << 32)
_P256_BYTES = 32
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")
_HEADER = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256"})
"""What a header may hold: these are used or ignored; "crit", "jku", "jwk", "x5u", "x5c", "b64" and all others are refused."""
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
_ALGORITHMS: dict[str, type[rsa.RSAPublicKey] | type[ec.EllipticCurvePublicKey]] = {
    "RS256": rsa.RSAPublicKey,
    "PS256": rsa.RSAPublicKey,
    "ES256": ec.EllipticCurvePublicKey,
}


def parse_json_object(raw: bytes) -> JsonObject:
    """One JSON object in UTF-8: no name twice, no NaN, no deep nesting, nothing behind it. Raises Malformed("json")."""
    if raw.count(b"{") + raw.count(b"[") > 16 * MOST_KEYS:
        raise Malformed("json")
    try:
        found: object = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
        depth = _depth(found)
    except (ValueError, RecursionError):
        raise Malformed("json") from None
    if not isinstance(found, dict) or depth > JSON_DEPTH:
        raise Malformed("json")
    return found


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(word: str) -> object:
    raise ValueError(word)


def _depth(value: object) -> int:
    """How deep objects and lists lie in one another."""
    inner: Sequence[object] = ()
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return 0
    return 1 + max(map(_depth, inner), default=0)


def decode_base64url(text: bytes) -> bytes:
    """Base64url without padding, in its one canonical form (RFC 7515 §2). Raises Malformed("base64url")."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise Malformed("base64url")
    try:
        octets = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except binascii.Error:
        raise Malformed("base64url") from None
    if base64.urlsafe_b64encode(octets).rstrip(b"=") != text:
        raise Malformed("base64url")  # stray bits at the end: another spelling of the same octets
    return octets


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """One public key of a set. ``alg`` is what the set binds it to; empty when it does not."""

    kid: str
    alg: str
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey

    def fits(self, alg: str) -> bool:
        return isinstance(self.key, _ALGORITHMS[alg]) and self.alg in {"", alg}


def parse_jwk_set(raw: bytes) -> tuple[VerifyKey, ...]:
    """The keys of a JWK set (RFC 7517 §5) that may verify signatures; keys for other uses or of other kinds are passed over.

    Raises Malformed("jwk-set"): not readable, too many, a weak key, or a key id twice.
    """
    try:
        listed = parse_json_object(raw).get("keys")
        members = listed if isinstance(listed, list) else [None]
        found = tuple(key for each in members if (key := _find_key(each)) is not None)
    except (Malformed, ValueError):  # ValueError: a point that is not on the curve
        raise Malformed("jwk-set") from None
    if len(members) > MOST_KEYS or len({key.kid for key in found}) != len(found):
        raise Malformed("jwk-set")
    return found


def _find_key(value: object) -> VerifyKey | None:
    if not isinstance(value, dict):
        raise Malformed("jwk")
    operations = value.get("key_ops", ["verify"])
    is_for_signatures = (
        value.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    )
    kid, alg = value.get("kid", ""), value.get("alg", "")
    if not (is_for_signatures and isinstance(kid, str) and isinstance(alg, str)):
        return None
    if alg and alg not in _ALGORITHMS:
        return None
    match value:
        case {"kty": "RSA"}:
            n, e = _integer(value, "n"), _integer(value, "e")
            if n.bit_length() not in _RSA_BITS or e not in _RSA_EXPONENT or not e % 2:
                raise Malformed("jwk")
            return VerifyKey(kid, alg, rsa.RSAPublicNumbers(e, n).public_key())
        case {"kty": "EC", "crv": "P-256"}:
            x, y = _integer(value, "x"), _integer(value, "y")
            return VerifyKey(kid, alg, ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key())
        case _:
            return None


def _integer(jwk: JsonObject, name: str) -> int:
    text = jwk.get(name)
    if not isinstance(text, str):
        raise Malformed("jwk")
    return int.from_bytes(decode_base64url(text.encode()), "big")


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A token taken apart, its signature not yet checked: nothing in it is true before ``verify``."""

    alg: str
    kid: str
    signed: bytes
    signature: bytes
    payload: bytes

    def verify(self, keys: Sequence[VerifyKey]) -> JsonObject:
        """The claims. Raises Denied("token-signature") unless exactly one key fits and the signature is its own."""
        named = [key for key in keys if key.fits(self.alg) and self.kid in {"", key.kid}]
        if len(named) != 1 or not _is_signed(named[0].key, self):
            raise Denied("token-signature")
        return parse_json_object(self.payload)


def parse_token(raw: bytes) -> SignedToken:
    """Compact serialisation (RFC 7515 §7.1) with a header of known words. Raises Malformed("token")."""
    parts = raw.split(b".", 3)
    if len(raw) > TOKEN_BYTES or len(parts) != 3:
        raise Malformed("token")
    try:
        header = parse_json_object(decode_base64url(parts[0]))
        payload, signature = decode_base64url(parts[1]), decode_base64url(parts[2])
    except Malformed:
        raise Malformed("token") from None
    alg, kid, kind = header.get("alg"), header.get("kid", ""), header.get("typ", "JWT")
    is_known = isinstance(alg, str) and alg in _ALGORITHMS and isinstance(kid, str) and len(kid) <= 256
    if not is_known or not isinstance(kind, str) or kind.lower() not in _TYPES or header.keys() - _HEADER:
        raise Malformed("token")
    return SignedToken(str(alg), str(kid), parts[0] + b"." + parts[1], signature, payload)


def _is_signed(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, token: SignedToken) -> bool:
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_dss(token.signature), token.signed, ec.ECDSA(SHA256()))
        elif token.alg == "PS256":  # RFC 7518 §3.5: MGF1 and a salt of the same hash
            key.verify(token.signature, token.signed, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
        else:
            key.verify(token.signature, token.signed, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _dss(signature: bytes) -> bytes:
    """RFC 7518 §3.4: r ‖ s of 32 octets each. Raises InvalidSignature for another length."""
    if len(signature) != 2 * _P256_BYTES:
        raise InvalidSignature
    r, s = signature[:_P256_BYTES], signature[_P256_BYTES:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
