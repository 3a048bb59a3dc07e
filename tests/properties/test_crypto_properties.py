"""Whatever the data: what was sealed opens, any flipped bit is refused, no two contexts mix."""

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailserver.crypto.blob import (
    CHUNK_BYTES,
    Decryptor,
    Encryptor,
    ciphertext_length,
    decrypt_blob,
    encrypt_blob,
    padme,
)
from mailserver.crypto.ctx import Raw, ctx
from mailserver.crypto.hkdf import derive, row_mac
from mailserver.crypto.log_keys import LogSigningKeys, verify_log_signatures
from mailserver.crypto.roots import AccountKeys, verify_statement
from mailserver.crypto.seal import KeyPair, PublicKey
from mailserver.crypto.secret import Secret
from mailserver.crypto.sessions import open_session, seal_session
from mailserver.crypto.slots import (
    SlotHeader,
    SlotKind,
    SlotScope,
    format_slot_header,
    new_app_password,
    open_slot,
    open_slot_with,
    parse_app_password,
    parse_slot_header,
    seal_slot,
    seal_slot_to,
)
from mailserver.crypto.wrap import unwrap, wrap
from mailserver.model.errors import Corrupt, Denied, Malformed

KEY = Secret(bytes(range(32)))
PAIR = KeyPair.from_seed(KEY)
ACCOUNT = b"\x11" * 16
SLOT = b"\x22" * 16
SALT = b"\x33" * 16
EXPIRY = datetime(2030, 1, 1, tzinfo=UTC)

ids = st.binary(min_size=16, max_size=16)
fields = st.lists(
    st.one_of(st.none(), st.binary(max_size=8), st.integers(-(2**63), 2**63 - 1), st.text(max_size=5)),
    max_size=4,
)
slow = settings(max_examples=40, deadline=None)


def flip(raw, data):
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << (bit % 8)
    return bytes(flipped)


@given(st.integers(0, 2**64 - 1), ids, st.text(), st.binary())
def test_ctx_fields_can_be_read_back(number, identifier, text, raw):
    encoded = ctx("x", number, identifier, text, Raw(raw))
    utf8 = text.encode()
    rest = encoded.removeprefix(b"pli/1/x\0")
    assert rest[:8] == number.to_bytes(8, "big")
    assert rest[8:24] == identifier
    assert rest[24:] == len(utf8).to_bytes(4, "big") + utf8 + len(raw).to_bytes(4, "big") + raw


@given(
    st.lists(st.text(max_size=4), min_size=2, max_size=2),
    st.lists(st.text(max_size=4), min_size=2, max_size=2),
)
def test_two_contexts_never_meet(one, other):
    assert (ctx("x", *one) == ctx("x", *other)) is (one == other)
    assert derive(KEY, "x", *one) != derive(KEY, "y", *one)


@given(fields, fields)
def test_row_macs_meet_only_when_the_rows_do(one, other):
    typed = [[(type(field), field) for field in row] for row in (one, other)]
    assert (row_mac(KEY, "t", one) == row_mac(KEY, "t", other)) is (typed[0] == typed[1])
    assert row_mac(KEY, "t", one) != row_mac(KEY, "u", one)


@given(st.binary(), st.binary(), st.binary(), st.data())
def test_wrap(plain, aad, other, data):
    wrapped = wrap(KEY, plain, aad)
    assert unwrap(KEY, wrapped, aad) == plain
    with pytest.raises(Corrupt) as caught:
        unwrap(KEY, flip(wrapped, data), aad)
    assert caught.value.code == "unwrap"
    if other != aad:
        with pytest.raises(Corrupt):
            unwrap(KEY, wrapped, other)


@slow
@given(st.binary(), st.binary(), st.binary(), st.data())
def test_seal(plain, info, other, data):
    sealed = PublicKey(PAIR.public).seal(plain, info)
    assert PAIR.open(sealed, info) == plain
    with pytest.raises(Corrupt) as caught:
        PAIR.open(flip(sealed, data), info)
    assert caught.value.code == "unseal"
    if other != info:
        with pytest.raises(Corrupt):
            PAIR.open(sealed, other)


@slow
@given(st.binary(min_size=1216, max_size=1216))
def test_public_keys_are_refused_or_usable(raw):
    try:
        PublicKey(raw).seal(b"", b"")
    except Malformed as error:
        assert error.code == "public-key"


sizes = st.one_of(
    st.integers(0, 100), st.integers(CHUNK_BYTES - 2, CHUNK_BYTES + 2), st.integers(0, 5 * CHUNK_BYTES)
)


