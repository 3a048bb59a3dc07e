"""An invented issuer of access tokens: it signs whatever a test asks for, good and bad."""

import base64
import hashlib
import hmac
import json
import time
from functools import cache

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

ISSUER = "https://login.example/auth/realms/demo"
AUDIENCE = "pli.example"
CLAIM = "SubjectNameID"
RPPS = "899700000001"
OTHER_RPPS = "899700000002"


def b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@cache
def rsa_key(name: str = "rsa", bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str = "ec") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def jwk(key, kid: str, /, **more: object) -> dict[str, object]:
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        found = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    else:
        x, y = (b64(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
        found = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
    return {**found, "kid": kid, "use": "sig", **more}


def jwk_set(*keys: dict[str, object]) -> bytes:
    listed = keys or (jwk(rsa_key(), "rsa"), jwk(ec_key(), "ec"))
    return json.dumps({"keys": list(listed)}).encode()


def claims(now: float | None = None, **more: object) -> dict[str, object]:
    """Good ones, of a person at work; None takes a claim away."""
    at = int(time.time() if now is None else now)
    found = {
        "iss": ISSUER,
        "aud": [AUDIENCE, "account"],
        "sub": "f:1:2",
        CLAIM: RPPS,
        "iat": at,
        "exp": at + 240,
        **more,
    }
    return {name: value for name, value in found.items() if value is not None}


def sign(alg: str, key, signed: bytes) -> bytes:
    match alg:
        case "RS256":
            return key.sign(signed, padding.PKCS1v15(), SHA256())
        case "PS256":
            return key.sign(signed, padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
        case "ES256":
            r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(SHA256())))
            return r.to_bytes(32, "big") + s.to_bytes(32, "big")
        case "HS256":  # the public key as if it were a secret
            pem = key.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            return hmac.digest(pem, signed, hashlib.sha256)
        case _:
            return b""


def token(
    said: dict[str, object] | bytes | None = None, *, alg: str = "RS256", key=None, **header: object
) -> bytes:
    """Compact serialisation. ``said``: claims, or the octets of a payload; ``header`` adds to it, None takes away."""
    key = key or (ec_key() if alg == "ES256" else rsa_key())
    kid = "ec" if isinstance(key, ec.EllipticCurvePrivateKey) else "rsa"
    fields = {"alg": alg, "typ": "JWT", "kid": kid, **header}
    head = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    payload = said if isinstance(said, bytes) else json.dumps(claims() if said is None else said).encode()
    signed = f"{b64(head)}.{b64(payload)}".encode()
    return signed + b"." + b64(sign(alg, key, signed)).encode()


def oauthbearer(login: str, access_token: bytes) -> bytes:
    return b"n,a=%b,\x01host=localhost\x01port=993\x01auth=Bearer %b\x01\x01" % (login.encode(), access_token)


def xoauth2(login: str, access_token: bytes) -> bytes:
    return b"user=%b\x01auth=Bearer %b\x01\x01" % (login.encode(), access_token)
