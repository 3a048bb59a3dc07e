"""What mail clients say with a token or a certificate, octet by octet."""

import json

import pytest
from harness.tokens import oauthbearer, xoauth2
from hypothesis import given
from hypothesis import strategies as st

from mailserver.model.errors import Malformed
from mailserver.service.sasl import (
    Mechanism,
    TokenAdvice,
    TokenLogin,
    format_token_refusal,
    parse_external,
    parse_token_login,
)

BEARER, GOOGLE = Mechanism.OAUTHBEARER, Mechanism.XOAUTH2
SAID = TokenLogin("camille@a.example", b"ab.c-_~+/==")

GOOD = {
    "as RFC 7628 §4.1 writes it": (BEARER, oauthbearer(SAID.login, SAID.token)),
    "without host and port": (BEARER, b"n,a=camille@a.example,\x01auth=Bearer ab.c-_~+/==\x01\x01"),
    "in small letters": (BEARER, b"n,a=camille@a.example,\x01auth=bearer ab.c-_~+/==\x01\x01"),
    "a client that could bind channels": (
        BEARER,
        b"y,a=camille@a.example,\x01auth=Bearer  ab.c-_~+/==\x01\x01",
    ),
    "as Google writes it": (GOOGLE, xoauth2(SAID.login, SAID.token)),
    "with more keys": (GOOGLE, b"user=camille@a.example\x01vendor=x y\x01auth=Bearer ab.c-_~+/==\x01\x01"),
}


@pytest.mark.parametrize("name", GOOD)
def test_good(name):
    assert parse_token_login(*GOOD[name]) == SAID


def test_names_with_commas():
    said = b"n,a=a=2Cb=3Dc@a.example,\x01auth=Bearer t\x01\x01"
    assert parse_token_login(BEARER, said).login == "a,b=c@a.example"


def test_nothing_is_shown():
    assert repr(SAID) == "TokenLogin(…)"


BAD = {
    "nothing": (BEARER, b""),
    "the answer to a refusal": (BEARER, b"\x01"),
    "no name": (BEARER, b"n,,\x01auth=Bearer t\x01\x01"),
    "an empty name": (BEARER, b"n,a=,\x01auth=Bearer t\x01\x01"),
    "channel binding": (BEARER, b"p=tls-unique,a=a@b.example,\x01auth=Bearer t\x01\x01"),
    "no header": (BEARER, b"a=a@b.example,\x01auth=Bearer t\x01\x01"),
    "name badly written": (BEARER, b"n,a=a=2cb@b.example,\x01auth=Bearer t\x01\x01"),
    "name not UTF-8": (BEARER, b"n,a=\xff,\x01auth=Bearer t\x01\x01"),
    "name too long": (BEARER, b"n,a=%b,\x01auth=Bearer t\x01\x01" % (b"a" * 1025)),
    "no token": (BEARER, b"n,a=a@b.example,\x01host=x\x01\x01"),
    "an empty token": (BEARER, b"n,a=a@b.example,\x01auth=Bearer \x01\x01"),
    "another scheme": (BEARER, b"n,a=a@b.example,\x01auth=Basic dDp0\x01\x01"),
    "two tokens": (BEARER, b"n,a=a@b.example,\x01auth=Bearer t\x01auth=Bearer u\x01\x01"),
    "token with a space": (BEARER, b"n,a=a@b.example,\x01auth=Bearer t u\x01\x01"),
    "token too long": (BEARER, oauthbearer("a@b.example", b"t" * 8193)),
    "not ended": (BEARER, b"n,a=a@b.example,\x01auth=Bearer t\x01"),
    "something behind": (BEARER, b"n,a=a@b.example,\x01auth=Bearer t\x01\x01x"),
    "a pair without a name": (BEARER, b"n,a=a@b.example,\x01=x\x01auth=Bearer t\x01\x01"),
    "a NUL": (BEARER, b"n,a=a@b.example,\x01host=\0\x01auth=Bearer t\x01\x01"),
    "Google's, no user": (GOOGLE, b"auth=Bearer t\x01\x01"),
    "Google's, user empty": (GOOGLE, b"user=\x01auth=Bearer t\x01\x01"),
    "Google's, not ended": (GOOGLE, b"user=a@b.example\x01auth=Bearer t\x01"),
    "Google's, no token": (GOOGLE, b"user=a@b.example\x01\x01"),
    "the other's form": (GOOGLE, oauthbearer("a@b.example", b"t")),
    "EXTERNAL has no token": (Mechanism.EXTERNAL, b"user=a@b.example\x01auth=Bearer t\x01\x01"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad(name):
    with pytest.raises(Malformed) as caught:
        parse_token_login(*BAD[name])
    assert (caught.value.code, caught.value.detail) == ("auth-syntax", "")


@given(st.sampled_from([BEARER, GOOGLE]), st.binary(max_size=80))
def test_only_malformed_escapes(mechanism, octets):
    with pytest.raises(Malformed):
        parse_token_login(mechanism, octets)


def test_external():
    assert parse_external(b"") == ""
    assert parse_external(b"robot@a.example") == "robot@a.example"
    for octets in (b"\0", b"\xff", b"x" * 1025):
        with pytest.raises(Malformed):
            parse_external(octets)


def test_what_a_refused_client_is_told():
    advice = TokenAdvice("openid", "https://login.example/.well-known/openid-configuration")
    more = {"scope": advice.scope, "openid-configuration": advice.configuration_url}
    assert json.loads(format_token_refusal(BEARER, advice)) == {"status": "invalid_token", **more}
    assert json.loads(format_token_refusal(GOOGLE, advice)) == {"status": "401", "schemes": "bearer", **more}
    assert json.loads(format_token_refusal(BEARER, TokenAdvice())) == {"status": "invalid_token"}
