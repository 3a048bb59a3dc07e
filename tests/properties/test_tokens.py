"""Tokens and key sets from anybody: only Malformed and Denied escape, and no changed octet of a good token is taken."""

import contextlib
import json
from datetime import UTC, datetime, timedelta

from harness.tokens import AUDIENCE, CLAIM, ISSUER, b64, claims, jwk, jwk_set, rsa_key, token
from hypothesis import given
from hypothesis import strategies as st

from mailserver.crypto.jose import parse_json_object, parse_jwk_set, parse_token
from mailserver.crypto.tokens import IntrospectionCheck, JwtCheck, KeySource, TokenPolicy
from mailserver.model.errors import Denied, Malformed, Unavailable

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
POLICY = TokenPolicy(ISSUER, frozenset({AUDIENCE}), CLAIM, timedelta(minutes=5))
CHECK = JwtCheck(POLICY, KeySource(jwk_set))
GOOD = [token(claims(NOW.timestamp()), alg=alg) for alg in ("RS256", "PS256", "ES256")]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
header_names = st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "x5t"]) | st.text(max_size=5)
claim_names = st.sampled_from(["iss", "aud", "azp", "exp", "iat", "nbf", CLAIM, "active", "client_id"])
key_names = st.sampled_from(["kty", "n", "e", "x", "y", "crv", "use", "alg", "key_ops", "kid"])


@given(st.sampled_from(GOOD), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_no_changed_octet_is_taken(raw: bytes, at: int, mask: int) -> None:
    at %= len(raw)
    changed = raw[:at] + bytes([raw[at] ^ mask]) + raw[at + 1 :]
    with contextlib.suppress(Denied):
        CHECK.check(changed, NOW)
        raise AssertionError("taken")


@given(st.sampled_from(GOOD), st.integers(min_value=0), st.binary(max_size=8), st.integers(0, 3))
def test_nothing_put_in_or_cut_out_is_taken(raw: bytes, at: int, more: bytes, cut: int) -> None:
    at %= len(raw)
    changed = raw[:at] + more + raw[at + cut :]
    if changed != raw:
        with contextlib.suppress(Denied):
            CHECK.check(changed, NOW)
            raise AssertionError("taken")


@given(st.binary(max_size=200))
def test_any_octets(octets: bytes) -> None:
    for parse in (parse_token, parse_jwk_set, parse_json_object):
        with contextlib.suppress(Malformed):
            parse(octets)


@given(st.dictionaries(header_names, values, max_size=5))
def test_any_header(header: dict[str, object]) -> None:
    raw = f"{b64(json.dumps(header).encode())}.{b64(b'{}')}.{b64(b'x')}".encode()
    with contextlib.suppress(Malformed):
        parse_token(raw)


@given(st.dictionaries(claim_names, values, max_size=6))
def test_any_signed_claims(changed: dict[str, object]) -> None:
    with contextlib.suppress(Denied):
        CHECK.check(token({**claims(NOW.timestamp()), **changed}, alg="ES256"), NOW)


@given(st.dictionaries(claim_names, values, max_size=6) | st.binary(max_size=50))
def test_any_answer_about_a_token(answer: dict[str, object] | bytes) -> None:
    octets = answer if isinstance(answer, bytes) else json.dumps({"active": True, **answer}).encode()
    with contextlib.suppress(Denied, Unavailable):
        IntrospectionCheck(POLICY, lambda _token: octets).check(b"opaque", NOW)


@given(st.dictionaries(key_names, values, max_size=5))
def test_any_key(changed: dict[str, object]) -> None:
    fields = {**jwk(rsa_key(), "rsa"), **changed}
    with contextlib.suppress(Malformed):
        parse_jwk_set(json.dumps({"keys": [fields]}).encode())
