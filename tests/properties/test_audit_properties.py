"""The audit package under random values: identities, proofs of every size, and no flipped bit passes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.audit.audit_history import CAMILLE, KEYS, ORIGIN, mixed_history

from mailserver.audit import merkle
from mailserver.audit.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from mailserver.audit.entry import (
    LeafData,
    LeafType,
    commitment,
    format_leaf,
    open_entry,
    parse_leaf,
    seal_entry,
)
from mailserver.audit.events import (
    Actor,
    ActorKind,
    AuditEvent,
    AuditObject,
    EventKind,
    EventResult,
    ObjectKind,
    Origin,
    ParameterName,
    canonical_bytes,
    parse_event,
    readable,
)
from mailserver.audit.export import parse_person_receipt
from mailserver.audit.sign_request import format_sign_request, parse_sign_request, parse_signer_head
from mailserver.audit.tiles import Tile, parse_tile_path, tile_path
from mailserver.audit.verify_export import CheckFailed, verify
from mailserver.audit.wording import Language, describe
from mailserver.crypto.seal import KeyPair, PublicKey
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Corrupt, Malformed, OverLimit

TEXTS = st.text(max_size=60).map(readable)
ACTORS = st.builds(
    Actor,
    st.sampled_from(ActorKind),
    TEXTS.map(lambda name: name or "X"),
    handle=TEXTS,
    profession=TEXTS,
    structure=TEXTS,
)
PARAMETERS = st.dictionaries(st.sampled_from(ParameterName), TEXTS).map(
    lambda values: tuple(sorted(values.items()))
)
EVENTS = st.builds(
    AuditEvent,
    kind=st.sampled_from(EventKind),
    when=st.datetimes(timezones=st.just(UTC)),
    who=ACTORS,
    what=st.builds(AuditObject, st.sampled_from(ObjectKind), TEXTS, PARAMETERS),
    origin=st.builds(Origin, st.sampled_from(["", "192.0.2.0/24", "2001:db8::/48"]), TEXTS),
    on_behalf_of=st.none() | ACTORS,
    result=st.sampled_from(EventResult),
)
PAIR = KeyPair.from_seed(Secret(b"k" * 32))
HASHES = [merkle.leaf_hash(number.to_bytes(4, "big")) for number in range(700)]
READ = merkle.reader_over(HASHES)
HISTORY = mixed_history()
EXPORT = HISTORY.export(earlier=(4, 9))
RECEIPT = HISTORY.receipt(9)
NOTE = HISTORY.checkpoint()


def root_of(size):
    return merkle.Frontier().extend(HASHES[:size]).root()


def flipped(raw, at):
    changed = bytearray(raw)
    changed[at // 8] ^= 1 << (at % 8)
    return bytes(changed)


def bits_of(raw):
    return st.integers(0, len(raw) * 8 - 1)


@given(EVENTS)
def test_an_event_is_its_canonical_bytes(event):
    raw = canonical_bytes(event)
    assert parse_event(raw) == event
    for language in Language:
        assert describe(event, language).endswith(".")


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_only_malformed_escapes_the_parsers(raw):
    for parse in (parse_event, parse_leaf, parse_checkpoint, parse_signer_head, parse_person_receipt):
        with pytest.raises(Malformed):
            parse(raw)
    for parse in (parse_sign_request, merkle.parse_frontier):
        try:
            parse(raw)
        except (Malformed, OverLimit):
            continue
    with pytest.raises(CheckFailed):
        verify(raw)
    with pytest.raises(CheckFailed):
        verify(EXPORT, raw)


@given(EVENTS, st.data())
def test_a_flipped_bit_changes_the_event_or_is_refused(event, data):
    raw = canonical_bytes(event)
    other = flipped(raw, data.draw(bits_of(raw)))
    assert commitment(bytes(32), other) != commitment(bytes(32), raw)
    try:
        assert parse_event(other) != event
    except Malformed:
        pass


@given(st.binary(max_size=2000), st.binary(min_size=32, max_size=32), st.data())
def test_a_sealed_entry_opens_and_no_flipped_bit_does(raw, salt, data):
    sealed = seal_entry(raw, salt, PublicKey(PAIR.public), b"A" * 16, b"E" * 16)
    assert open_entry(sealed, PAIR, b"A" * 16, b"E" * 16) == (raw, salt)
    with pytest.raises(Corrupt):
        open_entry(flipped(sealed, data.draw(bits_of(sealed))), PAIR, b"A" * 16, b"E" * 16)


@given(
    st.sampled_from(LeafType),
    st.binary(min_size=16, max_size=16),
    st.integers(1, 2**63 - 1),
    st.binary(min_size=32, max_size=32).filter(any),
    st.binary(min_size=32, max_size=32),
)
def test_a_leaf_is_its_bytes(kind, pseudonym, sequence, previous, committed):
    leaf = LeafData(kind, pseudonym, sequence, previous, committed)
    assert parse_leaf(format_leaf(leaf)) == leaf
    assert parse_sign_request(format_sign_request(3, [format_leaf(leaf)])).leaves == (format_leaf(leaf),)


@given(st.integers(1, 700), st.data())
def test_inclusion_holds_at_any_size_and_for_no_flipped_bit(size, data):
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, READ)
    assert merkle.verify_inclusion(index, size, HASHES[index], proof, root_of(size))
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bad = [*proof]
        bad[at] = flipped(bad[at], data.draw(st.integers(0, 255)))
        assert not merkle.verify_inclusion(index, size, HASHES[index], bad, root_of(size))


@given(st.integers(0, 700), st.integers(0, 700), st.data())
def test_consistency_holds_between_any_sizes_and_for_no_flipped_bit(one, other, data):
    old, new = sorted((one, other))
    heads = merkle.TreeHead(old, root_of(old)), merkle.TreeHead(new, root_of(new))
    proof = merkle.consistency_proof(old, new, READ)
    assert merkle.verify_consistency(*heads, proof)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bad = [*proof]
        bad[at] = flipped(bad[at], data.draw(st.integers(0, 255)))
        assert not merkle.verify_consistency(*heads, bad)


@given(st.lists(st.integers(0, 60), max_size=12))
def test_a_tree_does_not_depend_on_how_it_grew(steps):
    frontier, size = merkle.Frontier(), 0
    for step in steps:
        frontier = frontier.extend(HASHES[size : size + step])
        size += step
        frontier = merkle.parse_frontier(merkle.format_frontier(frontier))
    assert frontier == merkle.Frontier().extend(HASHES[:size])


@given(st.integers(0, 7), st.integers(0, 2**55), st.integers(1, 256))
def test_a_tile_is_its_path(level, index, width):
    tile = Tile(level, index, width)
    assert parse_tile_path(tile_path(tile)) == tile


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_is_its_note(size, root):
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert verify_checkpoint(KEYS.publics, ORIGIN, sign_checkpoint(checkpoint, KEYS)) == checkpoint


@given(bits_of(NOTE))
def test_no_flipped_bit_of_a_checkpoint_passes(at):
    with pytest.raises((Malformed, Corrupt)):
        verify_checkpoint(KEYS.publics, ORIGIN, flipped(NOTE, at))


@given(bits_of(EXPORT))
def test_no_flipped_bit_of_an_export_passes_unless_it_says_the_same(at):
    """A flip may only land in a consistency proof that this receipt does not use, or in white space."""
    try:
        report = verify(flipped(EXPORT, at), RECEIPT)
    except CheckFailed:
        return
    start, end = EXPORT.index(b'"consistency"'), EXPORT.index(b"\n")
    assert start <= at // 8 <= end
    assert report == verify(EXPORT, RECEIPT)


@given(bits_of(RECEIPT))
def test_no_flipped_bit_of_a_receipt_passes(at):
    with pytest.raises(CheckFailed):
        verify(EXPORT, flipped(RECEIPT, at))


@given(st.datetimes())
def test_a_naive_time_is_refused(when):
    assert isinstance(when, datetime)
    with pytest.raises(Malformed, match="event-time"):
        AuditEvent(EventKind.LOGIN, when, Actor(ActorKind.PATIENT, "X"), AuditObject(ObjectKind.ACCOUNT))
    assert CAMILLE == b"C" * 16
