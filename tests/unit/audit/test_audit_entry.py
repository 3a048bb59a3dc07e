"""Entries, leaves, receipts and the operator's log."""

import copy
import pickle
from dataclasses import replace
from hashlib import sha256

import pytest
from unit.audit.audit_history import CAMILLE, NOW, OTHER, event

from mailserver.audit.entry import (
    LEAF_BYTES,
    NO_PREVIOUS,
    AccountHead,
    LeafData,
    LeafType,
    commitment,
    format_leaf,
    next_leaf,
    open_entry,
    parse_leaf,
    seal_entry,
)
from mailserver.audit.events import EventResult, canonical_bytes
from mailserver.audit.receipt import (
    InternalBytes,
    InternalPurpose,
    InternalReceipt,
    Purpose,
    ReadReceipt,
    ReceiptToken,
    SealedBytes,
    receipt_token_for_store,
)
from mailserver.audit.security_log import (
    SecurityKind,
    SecurityRecord,
    format_security_line,
    parse_security_line,
    source_network,
)
from mailserver.crypto.ctx import ctx
from mailserver.crypto.seal import SEAL_OVERHEAD_BYTES, KeyPair, PublicKey
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Conflict, Corrupt, Denied, Malformed

SALT = b"s" * 32
ACCOUNT, ENTRY = b"A" * 16, b"E" * 16
PAIR = KeyPair.from_seed(Secret(b"k" * 32))
PUBLIC = PublicKey(PAIR.public)
RAW = canonical_bytes(event())


def test_the_commitment_is_the_design_s():
    assert commitment(SALT, RAW) == sha256(b"pli/entry/1" + SALT + RAW).digest()
    with pytest.raises(Malformed, match="entry-salt"):
        commitment(SALT[:-1], RAW)


@pytest.mark.parametrize("length", [0, 1, 475, 476, 477, 988, 989, 16 * 1024])
def test_a_sealed_entry_opens_to_its_bytes_and_is_padded(length):
    raw = b"x" * length
    sealed = seal_entry(raw, SALT, PUBLIC, ACCOUNT, ENTRY)
    assert (len(sealed) - SEAL_OVERHEAD_BYTES) % 512 == 0
    assert open_entry(sealed, PAIR, ACCOUNT, ENTRY) == (raw, SALT)


@pytest.mark.parametrize(
    ("account", "entry", "seed"), [(OTHER, ENTRY, b"k"), (ACCOUNT, OTHER, b"k"), (ACCOUNT, ENTRY, b"z")]
)
def test_an_entry_opens_only_at_its_place(account, entry, seed):
    sealed = seal_entry(RAW, SALT, PUBLIC, ACCOUNT, ENTRY)
    with pytest.raises(Corrupt, match="unseal"):
        open_entry(sealed, KeyPair.from_seed(Secret(seed * 32)), account, entry)


@pytest.mark.parametrize(
    "plain",
    [
        b"",
        bytes(511),
        bytes(4) + bytes(32) + b"\x01" + bytes(475),
        b"\xff\xff\xff\xff" + bytes(508),
        bytes(1024),
        (477).to_bytes(4, "big") + bytes(508),
    ],
)
def test_bad_padding_is_corrupt(plain):
    sealed = PUBLIC.seal(plain, ctx("log", ACCOUNT, ENTRY))
    with pytest.raises(Corrupt, match="entry-padding"):
        open_entry(sealed, PAIR, ACCOUNT, ENTRY)


def test_an_entry_without_salt_or_too_long_is_refused():
    with pytest.raises(Malformed, match="entry-salt"):
        seal_entry(RAW, b"", PUBLIC, ACCOUNT, ENTRY)
    with pytest.raises(Malformed, match="event-length"):
        seal_entry(bytes(16 * 1024 + 1), SALT, PUBLIC, ACCOUNT, ENTRY)


def test_leaves_chain():
    first, head = next_leaf(AccountHead(CAMILLE), bytes(32))
    second, head = next_leaf(head, b"c" * 32, LeafType.KEY)
    assert (first.sequence, first.previous) == (0, NO_PREVIOUS)
    assert (second.sequence, second.previous) == (1, sha256(b"\0" + format_leaf(first)).digest())
    assert head == AccountHead(CAMILLE, 2, second.leaf_hash())
    assert parse_leaf(format_leaf(second)) == second
    assert len(format_leaf(second)) == LEAF_BYTES == 89


@pytest.mark.parametrize(
    "change",
    [{"pseudonym": OTHER}, {"sequence": 2}, {"previous": b"p" * 32}],
)
def test_a_leaf_that_does_not_follow_is_a_conflict(change):
    _, head = next_leaf(AccountHead(CAMILLE), bytes(32))
    leaf, _ = next_leaf(head, bytes(32))
    with pytest.raises(Conflict, match="log-sequence"):
        head.accept(replace(leaf, **change))


@pytest.mark.parametrize(
    "raw", [b"", bytes(88), bytes(90), b"\x00" + bytes(88), b"\x03" + bytes(88), b"\x01" + b"\x81" * 88]
)
def test_a_malformed_leaf_is_refused(raw):
    with pytest.raises(Malformed, match="leaf"):
        parse_leaf(raw)


