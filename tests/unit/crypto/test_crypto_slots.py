"""Slots: headers, secrets, passwords and app passwords."""

import hashlib

import pytest

from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret
from mailserver.crypto.slots import (
    ARGON2_DEFAULT,
    ARGON2_FLOOR,
    Argon2Parameters,
    SlotHeader,
    SlotKdf,
    SlotKind,
    SlotScope,
    app_password_secret,
    format_slot_header,
    new_app_password,
    open_slot,
    open_slot_with,
    parse_app_password,
    parse_slot_header,
    password_secret,
    seal_slot,
    seal_slot_to,
    slot_payload,
)
from mailserver.model.errors import Corrupt, Denied, Malformed, Unavailable

ACCOUNT = b"\x11" * 16
SLOT = b"\x22" * 16
SALT = b"\x33" * 16
SECRET = Secret(b"s" * 20)
APP = SlotHeader(ACCOUNT, SLOT, SlotKind.APP_PASSWORD, SlotScope.IMAP_SMTP, SALT)
PASSWORD = SlotHeader(ACCOUNT, SLOT, SlotKind.PASSWORD, SlotScope.WEB, SALT, ARGON2_FLOOR)
CUSTODY = SlotHeader(ACCOUNT, SLOT, SlotKind.CUSTODY, SlotScope.CUSTODY, SALT)
PAIR = KeyPair.from_seed(Secret(bytes(32)))


def harden(value):
    return hashlib.sha256(b"custodian" + value).digest()


@pytest.mark.parametrize(
    ("kind", "kdf"),
    [
        (SlotKind.PASSWORD, SlotKdf.ARGON2ID),
        (SlotKind.APP_PASSWORD, SlotKdf.HKDF),
        (SlotKind.RECOVERY, SlotKdf.HKDF),
        (SlotKind.CUSTODY, SlotKdf.HPKE),
        (SlotKind.MEMBER, SlotKdf.HPKE),
    ],
)
def test_header_round_trip(kind, kdf):
    argon2 = ARGON2_DEFAULT if kind is SlotKind.PASSWORD else None
    header = SlotHeader(ACCOUNT, SLOT, kind, SlotScope.WEB, SALT, argon2)
    assert header.kdf is kdf
    assert parse_slot_header(format_slot_header(header)) == header


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"",
        lambda raw: raw[:-1],
        lambda raw: raw[:40],
        lambda raw: raw + b"x",
        lambda raw: raw + bytes(300),
        lambda raw: raw.replace(b"app-password", b"app-passworx"),
        lambda raw: raw.replace(b"app-password", b"\xff" * 12),
        lambda raw: raw.replace(b"imap+smtp", b"imap+pop3"),
        lambda raw: raw.replace(b"hkdf-sha256", b"hkdf-sha512"),
        lambda raw: raw.replace(bytes(24), bytes(23) + b"\1"),
        lambda raw: raw.replace(b"pli/1/", b"pli/2/"),
    ],
)
def test_header_refuses(change):
    with pytest.raises(Malformed) as caught:
        parse_slot_header(change(format_slot_header(APP)))
    assert caught.value.code == "slot-header"


@pytest.mark.parametrize(
    "change",
    [{"account": b""}, {"slot": b""}, {"salt": b""}, {"argon2": ARGON2_FLOOR}, {"kind": SlotKind.PASSWORD}],
)
def test_header_values(change):
    fields = {
        "account": ACCOUNT,
        "slot": SLOT,
        "kind": SlotKind.RECOVERY,
        "scope": SlotScope.WEB,
        "salt": SALT,
    }
    with pytest.raises(Malformed) as caught:
        SlotHeader(**(fields | change))
    assert caught.value.code == "slot-header"


@pytest.mark.parametrize(
    "parameters",
    [
        (19 * 1024 - 1, 2, 1),
        (19 * 1024, 1, 1),
        (19 * 1024, 2, 0),
        (2**21, 2, 1),
        (19 * 1024, 17, 1),
        (19 * 1024, 2, 5),
    ],
)
def test_parameters_out_of_bounds(parameters):
    with pytest.raises(Malformed) as caught:
        Argon2Parameters(*parameters)
    assert caught.value.code == "slot-parameters"


def test_stored_parameters_under_the_floor():
    raw = format_slot_header(PASSWORD)
    weak = raw.replace((19 * 1024).to_bytes(8, "big"), (1024).to_bytes(8, "big"))
    with pytest.raises(Malformed) as caught:
        open_slot(weak, bytes(100), SECRET)
    assert caught.value.code == "slot-parameters"


