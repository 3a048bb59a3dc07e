"""A trace shows the protocol and nothing that somebody wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailserver.imap.trace import Trace, mask_line

SHOWN = [
    (b"a1 SELECT INBOX", "a1 SELECT INBOX"),
    (b"a2 SELECT Patients/Dupont", "a2 SELECT ‹15›"),
    (b'a3 SEARCH SUBJECT "cancer" FROM dupont UNSEEN', "a3 SEARCH SUBJECT “8” FROM ‹6› UNSEEN"),
    (b"a4 UID FETCH 1:*,7 (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])", None),
    (b"* 4 FETCH (FLAGS (\\Seen $Forwarded Dupont) UID 12 MODSEQ (99))", None),
    (b'* LIST (\\HasNoChildren) "/" Dupont', "* LIST (\\HasNoChildren) “3” ‹6›"),
    (b'* 1 FETCH (ENVELOPE ("Mon, 5 Oct" "Cancer \\" x" NIL))', "* 1 FETCH (ENVELOPE (“12” “13” NIL))"),
    (b"a5 OK [READ-WRITE] SELECT completed", "a5 OK [READ-WRITE]"),
    (b'a6 NO [BADURL "/Dupont"] no', None),
    (b"\xff\xfe Dupont", None),
]


@pytest.mark.parametrize(("line", "shown"), SHOWN)
def test_a_line_is_masked(line: bytes, shown: str | None) -> None:
    masked = mask_line(line)
    assert "upont" not in masked
    assert "ancer" not in masked
    if shown is not None:
        assert masked == shown


def test_literals_and_credentials_never_pass() -> None:
    trace = Trace()
    dialogue = [
        b"a1 APPEND INBOX (\\Seen) {21}\r\nSubject: secret\r\n\r\nxx\r\n",
        b"a2 SEARCH TEXT {6+}\r\nsecret\r\n",
        b"a3 LOGIN someone@a.example secret\r\n",
        b"a4 AUTHENTICATE PLAIN\r\nc2VjcmV0\r\n",
        b"a5 NOOP\r\n",
    ]
    shown = [line for octets in dialogue for line in trace.feed(octets)]
    assert "secret" not in "".join(shown)
    assert "c2VjcmV0" not in "".join(shown)
    assert shown[0] == "a1 APPEND INBOX (\\Seen) {21}"
    assert shown[-1] == "a5 NOOP"


@given(st.lists(st.integers(1, 12), min_size=1, max_size=40))
def test_any_split_shows_the_same(sizes: list[int]) -> None:
    octets = b"a1 APPEND INBOX {5}\r\nab\r\nc\r\na2 SEARCH TEXT {3+}\r\nxyz ALL\r\na3 NOOP\r\n"
    whole = Trace().feed(octets)
    trace, shown, at = Trace(), [], 0
    for size in [*sizes, len(octets)]:
        shown += trace.feed(octets[at : at + size])
        at += size
    assert shown == whole


def test_a_long_line_is_cut() -> None:
    (line,) = Trace().feed(b"a1 SEARCH TEXT " + b"x" * 100_000 + b"\r\n")
    assert len(line) < 5000