@pytest.mark.parametrize(
    "fields",
    [
        (b"", 0, NO_PREVIOUS, bytes(32)),
        (CAMILLE, -1, NO_PREVIOUS, bytes(32)),
        (CAMILLE, 0, b"", bytes(32)),
        (CAMILLE, 0, NO_PREVIOUS, b""),
        (CAMILLE, 0, b"p" * 32, bytes(32)),
        (CAMILLE, 1, NO_PREVIOUS, bytes(32)),
    ],
)
def test_a_leaf_holds_its_invariants(fields):
    with pytest.raises(Malformed, match="leaf"):
        LeafData(LeafType.ENTRY, *fields)


def receipt(objects=(b"1" * 16, b"2" * 16)):
    return ReadReceipt(receipt_token_for_store(), ACCOUNT, objects, Purpose.SHOW)


def test_a_receipt_serves_once_per_object():
    held = receipt()
    held.consume(ACCOUNT, b"2" * 16, Purpose.SHOW)
    held.consume(ACCOUNT, b"1" * 16, Purpose.SHOW)
    for used in (b"1" * 16, b"2" * 16, b"3" * 16):
        with pytest.raises(Denied, match="receipt-used"):
            held.consume(ACCOUNT, used, Purpose.SHOW)


@pytest.mark.parametrize(("account", "purpose"), [(OTHER, Purpose.SHOW), (ACCOUNT, Purpose.EXPORT)])
def test_a_receipt_is_bound_and_a_mismatch_does_not_spend_it(account, purpose):
    held = receipt()
    with pytest.raises(Denied, match="receipt-mismatch"):
        held.consume(account, b"1" * 16, purpose)
    held.consume(ACCOUNT, b"1" * 16, Purpose.SHOW)


def test_only_the_store_s_token_makes_a_receipt():
    with pytest.raises(Denied, match="receipt-forged"):
        ReadReceipt(ReceiptToken(), ACCOUNT, (), Purpose.SHOW)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_receipt_cannot_be_copied(duplicate):
    with pytest.raises(Denied, match="receipt-copied"):
        duplicate(receipt())
    with pytest.raises(Denied, match="internal-leak"):
        duplicate(InternalBytes(b"x"))


def test_receipts_show_nothing():
    assert repr(receipt()) == "ReadReceipt(…)"
    assert repr(InternalBytes(b"secret")) == "InternalBytes(…)"
    assert repr(InternalReceipt(ACCOUNT, InternalPurpose.ADOPT)) == "InternalReceipt(adopt)"


def test_internal_bytes_come_out_sealed_only():
    plain = InternalReceipt(ACCOUNT, InternalPurpose.ADOPT).open_internal(
        ACCOUNT, InternalPurpose.ADOPT, lambda: b"secret"
    )
    assert plain.reseal(lambda raw: [SealedBytes(raw[::-1])]) == (SealedBytes(b"terces"),)
    with pytest.raises(Denied, match="internal-leak"):
        plain.reseal(lambda raw: [raw])
    with pytest.raises(Denied, match="internal-leak"):
        bytes(plain)
    for use in (memoryview, len, iter, lambda value: b"" + value, lambda value: b"".join([value])):
        with pytest.raises(TypeError):
            use(plain)


@pytest.mark.parametrize(
    ("account", "purpose"), [(OTHER, InternalPurpose.ADOPT), (ACCOUNT, InternalPurpose.INDEX)]
)
def test_an_internal_receipt_is_bound_before_anything_is_opened(account, purpose):
    with pytest.raises(Denied, match="receipt-mismatch"):
        InternalReceipt(ACCOUNT, InternalPurpose.ADOPT).open_internal(account, purpose, lambda: 1 / 0)


@pytest.mark.parametrize(
    ("peer", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
    ],
)
def test_sources_are_kept_as_networks(peer, network):
    assert source_network(peer) == network


def test_a_security_line_has_pseudonyms_only():
    record = SecurityRecord(NOW, SecurityKind.LOGIN, EventResult.REFUSED, CAMILLE, None, "192.0.2.0/24")
    line = format_security_line(record)
    assert line == (
        b'{"v":1,"when":"2026-03-01T08:00:00.000000Z","kind":"login","result":"refused",'
        b'"account":"43434343434343434343434343434343","person":null,"network":"192.0.2.0/24"}\n'
    )
    assert parse_security_line(line) == record
    bare = SecurityRecord(NOW, SecurityKind.LIMIT, EventResult.DONE, None, OTHER)
    assert parse_security_line(format_security_line(bare)) == bare


@pytest.mark.parametrize(
    ("build", "code"),
    [
        (
            lambda: SecurityRecord(NOW.replace(tzinfo=None), SecurityKind.LOGIN, EventResult.DONE),
            "security-time",
        ),
        (lambda: SecurityRecord(NOW, SecurityKind.LOGIN, EventResult.DONE, b"short"), "security-pseudonym"),
        (
            lambda: SecurityRecord(NOW, SecurityKind.LOGIN, EventResult.DONE, network="192.0.2.7"),
            "security-network",
        ),
        (lambda: source_network("alix@med.example"), "security-network"),
        (lambda: parse_security_line(b""), "security-line"),
        (lambda: parse_security_line(b"[]"), "security-line"),
        (lambda: parse_security_line(b"{}\n"), "security-line"),
    ],
)
def test_a_bad_security_record_is_refused(build, code):
    with pytest.raises(Malformed) as caught:
        build()
    assert caught.value.code == code


def test_another_spelling_of_a_security_line_is_refused():
    line = format_security_line(SecurityRecord(NOW, SecurityKind.LOGIN, EventResult.DONE))
    with pytest.raises(Malformed, match="security-line"):
        parse_security_line(line.strip())