@slow
@given(sizes, st.lists(st.integers(0, 40_000), max_size=5), st.data())
def test_blob_streaming_any_split_and_any_range(size, cuts, data):
    plain = bytes(range(256)) * (size // 256 + 1)
    plain = plain[:size]
    salt = bytes(24)
    encryptor = Encryptor(KEY, b"c", salt)
    edges = [0, *sorted(min(cut, size) for cut in cuts), size]
    content = b"".join(encryptor.update(plain[a:b]) for a, b in itertools.pairwise(edges))
    content += encryptor.finish(padme(size))
    whole = Encryptor(KEY, b"c", salt)
    assert content == whole.update(memoryview(plain)) + whole.finish(padme(size))
    assert len(content) == ciphertext_length(padme(size))
    decryptor = Decryptor(KEY, b"c", lambda start, stop: content[start:stop], len(content))
    padded = plain + bytes(padme(size) - size)
    start = data.draw(st.integers(0, len(padded)))
    stop = data.draw(st.integers(start, len(padded)))
    assert decryptor.read(start, stop) == padded[start:stop]
    decryptor.verify_length()


@slow
@given(sizes, st.data())
def test_blob_refuses_any_flipped_bit_and_any_cut(size, data):
    content = encrypt_blob(KEY, ACCOUNT, bytes(size))
    cut = data.draw(st.integers(0, len(content) - 1))
    for damaged in (flip(content, data), content[:cut], content + b"x"):
        with pytest.raises(Corrupt):
            decrypt_blob(KEY, ACCOUNT, damaged, size)


@given(st.integers(0, 2**50))
def test_padme_bounds(n):
    assert n <= padme(n) <= n + n * 12 // 100
    assert padme(padme(n)) == padme(n)
    assert padme(n) <= padme(n + 1)


headers = st.builds(
    SlotHeader,
    ids,
    ids,
    st.sampled_from([SlotKind.APP_PASSWORD, SlotKind.RECOVERY]),
    st.sampled_from(SlotScope),
    ids,
)


@given(headers, st.binary(min_size=16, max_size=64), st.binary(max_size=64), st.data())
def test_slots(header, secret, payload, data):
    raw = format_slot_header(header)
    body = seal_slot(header, Secret(secret), payload)
    assert parse_slot_header(raw) == header
    assert open_slot(raw, body, Secret(secret)) == payload
    for arguments in (
        (flip(raw, data), body, secret),
        (raw, flip(body, data), secret),
        (raw, body, flip(secret, data)),
    ):
        with pytest.raises((Denied, Corrupt, Malformed)) as caught:
            open_slot(arguments[0], arguments[1], Secret(arguments[2]))
        assert caught.value.code in {"slot-secret", "slot-body", "slot-header", "slot-parameters"}


@slow
@given(st.data())
def test_custody_slots(data):
    header = SlotHeader(ACCOUNT, SLOT, SlotKind.CUSTODY, SlotScope.CUSTODY, SALT)
    raw, body = format_slot_header(header), seal_slot_to(header, PAIR.public, b"amk")
    for arguments in ((flip(raw, data), body), (raw, flip(body, data))):
        with pytest.raises((Corrupt, Malformed)):
            open_slot_with(*arguments, PAIR)


@given(st.binary(max_size=300))
def test_only_malformed_escapes_from_a_header(raw):
    for candidate in (raw, ctx("slot", 1) + raw):
        try:
            assert format_slot_header(parse_slot_header(candidate)) == candidate
        except Malformed as error:
            assert error.code in {"slot-header", "slot-parameters"}


@given(st.text())
def test_only_malformed_escapes_from_an_app_password(text):
    try:
        parse_app_password(text)
    except Malformed as error:
        assert error.code == "app-password"
    assert len(parse_app_password(new_app_password()).tag) == 8


@given(st.binary(), st.data())
def test_sessions(payload, data):
    sealed = seal_session(KEY, KEY, ACCOUNT, SLOT, EXPIRY, "totp", payload)
    assert open_session(KEY, KEY, ACCOUNT, SLOT, EXPIRY, "totp", sealed) == payload
    with pytest.raises(Denied) as caught:
        open_session(KEY, KEY, ACCOUNT, SLOT, EXPIRY, "totp", flip(sealed, data))
    assert caught.value.code == "session"


@slow
@given(st.binary(min_size=1), st.data())
def test_signatures(message, data):
    signing = AccountKeys(KEY).signing
    signature = signing.sign(message)
    assert verify_statement(signing.public, signature, message)
    assert not verify_statement(signing.public, flip(signature, data), message)
    keys = LogSigningKeys(KEY, KEY)
    one, two = keys.sign(message)
    assert verify_log_signatures(keys.publics, message, (one, two))
    assert not verify_log_signatures(keys.publics, message, (flip(one, data), two))
    assert not verify_log_signatures(keys.publics, message, (one, flip(two, data)))
    assert not verify_log_signatures(keys.publics, flip(message, data), (one, two))
