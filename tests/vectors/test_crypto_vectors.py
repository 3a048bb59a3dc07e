"""Frozen formats: what these vectors hold, every release makes or opens byte for byte."""

import hashlib
import json
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailserver.crypto.blob import Decryptor, Encryptor, decrypt_blob
from mailserver.crypto.ctx import Raw, ctx
from mailserver.crypto.hkdf import derive, mac, row_mac
from mailserver.crypto.log_keys import LogSigningKeys, verify_log_signatures
from mailserver.crypto.roots import AccountKeys
from mailserver.crypto.seal import KeyPair
from mailserver.crypto.secret import Secret
from mailserver.crypto.sessions import open_session
from mailserver.crypto.slots import (
    app_password_secret,
    open_slot,
    open_slot_with,
    parse_slot_header,
    password_secret,
)
from mailserver.crypto.wrap import unwrap
from mailserver.model.errors import Corrupt

FOLDER = Path(__file__).parent / "crypto"
C2SP = json.loads((FOLDER / "c2sp_chunked_encryption_aes_256_gcm_test.json").read_text())["testGroups"][0][
    "tests"
]
CTX = json.loads((FOLDER / "ctx.json").read_text())
FORMATS = json.loads((FOLDER / "formats.json").read_text())
KEY = Secret(bytes(range(32)))
ACCOUNT = b"\x11" * 16
OTHER = b"\x22" * 16


def raw(name):
    return bytes.fromhex(FORMATS[name])


def _field(spec):
    match spec:
        case {"id": value}:
            return bytes.fromhex(value)
        case {"raw": value}:
            return Raw(bytes.fromhex(value))
        case {"int": value} | {"str": value}:
            return value


@pytest.mark.parametrize("vector", CTX, ids=lambda v: v["label"])
def test_ctx(vector):
    assert ctx(vector["label"], *map(_field, vector["fields"])).hex() == vector["bytes"]


def _decryptor(vector):
    sealed = zlib.decompress(bytes.fromhex(vector["ct"]))
    context = bytes.fromhex(vector["ctx"])
    key = Secret(bytes.fromhex(vector["key"]))
    return Decryptor(key, context, lambda start, stop: sealed[start:stop], len(sealed)), sealed


@pytest.mark.parametrize("vector", [v for v in C2SP if v["result"] == "valid"], ids=lambda v: v["comment"])
def test_c2sp_valid(vector):
    decryptor, sealed = _decryptor(vector)
    assert decryptor.plain_bytes == vector["msgLength"]
    plain = decryptor.read(0, decryptor.plain_bytes)
    assert hashlib.sha512(plain).hexdigest() == vector["msgSha512"]
    encryptor = Encryptor(Secret(bytes.fromhex(vector["key"])), bytes.fromhex(vector["ctx"]), sealed[:24])
    assert encryptor.update(plain) + encryptor.finish(None) == sealed


@pytest.mark.parametrize("vector", [v for v in C2SP if v["result"] == "invalid"], ids=lambda v: v["comment"])
def test_c2sp_invalid(vector):
    refusal = ValueError if "InvalidKeySize" in vector["flags"] else Corrupt
    with pytest.raises(refusal):
        decryptor, _sealed = _decryptor(vector)
        assert "HeaderFailure" not in vector["flags"]
        decryptor.read(0, decryptor.plain_bytes)


@pytest.mark.parametrize(
    "vector", [v for v in C2SP if "msgLength" in v and v["result"] == "invalid"], ids=lambda v: v["comment"]
)
def test_c2sp_prefix_is_true_or_refused(vector):
    try:
        decryptor, _sealed = _decryptor(vector)
        prefix = decryptor.read(0, vector["msgLength"])
    except Corrupt:
        return
    assert hashlib.sha512(prefix).hexdigest() == vector["msgSha512"]


@pytest.mark.parametrize(
    "vector", [v for v in C2SP if "ValidFinalChunk" in v["flags"]], ids=lambda v: v["comment"]
)
def test_c2sp_valid_final_chunk(vector):
    _decryptor(vector)[0].verify_length()


def test_all_c2sp_vectors_are_used():
    assert len(C2SP) == 35
    assert {v["result"] for v in C2SP} == {"valid", "invalid"}


def test_x_wing_seed():
    # draft-connolly-cfrg-xwing-kem appendix C, first vector: the seed's public key starts so
    pair = KeyPair.from_seed(Secret(raw("xwing_seed")))
    assert pair.public.startswith(raw("xwing_public_start"))
    assert hashlib.sha256(pair.public).digest() == raw("xwing_public_sha256")
    assert pair.open(raw("sealed"), ctx("mail", ACCOUNT)) == b"sealed"


def test_derived_keys():
    assert derive(KEY, "summary").reveal() == raw("derive_summary")
    assert mac(KEY, "place", ACCOUNT, 7) == raw("mac_place")
    assert row_mac(KEY, "slot", [b"\0", 1, -1, "x", None]) == raw("row_mac")


def test_roots():
    keys = AccountKeys(KEY)
    assert keys.mail.secret.reveal() == raw("mail_root")
    assert keys.space.secret.reveal() == raw("space_root")
    assert keys.mail.wrapping_key(1).reveal() == raw("mail_wrap_1")
    assert hashlib.sha256(keys.mail.pair(1).public).digest() == raw("mail_public_1_sha256")
    assert keys.signing.public == raw("signing_public")


def test_stored_values_open():
    assert unwrap(KEY, raw("wrapped"), ctx("item", ACCOUNT)) == b"wrapped"
    assert decrypt_blob(KEY, ACCOUNT, raw("blob"), 9) == b"nine byte"
    expiry = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert open_session(KEY, KEY, ACCOUNT, OTHER, expiry, "totp", raw("session")) == b"session"


def test_slots_open():
    secret = app_password_secret(FORMATS["app_password"])
    assert open_slot(raw("app_header"), raw("app_body"), secret) == b"mail root"
    header = parse_slot_header(raw("password_header"))
    secret = password_secret(header, "correct horse", lambda value: hashlib.sha256(value).digest())
    assert secret.reveal() == raw("password_secret")
    assert open_slot(raw("password_header"), raw("password_body"), secret) == b"amk"
    pair = KeyPair.from_seed(KEY)
    assert open_slot_with(raw("custody_header"), raw("custody_body"), pair) == b"amk"


def test_log_signatures():
    keys = LogSigningKeys(KEY, KEY)
    assert hashlib.sha256(b"".join(keys.publics)).digest() == raw("log_publics_sha256")
    assert verify_log_signatures(keys.publics, b"checkpoint", (raw("log_ed25519"), raw("log_mldsa44")))
