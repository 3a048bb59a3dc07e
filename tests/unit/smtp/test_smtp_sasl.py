"""PLAIN and LOGIN, challenge by challenge."""

import base64

import pytest

from mailserver.model.errors import Malformed
from mailserver.smtp.sasl import Credentials, Exchange


def b64(octets):
    return base64.b64encode(octets)


def test_plain():
    exchange = Exchange("PLAIN")
    assert exchange.challenge == b""
    said = exchange.take(b64("\0camille@a.example\0pàss".encode()))
    assert said == Credentials("camille@a.example", "pàss")
    assert "camille" not in repr(said)


def test_plain_for_oneself():
    assert Exchange("PLAIN").take(b64(b"a@b.example\0a@b.example\0x")) == Credentials("a@b.example", "x")


def test_login():
    exchange = Exchange("LOGIN")
    assert base64.b64decode(exchange.challenge) == b"Username:"
    assert exchange.take(b64(b"a@b.example")) is None
    assert base64.b64decode(exchange.challenge) == b"Password:"
    assert exchange.take(b64(b"x")) == Credentials("a@b.example", "x")


@pytest.mark.parametrize(
    ("response", "code"),
    [
        (b"*", "auth-cancelled"),
        (b"=", "auth-syntax"),
        (b"", "auth-syntax"),
        (b"@@@@", "auth-syntax"),
        (b"AGE", "auth-syntax"),
        (b64(b"\0a"), "auth-syntax"),
        (b64(b"\0a\0b\0c"), "auth-syntax"),
        (b64(b"other\0a\0b"), "auth-syntax"),
        (b64(b"\0\xff\0b"), "auth-syntax"),
    ],
)
def test_plain_refused(response, code):
    with pytest.raises(Malformed) as caught:
        Exchange("PLAIN").take(response)
    assert caught.value.code == code


@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "SCRAM-SHA-256", "plain", ""])
def test_unknown_mechanism(mechanism):
    with pytest.raises(Malformed) as caught:
        Exchange(mechanism)
    assert caught.value.code == "mechanism-unknown"
