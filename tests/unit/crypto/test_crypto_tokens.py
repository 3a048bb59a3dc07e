"""Access tokens: one line for each forgery, and what the issuer's keys and answers may be."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from harness.tokens import (
    AUDIENCE,
    CLAIM,
    ISSUER,
    RPPS,
    b64,
    claims,
    ec_key,
    jwk,
    jwk_set,
    rsa_key,
    sign,
    token,
)

from mailserver.crypto.jose import decode_base64url, parse_json_object, parse_jwk_set, parse_token
from mailserver.crypto.tokens import (
    FETCH_PAUSE,
    KEYS_FRESH,
    KEYS_KEPT,
    SILENCE,
    Holder,
    IntrospectionCheck,
    JwtCheck,
    KeySource,
    TokenPolicy,
)
from mailserver.model.errors import Denied, Malformed, Unavailable

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
AT = int(NOW.timestamp())
POLICY = TokenPolicy(ISSUER, frozenset({AUDIENCE}), CLAIM, timedelta(minutes=5))
GOOD = Holder(ISSUER, RPPS)


def said(**more: object) -> dict[str, object]:
    return claims(AT, **more)


def check(raw: bytes, *, keys: bytes | None = None, policy: TokenPolicy = POLICY) -> Holder:
    return JwtCheck(policy, KeySource(lambda: keys or jwk_set())).check(raw, NOW)


GOOD_TOKENS = {
    "RS256": lambda: token(said()),
    "PS256": lambda: token(said(), alg="PS256"),
    "ES256": lambda: token(said(), alg="ES256"),
    "access token's own type": lambda: token(said(), typ="at+jwt"),
    "no type": lambda: token(said(), typ=None),
    "audience as one text": lambda: token(said(aud=AUDIENCE)),
    "audience among others": lambda: token(said(aud=["account", AUDIENCE], azp="other")),
    "our clock a little late": lambda: token(said(iat=AT + 55, nbf=AT + 55, exp=AT + 300)),
    "our clock a little early": lambda: token(said(iat=AT - 300, exp=AT - 55)),
    "fractions": lambda: token(said(iat=AT + 0.5, exp=AT + 200.5)),
    "the longest life": lambda: token(said(iat=AT, exp=AT + 300)),
}


@pytest.mark.parametrize("name", GOOD_TOKENS)
def test_good(name):
    assert check(GOOD_TOKENS[name]()) == GOOD


OF_OUR_CLIENT = replace(POLICY, clients=frozenset({"mail-client"}))


@pytest.mark.parametrize(
    ("names", "is_taken"),
    [
        ({"azp": "mail-client"}, True),
        ({"client_id": "mail-client"}, True),
        ({"azp": "other", "client_id": "mail-client"}, False),
        ({"azp": ["mail-client"]}, False),
        ({"azp": None}, False),
        ({"azp": "other"}, False),
        ({"azp": "mail-client", "aud": "other"}, False),
    ],
)
def test_clients_narrow_what_the_audience_allows(names, is_taken):
    checks = (
        lambda: check(token(said(**names)), policy=OF_OUR_CLIENT),
        lambda: introspect(active(**names), policy=OF_OUR_CLIENT),
    )
    for each in checks:
        if is_taken:
            assert each() == GOOD
        else:
            with pytest.raises(Denied) as caught:
                each()
            assert caught.value.code == ("token-audience" if "aud" in names else "token-client")


def flipped(raw: bytes, at: int) -> bytes:
    """Another letter of the alphabet there."""
    return raw[:at] + (b"B" if raw[at : at + 1] == b"A" else b"A") + raw[at + 1 :]


def resigned(signature: bytes) -> bytes:
    head, _, _ = token(said(), alg="ES256").rpartition(b".")
    return head + b"." + b64(signature).encode()


def padded(size: int) -> bytes:
    return token(said(filling="x" * size))


FORGERIES = {
    "alg none": (lambda: token(said(), alg="none"), "token-form"),
    "alg None, signed": (lambda: token(said(), alg="None"), "token-form"),
    "no alg": (lambda: _with_header({"kid": "rsa"}), "token-form"),
    "HS256 with the public key": (lambda: token(said(), alg="HS256"), "token-form"),
    "RS384": (lambda: token(said(), alg="RS384"), "token-form"),
    "alg in a list": (lambda: _with_header({"alg": ["RS256"]}), "token-form"),
    "RS256 said of a P-256 key": (lambda: _with_header({"alg": "RS256", "kid": "ec"}), "token-signature"),
    "ES256 said of an RSA key": (lambda: _with_header({"alg": "ES256", "kid": "rsa"}), "token-signature"),
    "PS256 said, PKCS 1 signed": (lambda: _with_header({"alg": "PS256", "kid": "rsa"}), "token-signature"),
    "unknown kid": (lambda: token(said(), kid="other"), "token-signature"),
    "no kid and two keys": (lambda: token(said(), kid=None), "token-signature"),
    "kid a number": (lambda: token(said(), kid=7), "token-form"),
    "kid too long": (lambda: token(said(), kid="k" * 257), "token-form"),
    "another's key": (lambda: token(said(), key=rsa_key("stranger")), "token-signature"),
    "key in the header": (lambda: token(said(), jwk=jwk(rsa_key("stranger"), "rsa")), "token-form"),
    "keys elsewhere": (lambda: token(said(), jku="https://evil.example/keys"), "token-form"),
    "certificate in the header": (lambda: token(said(), x5c=["AAAA"]), "token-form"),
    "crit": (lambda: token(said(), crit=["exp"]), "token-form"),
    "b64 false": (lambda: token(said(), b64=False), "token-form"),
    "an id token": (lambda: token(said(), typ="ID"), "token-form"),
    "another issuer": (lambda: token(said(iss="https://evil.example")), "token-issuer"),
    "issuer with a slash more": (lambda: token(said(iss=ISSUER + "/")), "token-issuer"),
    "no issuer": (lambda: token(said(iss=None)), "token-issuer"),
    "another audience": (lambda: token(said(aud="other")), "token-audience"),
    "no audience": (lambda: token(said(aud=None)), "token-audience"),
    "audience an object": (lambda: token(said(aud={AUDIENCE: 1})), "token-audience"),
    "ours as the client alone": (lambda: token(said(aud="account", azp=AUDIENCE)), "token-audience"),
    "ours as client_id alone": (lambda: token(said(aud=["account"], client_id=AUDIENCE)), "token-audience"),
    "audiences in a list of a list": (lambda: token(said(aud=[[AUDIENCE]])), "token-audience"),
    "no audience in the list": (lambda: token(said(aud=[])), "token-audience"),
    "audience within a text": (lambda: token(said(aud=f"{AUDIENCE} other")), "token-audience"),
    "over": (lambda: token(said(iat=AT - 300, exp=AT - 60)), "token-time"),
    "not yet": (lambda: token(said(nbf=AT + 61)), "token-time"),
    "issued in the future": (lambda: token(said(iat=AT + 61, exp=AT + 300)), "token-time"),
    "lives too long": (lambda: token(said(exp=AT + 301)), "token-lifetime"),
    "ends before it begins": (lambda: token(said(iat=AT + 30, exp=AT + 20)), "token-lifetime"),
    "no end": (lambda: token(said(exp=None)), "token-time"),
    "no beginning": (lambda: token(said(iat=None)), "token-time"),
    "end as a text": (lambda: token(said(exp=str(AT + 60))), "token-time"),
    "end true": (lambda: token(said(exp=True)), "token-time"),
    "end infinite": (lambda: token(json.dumps(said()).encode().replace(str(AT + 240).encode(), b"1e999")), "token-time"),
    "end beyond numbers": (lambda: token(said(exp=10**400)), "token-time"),
    "end not a number": (lambda: token(json.dumps(said(exp=float("nan"))).encode()), "token-form"),
    "no person": (lambda: token(said(**{CLAIM: None})), "token-subject"),
    "person empty": (lambda: token(said(**{CLAIM: ""})), "token-subject"),
    "person a number": (lambda: token(said(**{CLAIM: 899700000001})), "token-subject"),
    "person with a line end": (lambda: token(said(**{CLAIM: RPPS + "\n"})), "token-subject"),
    "claim twice": (lambda: token(json.dumps(said()).encode()[:-1] + b', "iss": "%b"}' % ISSUER.encode()), "token-form"),
    "header twice": (lambda: _with_raw_header(b'{"alg":"none","alg":"RS256","kid":"rsa"}'), "token-form"),
    "payload no object": (lambda: token(b"[]"), "token-form"),
    "payload not UTF-8": (lambda: token(b'{"iss":"\xff"}'), "token-form"),
    "payload deep": (lambda: token(b'{"a":' * 9 + b"1" + b"}" * 9), "token-form"),
    "payload deeper than Python": (lambda: token(b"[" * 1000), "token-form"),
    "something behind the payload": (lambda: token(json.dumps(said()).encode() + b"{}"), "token-form"),
    "something behind the token": (lambda: token(said()) + b".AAAA", "token-form"),
    "a space behind": (lambda: token(said()) + b" ", "token-form"),
    "padding": (lambda: token(said()) + b"==", "token-form"),
    "two parts": (lambda: token(said()).rpartition(b".")[0], "token-form"),
    "no signature": (lambda: token(said()).rpartition(b".")[0] + b".", "token-form"),
    "no octets": (lambda: b"", "token-form"),
    "too long": (lambda: padded(8000), "token-form"),
    "header's bit flipped": (lambda: flipped(token(said()), 4), "token-form"),
    "payload's bit flipped": (lambda: flipped(token(said()), token(said()).find(b".") + 20), "token-signature"),
    "signature's bit flipped": (lambda: flipped(token(said()), -20), "token-signature"),
    "signature of zeros": (lambda: resigned(bytes(64)), "token-signature"),
    "signature in DER": (lambda: resigned(b"\x30\x44" + bytes(68)), "token-signature"),
    "signature short": (lambda: resigned(bytes(63)), "token-signature"),
}  # fmt: skip


def _with_raw_header(head: bytes) -> bytes:
    signed = f"{b64(head)}.{b64(json.dumps(said()).encode())}".encode()
    return signed + b"." + b64(sign("RS256", rsa_key(), signed)).encode()


def _with_header(fields: dict[str, object]) -> bytes:
    return _with_raw_header(json.dumps(fields).encode())


@pytest.mark.parametrize("name", FORGERIES)
def test_forgery(name):
    make, code = FORGERIES[name]
    keys = jwk_set(jwk(rsa_key(), "rsa"), jwk(ec_key(), "ec"), jwk(rsa_key("second"), "rsa2"))
    with pytest.raises(Denied) as caught:
        check(make(), keys=keys)
    assert (caught.value.code, caught.value.detail) == (code, "")


def test_no_key_id_is_enough_when_one_key_fits():
    assert check(token(said(), kid=None)) == GOOD


def test_every_flipped_letter_of_a_signature_is_refused():
    raw = token(said(), alg="ES256")
    for at in range(raw.rfind(b".") + 1, len(raw)):
        with pytest.raises(Denied):
            check(flipped(raw, at))


def test_the_set_binds_an_algorithm():
    keys = jwk_set(jwk(rsa_key(), "rsa", alg="PS256"))
    assert check(token(said(), alg="PS256"), keys=keys) == GOOD
    with pytest.raises(Denied):
        check(token(said()), keys=keys)


@pytest.mark.parametrize(
    "more",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "HS256"},
        {"alg": ["RS256"]},
        {"kid": 3},
    ],
)
def test_keys_for_other_uses_are_passed_over(more):
    assert parse_jwk_set(jwk_set(jwk(rsa_key(), "rsa", **more))) == ()


BAD_SETS = {
    "no JSON": b"keys",
    "no list": b'{"keys": {}}',
    "no keys": b"{}",
    "a text": b'{"keys": ["x"]}',
    "a key id twice": jwk_set(jwk(ec_key(), "a"), jwk(ec_key("b"), "a")),
    "many": json.dumps({"keys": [{"kty": "oct"}] * 65}).encode(),
    "even exponent": jwk_set(jwk(rsa_key(), "rsa", e="AAEAAA")),
    "modulus missing": json.dumps({"keys": [{"kty": "RSA", "e": "AQAB"}]}).encode(),
    "modulus short": jwk_set(jwk(rsa_key(), "rsa", n=b64(b"\xff" * 128))),
    "modulus long": jwk_set(jwk(rsa_key(), "rsa", n=b64(b"\xff" * 2048))),
    "modulus padded": jwk_set(jwk(rsa_key(), "rsa", n="AA==")),
    "off the curve": jwk_set(jwk(ec_key(), "ec", y=b64(bytes(32)))),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_bad_key_set(name):
    with pytest.raises(Malformed) as caught:
        parse_jwk_set(BAD_SETS[name])
    assert caught.value.code == "jwk-set"


@pytest.mark.parametrize("text", [b"", b"A", b"AA=", b"A+A/", b"AB", b"A A", b"AA\n"])
def test_base64url_has_one_form(text):
    with pytest.raises(Malformed):
        decode_base64url(text)


def test_json_has_one_reading():
    assert parse_json_object(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}
    for raw in (b'{"a": 1, "a": 1}', b'{"a": NaN}', b'{"a": 1} x', b"1", b"", b'{"a": ' + b"[" * 2000):
        with pytest.raises(Malformed):
            parse_json_object(raw)


def test_nothing_of_a_token_is_shown():
    raw = token(said())
    assert RPPS not in repr(check(raw))
    assert parse_token(raw).kid == "rsa"


class Fetch:
    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.count = 0

    def __call__(self, *_arguments: bytes) -> bytes:
        self.count += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


AWAY = Unavailable("token-issuer")


def test_keys_are_fetched_when_needed():
    fetch = Fetch(jwk_set(jwk(ec_key(), "ec")), jwk_set())
    source = KeySource(fetch)
    for _again in range(3):
        assert len(source.keys_for("ec", NOW)) == 1
    assert fetch.count == 1
    source.keys_for("rsa", NOW)  # unknown, but a fetch has just been
    assert fetch.count == 1
    assert len(source.keys_for("rsa", NOW + FETCH_PAUSE)) == 2
    assert fetch.count == 2
    for second in range(50):  # made-up key ids fetch nothing
        source.keys_for(f"made up {second}", NOW + FETCH_PAUSE + timedelta(seconds=second))
    assert fetch.count == 2
    source.keys_for("ec", NOW + FETCH_PAUSE + KEYS_FRESH + timedelta(seconds=1))
    assert fetch.count == 3


def test_a_key_that_was_withdrawn_ends():
    source = KeySource(Fetch(jwk_set(), jwk_set(jwk(ec_key(), "ec"))))
    checker = JwtCheck(POLICY, source)
    assert checker.check(token(said()), NOW) == GOOD
    later = NOW + KEYS_FRESH + timedelta(seconds=1)
    with pytest.raises(Denied):
        checker.check(token(claims(later.timestamp())), later)


@pytest.mark.parametrize("answer", [AWAY, b"nonsense"])
def test_the_issuer_is_away(answer):
    fetch = Fetch(answer)
    for _again in range(3):
        source = KeySource(fetch)
        with pytest.raises(Unavailable) as caught:
            source.keys_for("rsa", NOW)
        assert caught.value.code == "token-issuer"


def test_the_last_good_keys_go_on_for_a_while():
    source = KeySource(Fetch(jwk_set(), AWAY))
    source.keys_for("rsa", NOW)
    assert source.keys_for("rsa", NOW + KEYS_KEPT)
    with pytest.raises(Unavailable):
        source.keys_for("rsa", NOW + KEYS_KEPT + timedelta(seconds=1))


# --- tokens that the issuer is asked about ----------------------------------------------------------------------


def introspect(answer: object, raw: bytes = b"opaque", policy: TokenPolicy = POLICY) -> Holder:
    octets = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return IntrospectionCheck(policy, lambda _token: octets).check(raw, NOW)


def active(**more: object) -> dict[str, object]:
    return {"active": True, **said(**more)}


@pytest.mark.parametrize(
    "answer",
    [
        active(),
        active(iss=None),
        active(aud=AUDIENCE, client_id="any"),
        active(exp=AT + 9000),
        active(iat=None),
    ],
)
def test_active(answer):
    assert introspect(answer) == GOOD


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"active": False}, "token-inactive"),
        ({}, "token-inactive"),
        ({**active(), "active": "true"}, "token-inactive"),
        ({**active(), "active": 1}, "token-inactive"),
        (active(iss="https://evil.example"), "token-issuer"),
        (active(aud="other", client_id="other"), "token-audience"),
        (active(aud=None, client_id=AUDIENCE), "token-audience"),
        (active(aud="other", azp=AUDIENCE), "token-audience"),
        (active(exp=AT - 60), "token-time"),
        (active(exp=None), "token-time"),
        (active(nbf=AT + 61), "token-time"),
        (active(**{CLAIM: None}), "token-subject"),
    ],
)
def test_not_active(answer, code):
    with pytest.raises(Denied) as caught:
        introspect(answer)
    assert caught.value.code == code


@pytest.mark.parametrize("raw", [b"", b"x" * 8193])
def test_what_is_not_asked_about(raw):
    with pytest.raises(Denied):
        introspect(active(), raw)


@pytest.mark.parametrize("answer", [AWAY, b"<html>", b"[]"])
def test_an_issuer_that_does_not_answer_is_left_alone(answer):
    ask = Fetch(answer)
    checker = IntrospectionCheck(POLICY, ask)
    for second in range(5):
        with pytest.raises(Unavailable) as caught:
            checker.check(b"opaque", NOW + timedelta(seconds=second))
        assert caught.value.code == "token-issuer"
    assert ask.count == 1
    with pytest.raises(Unavailable):
        checker.check(b"opaque", NOW + SILENCE)
    assert ask.count == 2
