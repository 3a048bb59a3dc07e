"""Any octets, any split: the same tree, and nothing but the declared errors."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from unit.mime.mime_messages import read_list, summary_of
from unit.mime.test_mime_scanner import FORWARD, TWO_PARTS

from mailserver.mime.addresses import parse_address_list
from mailserver.mime.dates import find_date
from mailserver.mime.decode import decode_body, decode_text, decoder_of
from mailserver.mime.encoded_words import UNSAFE, decode_words
from mailserver.mime.headers import HeaderBlock
from mailserver.mime.limits import MimeLimits
from mailserver.mime.parameters import find_parameter, parse_parameters
from mailserver.mime.part import Part
from mailserver.mime.scanner import MessageScanner
from mailserver.mime.section import locate_section
from mailserver.mime.submission import LineDiscipline, check_line_discipline
from mailserver.mime.summary import SUMMARY_BYTES
from mailserver.mime.summary_wire import SummaryView, format_summary, parse_summary
from mailserver.model.errors import Malformed, OverLimit

SMALL = MimeLimits(header_bytes=400, header_lines=12, all_headers_bytes=1500, depth=6, parts=12, steps=400)
# pieces of structure: put together in any order they make every kind of wrong nesting
LINES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=a", b'Content-Type: multipart/mixed; boundary="ab"',
        b"Content-Type: multipart/digest; boundary=a--", b"Content-Type: message/rfc822", b"Content-Type: text/html",
        b"Content-Transfer-Encoding: base64", b"Subject: =?utf-8?q?=C3=A9?=", b"To: a@x.example, G: b@x;, (c", b" folded",
        b"--a", b"--a--", b"--ab", b"--ab--", b"--a----", b"--a  ", b"", b"", b"", b"text", b"-", b"\r", b"\0\xff",
    ]
)  # fmt: skip
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b""])
MAILS = st.lists(st.tuples(LINES, ENDS), max_size=30).map(lambda lines: b"".join(a + b for a, b in lines))
OCTETS = st.one_of(MAILS, st.binary(max_size=300), st.sampled_from([TWO_PARTS, FORWARD]))


def outcome(pieces: list[bytes], limits: MimeLimits, *, at_once: bool) -> Part | str:
    scanner = MessageScanner(limits)
    try:
        for piece in pieces:
            scanner.feed(piece)
            if at_once:
                scanner._flush()  # small pieces are gathered first; here every one is looked at
        return scanner.close()
    except OverLimit as error:
        return error.code


def split(octets: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[start:end] for start, end in pairwise(edges)]


@given(OCTETS, st.lists(st.integers(0, 2000), max_size=12), st.sampled_from([MimeLimits(), SMALL]))
def test_any_split_gives_the_same_tree(octets: bytes, cuts: list[int], limits: MimeLimits) -> None:
    whole = outcome([octets], limits, at_once=False)
    assert outcome(split(octets, cuts), limits, at_once=True) == whole
    assert outcome(split(octets, cuts), limits, at_once=False) == whole


@given(OCTETS)
@example(TWO_PARTS)
@example(FORWARD)
def test_octet_by_octet(octets: bytes) -> None:
    pieces = [octets[index : index + 1] for index in range(len(octets))]
    assert outcome(pieces, SMALL, at_once=True) == outcome([octets], SMALL, at_once=False)
    assert outcome(pieces, MimeLimits(), at_once=True) == outcome([octets], MimeLimits(), at_once=False)


@given(OCTETS)
def test_the_tree_is_sound(octets: bytes) -> None:
    tree = outcome([octets], MimeLimits(), at_once=False)
    assert isinstance(tree, Part)
    assert (tree.header_start, tree.body_end) == (0, len(octets))
    seen = set()
    for part in tree.walk():
        assert part.path not in seen
        seen.add(part.path)
        assert part.header_start <= part.body_start <= part.body_end
        body = octets[part.body_start : part.body_end]
        assert part.line_count == body.count(b"\n") + (bool(body) and not body.endswith(b"\n"))
        edge = part.body_start
        for child in part.children:
            assert edge <= child.header_start
            edge = child.body_end
            assert edge <= part.body_end or not body


@given(OCTETS)
def test_structures_are_well_formed_and_fit(octets: bytes) -> None:
    summary = summary_of(octets)
    wire = format_summary(summary)
    assert len(wire) <= SUMMARY_BYTES
    assert parse_summary(wire) == summary
    assert len(read_list(summary.envelope)) == 10
    read_list(summary.body)
    read_list(summary.bodystructure)
    for row in summary.parts:
        for section in (row.path, f"{row.path}.MIME", f"{row.path}.HEADER"):
            if "TEXT." not in section:
                assert all(0 <= s.start <= s.end <= len(octets) for s in locate_section(summary, section))


@given(st.binary(max_size=400))
def test_field_readers_never_raise(octets: bytes) -> None:
    for value in HeaderBlock(b"A: " + octets).find_all(b"a"):
        assert not {0, 10, 13} & set(value)
    assert not UNSAFE.search(decode_words(octets))
    parameters = parse_parameters(octets)
    find_parameter(parameters, "a")
    find_date(octets)
    for item in parse_address_list(octets).items:
        assert not UNSAFE.search(item.display_name)


@given(
    st.lists(st.sampled_from(["a@b", "A <a@b>", "g:", ";", "(c)", "x", "@", " "]), max_size=20),
    st.integers(1, 8),
)
def test_a_list_is_within_what_a_shorter_reading_finds(pieces: list[str], max_items: int) -> None:
    value = ",".join(pieces).encode()
    whole = parse_address_list(value)
    shorter = parse_address_list(value, max_items)
    assert not whole.is_within(max_items) or whole == shorter


@given(st.text(alphabet='a@<>,;:()" \\.[]=?', max_size=60))
def test_address_lists_never_raise_and_fit_imap(text: str) -> None:
    summary = summary_of(b"To: " + text.encode() + b"\r\n\r\n")
    assert len(read_list(summary.envelope)) == 10


@given(
    st.one_of(st.binary(max_size=200), st.text(alphabet="=\r\n \tA4d", max_size=80).map(str.encode)),
    st.lists(st.integers(0, 2000), max_size=8),
    st.sampled_from(["base64", "quoted-printable", "7bit"]),
)
def test_decoders_do_not_care_about_splits(octets: bytes, cuts: list[int], encoding: str) -> None:
    decoder = decoder_of(encoding)
    found = b"".join([decoder.update(piece) for piece in split(octets, cuts)])
    assert found + decoder.finish() == decode_body(octets, encoding)


@given(st.binary(max_size=100), st.text(max_size=20))
def test_decode_text_never_raises(octets: bytes, charset: str) -> None:
    decode_text(octets, charset).encode()


@given(st.text(alphabet="a\r\n\0", max_size=20).map(str.encode), st.lists(st.integers(0, 30), max_size=6))
def test_line_discipline_does_not_care_about_splits(octets: bytes, cuts: list[int]) -> None:
    discipline = LineDiscipline()
    for piece in split(octets, cuts):
        discipline.feed(piece)
    lone = octets.replace(b"\r\n", b"")
    is_wrong = any(octet in lone for octet in b"\r\n\0")
    assert (discipline.close() is not None) == is_wrong == (check_line_discipline(octets) is not None)


@given(st.binary(max_size=200))
def test_only_malformed_escapes_the_summary_reader(octets: bytes) -> None:
    for wire in (octets, b"\x01\0" + octets):
        for read in (parse_summary, SummaryView):
            try:
                read(wire)
            except Malformed as error:
                assert error.code == "summary"
