"""Parsing what was formatted gives the value back."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap import encode as e
from mailserver.imap.cursor import Cursor
from mailserver.imap.flags import format_flags, split_flags
from mailserver.imap.framing import CommandReceived, Framer, RawCommand, limits_after_login
from mailserver.imap.grammar import MAX_NUMBER, parse_date_time
from mailserver.imap.search import fold
from mailserver.imap.sequence_set import (
    SAVED,
    STAR,
    SequenceSet,
    compact,
    format_sequence_set,
    parse_sequence_set,
)
from mailserver.imap.utf7 import decode_utf7, encode_utf7
from mailserver.model.account import FLAG_NAMES
from mailserver.model.errors import Malformed

ends = st.integers(1, MAX_NUMBER) | st.integers(1, 20) | st.just(STAR)
sets = (
    st.lists(st.tuples(ends, ends).map(sorted).map(tuple), min_size=1, max_size=20)
    .map(tuple)
    .map(SequenceSet)
)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def received(wire):
    """What a server reads when a client sends ``wire`` as one argument, its literals pushed."""
    framer = Framer(limits_after_login(0))
    framer.feed(b"a X " + wire.replace(b"}\r\n", b"+}\r\n", 1) + b"\r\n")
    event = framer.next_event()
    assert isinstance(event, CommandReceived)
    cursor = Cursor(event.command)
    cursor.need(b"a X ")
    return cursor


@given(sets | st.just(SAVED))
def test_sequence_set(numbers):
    assert parse_sequence_set(format_sequence_set(numbers), most_ranges=20) == numbers


@given(st.sets(st.integers(1, 60), min_size=1))
def test_compact(numbers):
    found = [number for first, last in compact(sorted(numbers)).ranges for number in range(first, last + 1)]
    assert found == sorted(numbers)


@given(sets, st.sets(st.integers(1, 40)).map(sorted))
def test_runs_name_what_the_definition_names(numbers, uids):
    highest = uids[-1] if uids else 0

    def names_uid(uid, top):
        pairs = [
            (top if a == STAR else a, top if b == STAR else b) for a, b in numbers.ranges if top or b != STAR
        ]
        return any(min(pair) <= uid <= max(pair) for pair in pairs)

    by_uid = [at for start, stop in numbers.runs_of_uids(uids) for at in range(start, stop)]
    by_number = [at for start, stop in numbers.runs_of_numbers(len(uids)) for at in range(start, stop)]
    assert by_uid == [at for at, uid in enumerate(uids) if names_uid(uid, highest)]
    assert by_number == [at for at in range(len(uids)) if names_uid(at + 1, len(uids))]


@given(names)
def test_utf7(name):
    wire = encode_utf7(name)
    assert wire.isascii()
    assert decode_utf7(wire) == name


@given(st.binary(max_size=20) | st.text("&AOk-,/a", max_size=12).map(str.encode))
def test_utf7_has_one_spelling(wire):
    try:
        name = decode_utf7(wire)
    except Malformed:
        return
    assert encode_utf7(name) == wire


@given(st.binary(max_size=40) | st.text('a"\\{}]\r\n', max_size=12).map(str.encode))
def test_strings(octets):
    clean = octets.replace(b"\0", b"?")
    wanted = {
        e.format_string(octets): Cursor.string,
        e.format_astring(octets): Cursor.astring,
        e.format_nstring(octets): Cursor.nstring,
        e.format_literal(octets): Cursor.string,
    }
    for wire, read in wanted.items():
        cursor = received(wire)
        assert read(cursor) == clean
        cursor.end()


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12),
    st.booleans(),
)
def test_mailbox(name, is_utf8):
    wire = e.format_mailbox(name, is_utf8=is_utf8)
    cursor = Cursor(RawCommand((wire,)), is_utf8=is_utf8)
    assert cursor.mailbox() == ("INBOX" if name.upper() == "INBOX" else name)


@given(
    st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)).map(
        lambda at: at.replace(tzinfo=UTC)
    )
)
def test_date_time(moment):
    assert parse_date_time(e.format_date_time(moment)) == moment.replace(microsecond=0)


@given(st.sets(st.sampled_from([*FLAG_NAMES, "mine", "other"])))
def test_flags(flags):
    bits, missing = split_flags(flags, ("mine", "other"))
    wire = format_flags(bits, ("mine", "other"))
    assert not missing
    assert {name.decode() for name in wire[1:-1].split()} == flags


@given(st.text(max_size=30))
def test_fold_is_stable(text):
    assert fold(fold(text)) == fold(text)
