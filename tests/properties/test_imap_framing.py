"""Any split of the octets gives the same events; no octets make the reader fail or the parser leak."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from mailserver.imap.commands import OctetsFollow
from mailserver.imap.framing import (
    CommandReceived,
    Framer,
    Limits,
    LiteralChunk,
    MessageAnnounced,
    RawCommand,
)
from mailserver.imap.parse import BadCommand, parse_command
from mailserver.imap.parse_uploads import parse_further
from mailserver.model.errors import Malformed

LIMITS = Limits(line_bytes=60, literal_bytes=12, literals_bytes=20, message_bytes=30)
PIECES = [
    b"\r\n", b"\n", b"\r", b" ", b"A ", b"A APPEND ", b"A REPLACE 1 ", b" CATENATE (", b" URL ", b" TEXT ", b"x", b"A NOOP\r\n", b"{3+}\r\n", b"{3}\r\n", b"{25+}\r\n",
    b"{25}\r\n", b"{99}\r\n", b"{99+}\r\n", b"{", b"}", b'"', b"abc", b"\x00", b"{0+}\r\n", b"(\\Seen)",
]  # fmt: skip
octets = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=30).map(b"".join)


def events_of(chunks, refused):
    """``refused`` says, announcement by announcement, whether the message is refused."""
    framer, events, answers = Framer(LIMITS), [], itertools.cycle(refused)
    for chunk in chunks:
        framer.feed(chunk)
        for event in iter(framer.next_event, None):
            if isinstance(event, MessageAnnounced) and next(answers):
                framer.refuse()
            if isinstance(event, LiteralChunk) and events and isinstance(events[-1], LiteralChunk):
                events[-1] = LiteralChunk(events[-1].octets + event.octets)
            else:
                events.append(event)
    return events


@settings(deadline=None)  # octet by octet, on a machine that may be busy
@given(octets, st.lists(st.integers(0, 200), max_size=8), st.lists(st.booleans(), min_size=1, max_size=3))
def test_any_split_gives_the_same_events(data, cuts, refused):
    expected = events_of([data], refused)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert events_of([data[a:b] for a, b in itertools.pairwise(edges)], refused) == expected
    assert events_of([data[at : at + 1] for at in range(len(data))], refused) == expected


@given(octets)
def test_only_bad_command_escapes_from_what_is_framed(data):
    for event in events_of([data], [False]):
        if isinstance(event, CommandReceived | MessageAnnounced):
            parses_or_is_bad(event.command)


VERBS = [
    b"LOGIN", b"SELECT", b"CREATE", b"LIST", b"STATUS", b"APPEND", b"APPEND x", b"REPLACE", b"UID REPLACE 1", b"FETCH", b"STORE", b"SEARCH", b"COPY", b"ID",
    b"UID FETCH", b"UID SEARCH", b"UID STORE", b"UID EXPUNGE", b"AUTHENTICATE", b"ENABLE", b"RENAME", b"XLIST", b"SETQUOTA", b"GETMETADATA", b"SETMETADATA x",
    b"MOVE", b"SORT", b"SORT (DATE) UTF-8", b"UID SORT RETURN", b"THREAD REFERENCES", b"UID THREAD", b"SEARCH RETURN", b"UID FETCH 1 FLAGS",
]  # fmt: skip
WORDS = [
    b" ", b"(", b")", b"[", b"]", b'"', b"\\", b"1:*", b"*", b"$", b"BODY", b"BODY[", b"HEADER.FIELDS", b"<0.1>",
    b"FLAGS", b"\\Seen", b"OR", b"NOT", b"SUBJECT", b"CHARSET", b"UTF-8", b"NIL", b"&AOk-", b"&", b"%", b"1-Feb-2026",
    b"\xc3\xa9", b"\xff", b"CONDSTORE", b"QRESYNC", b" CATENATE (", b"URL ", b"TEXT ", b"/private/a", b"DEPTH", b"~", b"RETURN", b"STATUS", b"SUBSCRIBED", b"CHANGEDSINCE", b"MODSEQ", b"99999999999999999999", b"USE",
    b"PARTIAL ", b"-1:-5", b"1:5", b"SAVE", b"(REVERSE DATE)", b"OLDER 5", b"EMAILID x", b"SAVEDON ", b"UID ",
]  # fmt: skip
words = st.lists(st.sampled_from(WORDS) | st.binary(max_size=4), max_size=12).map(b"".join)


def parses_or_is_bad(raw):
    for is_utf8 in (False, True):
        try:
            parse_command(raw, is_utf8=is_utf8)
        except BadCommand as error:
            assert error.code


@given(st.sampled_from(VERBS), words, st.lists(st.tuples(st.binary(max_size=5), words), max_size=3))
def test_only_bad_command_escapes(verb, head, rest):
    texts = (b"a " + verb + b" " + head, *(text for _, text in rest))
    parses_or_is_bad(RawCommand(texts, tuple(literal for literal, _ in rest)))


@given(words, st.lists(st.tuples(st.binary(max_size=5), words), max_size=3), st.booleans(), st.booleans())
def test_only_malformed_escapes_after_a_literal(head, rest, is_part, has_more):
    texts = (head, *(text for _, text in rest))
    raw = RawCommand(texts, tuple(literal for literal, _ in rest), 5 if has_more else None)
    for is_only in (False, True):
        try:
            steps = parse_further(raw, OctetsFollow(3, is_part), is_only=is_only)
        except Malformed as error:
            assert error.code
        else:
            assert isinstance(steps[-1], OctetsFollow) == has_more, "octets come when they are announced"


@given(st.binary(max_size=60))
def test_only_bad_command_escapes_from_any_octets(data):
    parses_or_is_bad(RawCommand((data,), streamed_bytes=5))
    parses_or_is_bad(RawCommand((b"a " + data,)))
