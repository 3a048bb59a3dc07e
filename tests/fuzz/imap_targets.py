"""Fuzz targets of IMAP's pure core: any octets, cut anywhere, give the same; only Malformed leaves."""

import itertools
from collections.abc import Iterable

from mailserver.imap.commands import OctetsFollow
from mailserver.imap.envelope_fields import FIELDS, FieldMatcher, find_field, find_first_address, parse_nodes
from mailserver.imap.framing import (
    BEFORE_LOGIN,
    CommandReceived,
    Event,
    Framer,
    Limits,
    LiteralChunk,
    MessageAnnounced,
    RawCommand,
    limits_after_login,
)
from mailserver.imap.message_url import parse_message_url
from mailserver.imap.parse import BadCommand, parse_command, parse_sasl_response
from mailserver.imap.parse_uploads import parse_further
from mailserver.imap.search import fold
from mailserver.imap.sequence_set import format_sequence_set, parse_sequence_set
from mailserver.imap.trace import Trace
from mailserver.imap.utf7 import decode_utf7, encode_utf7
from mailserver.model.errors import Malformed

SMALL = Limits(line_bytes=60, literal_bytes=12, literals_bytes=20, message_bytes=30)
LIMITS = (SMALL, BEFORE_LOGIN, limits_after_login(4096))
UIDS = (1, 2, 5, 9, 4_294_967_295)
VERBS = (
    b"LOGIN", b"AUTHENTICATE", b"ENABLE", b"ID", b"SELECT", b"CREATE", b"RENAME", b"LIST", b"LSUB", b"XLIST", b"STATUS", b"APPEND", b"REPLACE",
    b"FETCH", b"STORE", b"COPY", b"MOVE", b"UID FETCH", b"UID EXPUNGE", b"GETMETADATA", b"SETMETADATA", b"SETQUOTA", b"GETQUOTA", b"SETACL",
    b"LISTRIGHTS", b"NOTIFY", b"SORT", b"THREAD",
)  # fmt: skip


def frame_imap(data: bytes) -> None:
    """The first octet picks limits and what is refused; the rest comes whole, in two pieces, and octet by octet."""
    if not data:
        return
    limits, refuses, octets = LIMITS[data[0] % 3], bool(data[0] & 64), data[1:]
    whole = _events([octets], limits, refuses=refuses)
    cut = min(data[0], len(octets))
    for pieces in ([octets[:cut], octets[cut:]], [octets[at : at + 1] for at in range(len(octets))]):
        assert _events(pieces, limits, refuses=refuses) == whole, "a split changed the events"
    for event in whole:
        if isinstance(event, CommandReceived | MessageAnnounced):
            _parse(event.command)
            if isinstance(event, MessageAnnounced):
                _parse_further(event.command)


def _events(pieces: Iterable[bytes], limits: Limits, *, refuses: bool) -> list[Event]:
    framer, events, answers = Framer(limits), [], itertools.cycle([refuses, False])
    trace = Trace()
    for piece in pieces:
        trace.feed(piece)
        framer.feed(piece)
        for event in iter(framer.next_event, None):
            if isinstance(event, MessageAnnounced) and next(answers):
                framer.refuse()
            if isinstance(event, LiteralChunk) and events and isinstance(events[-1], LiteralChunk):
                events[-1] = LiteralChunk(events[-1].octets + event.octets)
            else:
                events.append(event)
    return events


def _parse(raw: RawCommand) -> None:
    for is_utf8 in (False, True):
        try:
            parse_command(raw, is_utf8=is_utf8)
        except BadCommand as error:
            assert error.code


def _parse_further(raw: RawCommand) -> None:
    for is_part, is_only in itertools.product((False, True), repeat=2):
        try:
            parse_further(raw, OctetsFollow(3, is_part), is_only=is_only)
        except Malformed as error:
            assert error.code


def parse_imap_command(data: bytes) -> None:
    """The first octet picks a verb, NUL stands for a literal of the octets up to the next NUL."""
    if not data:
        return
    pieces = data[1:].split(b"\0")
    head = b"a " + VERBS[data[0] % len(VERBS)] + b" " + pieces[0]
    count = (len(pieces) - 1) // 2
    texts, literals = (head, *pieces[2 : 2 * count + 1 : 2]), tuple(pieces[1 : 2 * count : 2])
    _parse(RawCommand(texts, literals))
    _parse(RawCommand(texts, literals, 7))
    _parse_further(RawCommand((pieces[0], *texts[1:]), literals, 7 if len(data) % 2 else None))


def parse_imap_search(data: bytes) -> None:
    """The keys of SEARCH, SORT and THREAD."""
    for verb in (b"SEARCH", b"UID SEARCH RETURN", b"SORT (DATE) UTF-8", b"THREAD REFERENCES UTF-8"):
        _parse(RawCommand((b"a " + verb + b" " + data,)))


def parse_imap_sequence_set(data: bytes) -> None:
    """A set that is read is written again as itself, and any mailbox can resolve it."""
    try:
        numbers = parse_sequence_set(data, most_ranges=50)
    except Malformed:
        return
    assert parse_sequence_set(format_sequence_set(numbers), most_ranges=50) == numbers
    if numbers.is_saved:
        return
    for uids in ((), UIDS):
        for start, stop in (*numbers.runs_of_uids(uids), *numbers.runs_of_numbers(len(uids))):
            assert 0 <= start < stop <= len(uids)
        numbers.is_within(len(uids))


def parse_imap_names(data: bytes) -> None:
    """Mailbox names in modified UTF-7 have one spelling; URLs and SASL responses are read or refused."""
    try:
        assert encode_utf7(decode_utf7(data)) == data
    except Malformed:
        pass
    for parse in (parse_message_url, parse_sasl_response):
        try:
            parse(data)
        except Malformed as error:
            assert error.code


def read_imap_envelope(data: bytes) -> None:
    """Octets that should be a stored ENVELOPE: whatever they are, every field is there or empty."""
    assert len(parse_nodes(data)) >= len(FIELDS)
    for name in FIELDS:
        assert isinstance(find_field(data, name), tuple)
        assert all(isinstance(part, bytes) for part in find_first_address(data, name))
        assert FieldMatcher(name, "a@b", fold).is_match(data) in {True, False}
