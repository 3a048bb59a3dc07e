"""Any cut of the octets gives the same lines, the same content and the same rest; only Malformed leaves the grammar."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mailserver.mime.submission import check_line_discipline
from mailserver.model.errors import Malformed
from mailserver.smtp.dot_reader import DotReader
from mailserver.smtp.framing import LineFramer
from mailserver.smtp.grammar import parse_command
from mailserver.smtp.replies import TROUBLES
from mailserver.smtp.sasl import parse_plain, parse_response

# octets that matter here, often
spiky = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\0", b"a", b"..", b"\r\n.\r\n", b"MAIL", b"\r\n."]),
    max_size=40,
).map(b"".join)


@st.composite
def cut(draw, octets):
    text = draw(octets)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edges = [0, *places, len(text)]
    return text, [text[start:stop] for start, stop in pairwise(edges)]


def frame(pieces):
    framer, lines = LineFramer(), []
    for piece in pieces:
        framer.feed(piece)
        while (line := framer.next_line()) is not None:
            lines.append(line)
    return lines, framer.take_rest()


def unstuff(pieces):
    dots, content = DotReader(), b""
    for number, piece in enumerate(pieces):
        content += dots.feed(piece)
        if dots.is_done:
            return content, dots.rest + b"".join(pieces[number + 1 :])
    return None, content[:0]


@given(cut(spiky))
def test_lines(cut_text):
    text, pieces = cut_text
    assert frame(pieces) == frame([text])


@given(cut(spiky))
def test_dots(cut_text):
    text, pieces = cut_text
    assert unstuff(pieces) == unstuff([text])


@given(spiky, st.binary(max_size=20))
def test_what_a_good_client_stuffs_comes_back(text, after):
    """For content in good order, stuffing then reading is the identity, and nothing of it ends the message early."""
    content = text if text.endswith(b"\r\n") or not text else text + b"\r\n"
    if check_line_discipline(content) is not None:
        return
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    assert unstuff([stuffed + b".\r\n" + after]) == (content, after)


@given(
    st.one_of(
        st.binary(max_size=200), st.text(max_size=80).map(lambda text: b"MAIL FROM:<" + text.encode() + b">")
    )
)
def test_only_malformed_leaves_the_grammar(line):
    try:
        parse_command(line)
    except Malformed as error:
        assert error.code in TROUBLES


@given(st.binary(max_size=100))
def test_only_malformed_leaves_sasl(octets):
    for parse in (parse_response, parse_plain):
        try:
            parse(octets)
        except Malformed as error:
            assert error.code in TROUBLES