def test_slot_round_trip_and_empty_payload():
    raw = format_slot_header(APP)
    for payload in (b"", b"k" * 32):
        body = seal_slot(APP, SECRET, payload)
        assert len(body) == len(payload) + 28 + 32
        assert open_slot(raw, body, SECRET) == payload


def test_slot_refusals():
    raw, body = format_slot_header(APP), seal_slot(APP, SECRET, b"key")
    smtp = SlotHeader(ACCOUNT, SLOT, SlotKind.APP_PASSWORD, SlotScope.SMTP, SALT)
    refused = [
        (raw, body, Secret(b"t" * 20), Denied, "slot-secret"),
        (format_slot_header(smtp), body, SECRET, Denied, "slot-secret"),
        (raw, body[:-1] + bytes([body[-1] ^ 1]), SECRET, Denied, "slot-secret"),
        (raw, bytes([body[0] ^ 1]) + body[1:], SECRET, Corrupt, "slot-body"),
        (raw, body[-59:], SECRET, Corrupt, "slot-body"),
    ]
    for header, stored, secret, kind, code in refused:
        with pytest.raises(kind) as caught:
            open_slot(header, stored, secret)
        assert caught.value.code == code


def test_slot_to_a_pair():
    raw, body = format_slot_header(CUSTODY), seal_slot_to(CUSTODY, PAIR.public, b"amk")
    assert open_slot_with(raw, body, PAIR) == b"amk"
    with pytest.raises(Corrupt) as caught:
        open_slot_with(raw.replace(ACCOUNT, SALT), body, PAIR)
    assert caught.value.code == "unseal"
    with pytest.raises(Malformed) as refused:
        open_slot_with(b"", body, PAIR)
    assert refused.value.code == "slot-header"


def test_each_kind_has_one_way():
    with pytest.raises(ValueError):
        seal_slot(CUSTODY, SECRET, b"")
    with pytest.raises(ValueError):
        seal_slot_to(APP, PAIR.public, b"")
    with pytest.raises(ValueError):
        password_secret(APP, "word", harden)


def test_payload_follows_the_scope():
    keys = AccountKeys(Secret(bytes(32)))
    assert slot_payload(keys, SlotScope.WEB) == slot_payload(keys, SlotScope.CUSTODY) == bytes(32)
    assert slot_payload(keys, SlotScope.IMAP) == keys.mail.secret.reveal()
    assert slot_payload(keys, SlotScope.IMAP_SMTP) == keys.mail.secret.reveal()
    assert slot_payload(keys, SlotScope.SMTP) == b""
    space = keys.space.secret.reveal()
    assert slot_payload(keys, SlotScope.API) == slot_payload(keys, SlotScope.LOG) == space


def test_password():
    secret = password_secret(PASSWORD, "caf\u00e9", harden)
    assert len(secret.reveal()) == 64
    assert secret == password_secret(PASSWORD, "cafe\u0301", harden)
    assert secret != password_secret(PASSWORD, "cafe", harden)
    assert secret.reveal()[32:] != password_secret(PASSWORD, "caf\u00e9", bytes).reveal()[32:]


@pytest.mark.parametrize("password", ["", "x" * 1025, "\ud800"])
def test_password_that_nobody_has(password):
    with pytest.raises(Denied) as caught:
        password_secret(PASSWORD, password, harden)
    assert caught.value.code == "slot-secret"


def test_a_custodian_that_answers_nonsense():
    with pytest.raises(Unavailable) as caught:
        password_secret(PASSWORD, "word", lambda _value: b"")
    assert caught.value.code == "custodian"


def test_app_password():
    text = new_app_password()
    assert [len(group) for group in text.split("-")] == [5] * 8
    parsed = parse_app_password(text)
    assert parsed.tag == text.replace("-", "")[:8]
    assert len(parsed.secret.reveal()) * 8 == 160
    assert app_password_secret(text) == parsed.secret
    for typed in (
        text.upper(),
        text.replace("-", " "),
        text.replace("-", ""),
        f" {text}\n",
        text.replace("-", "\u2013"),
    ):
        assert parse_app_password(typed) == parsed
    assert new_app_password() != text
    assert parsed.secret.reveal().hex() not in repr(parsed)


@pytest.mark.parametrize("text", ["", "a" * 39, "a" * 41, "a" * 39 + "1", "é" * 40, "a" * 10_000])
def test_app_password_refuses(text):
    with pytest.raises(Malformed) as caught:
        parse_app_password(text)
    assert caught.value.code == "app-password"
