"""The MIME tree: offsets, paths, line counts, limits, and structures that are wrong."""

import time

import pytest
from unit.mime.mime_messages import body_of, crlf, paths, scan

from mailserver.mime.headers import HeaderBlock
from mailserver.mime.limits import MimeLimits
from mailserver.mime.part import Defect, parse_block, parse_content
from mailserver.mime.scanner import MessageScanner
from mailserver.model.errors import OverLimit

TWO_PARTS = crlf(
    """From: a@demo.example
Content-Type: multipart/mixed; boundary="b1"

preamble
--b1
Content-Type: text/plain; charset=utf-8

one
two
--b1
Content-Type: application/pdf; name=x.pdf
Content-Disposition: attachment; filename="x.pdf"
Content-Transfer-Encoding: base64

QUJD
--b1--
epilogue
"""
)

FORWARD = crlf(
    """Content-Type: multipart/mixed; boundary=out

--out

text
--out
Content-Type: message/rfc822

Subject: inner
From: Inner <in@demo.example>
Content-Type: multipart/alternative; boundary=in

--in

plain
--in
Content-Type: text/html

<p>
--in--
--out
Content-Type: message/rfc822

Subject: leaf

just text
--out--
"""
)


def test_two_parts() -> None:
    root = scan(TWO_PARTS)
    assert paths(root) == [
        ("TEXT", "multipart/mixed"), ("1", "text/plain"), ("2", "application/pdf")
    ]  # fmt: skip
    text, file = root.children
    assert body_of(TWO_PARTS, text) == b"one\r\ntwo"
    assert body_of(TWO_PARTS, file) == b"QUJD"
    assert (
        TWO_PARTS[text.header_start : text.body_start] == b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    )
    assert (text.line_count, file.line_count) == (2, 1)
    assert (root.header_start, root.body_end) == (0, len(TWO_PARTS))
    assert file.content.filename == "x.pdf"
    assert file.content.encoding == "base64"
    assert text.content.charset == "utf-8"
    assert root.defects == ()


def test_bare_lf_gives_the_same_tree() -> None:
    octets = TWO_PARTS.replace(b"\r\n", b"\n")
    root = scan(octets)
    assert paths(root) == paths(scan(TWO_PARTS))
    assert body_of(octets, root.children[0]) == b"one\ntwo"
    assert root.children[0].line_count == 2


def test_nested_messages_have_imap_paths() -> None:
    root = scan(FORWARD)
    assert [path for path, _ in paths(root)] == ["TEXT", "1", "2", "2.TEXT", "2.1", "2.2", "3", "3.1"]
    forwarded = root.children[1]
    assert forwarded.envelope is not None
    assert b'"inner"' in forwarded.envelope
    assert FORWARD[forwarded.body_start :].startswith(b"Subject: inner")
    assert body_of(FORWARD, forwarded).endswith(b"--in--")
    assert body_of(FORWARD, forwarded.children[0].children[1]) == b"<p>"
    assert body_of(FORWARD, root.children[2].children[0]) == b"just text"
    assert root.children[2].line_count == 3


@pytest.mark.parametrize(
    ("octets", "body", "lines"),
    [
        (b"", b"", 0),
        (b"\r\n", b"", 0),
        (b"A: b", b"", 0),
        (b"A: b\r\n", b"", 0),
        (b"A: b\r\n\r\n", b"", 0),
        (b"A: b\r\n\r\nx", b"x", 1),
        (b"A: b\r\n\r\nx\r\n", b"x\r\n", 1),
        (b"A: b\r\n\r\nx\r\ny", b"x\r\ny", 2),
        (b"\r\nx", b"x", 1),
        (b"\nx\n\n", b"x\n\n", 2),
        (b"no header at all\r\nreally\r\n", b"", 0),
        (b"\0\r\r\xff\n\nz", b"z", 1),
    ],
)
def test_single_part(octets: bytes, body: bytes, lines: int) -> None:
    root = scan(octets)
    assert root.path == "1"
    assert body_of(octets, root) == body
    assert root.line_count == lines
    assert root.content.content_type == "text/plain"


def test_head_is_kept() -> None:
    scanner = MessageScanner()
    scanner.feed(b"A: b\r\n\r\nbody")
    scanner.close()
    assert scanner.head == b"A: b\r\n\r\n"


def wrap(inner: str, boundary: str = "b") -> bytes:
    return crlf(f'Content-Type: multipart/mixed; boundary="{boundary}"\n\n{inner}')


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        # a header block that runs into a delimiter has no body
        (wrap("--b\nA: b\n--b\n\nx\n--b--\n"), [("TEXT", b""), ("1", b""), ("2", b"x")]),
        # the empty line's own line break is the delimiter's: an empty body
        (wrap("--b\nA: b\n\n--b--\n"), [("TEXT", b""), ("1", b"")]),
        # a delimiter straight after a delimiter is a part without anything
        (wrap("--b\n--b\n\nx\n--b--"), [("TEXT", b""), ("1", b""), ("2", b"x")]),
        # transport padding, and whatever else follows the boundary on its line (RFC 2046 §5.1.1)
        (wrap("--b  \n\nx\n--b-- \nafter"), [("TEXT", b""), ("1", b"x")]),
        # the boundary must begin its line
        (wrap("--b\n\nx --b\n --b\n--b--"), [("TEXT", b""), ("1", b"x --b\r\n --b")]),
        # after the close delimiter everything is epilogue
        (wrap("--b\n\nx\n--b--\n--b\n\ny\n"), [("TEXT", b""), ("1", b"x")]),
        # never closed
        (wrap("--b\n\nx\n"), [("TEXT", b""), ("1", b"x\r\n")]),
    ],
)
def test_delimiters(octets: bytes, expected: list[tuple[str, bytes]]) -> None:
    parts = list(scan(octets).walk())
    assert [part.path for part in parts] == [path for path, _ in expected]
    assert [body_of(octets, part) for part in parts[1:]] == [body for _, body in expected[1:]]


def test_of_two_boundaries_at_one_place_the_longer_wins() -> None:
    octets = wrap(
        '--b\nContent-Type: multipart/mixed; boundary="bb"\n\n--bb\n\nin\n--bb--\n--b\n\nout\n--b--\n'
    )
    root = scan(octets)
    assert [path for path, _ in paths(root)] == ["TEXT", "1", "1.1", "2"]
    assert body_of(octets, root.children[1]) == b"out"


def test_equal_boundaries_go_to_the_inner_multipart_until_it_is_closed() -> None:
    octets = wrap('--b\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n\nin\n--b--\n--b\n\nout\n--b--\n')
    assert [path for path, _ in paths(scan(octets))] == ["TEXT", "1", "1.1", "2"]


@pytest.mark.parametrize(
    ("block", "is_usual"),
    [
        ("Content-Type: text/plain; charset=utf-8\n\n", True),
        (
            'Content-Type: text/html;\n charset="iso-8859-1"\nContent-Transfer-Encoding: quoted-printable\n\n',
            True,
        ),
        ("Content-Transfer-Encoding: base64\nContent-Type: text/plain; charset=x; format=flowed\n\n", True),
        ("Content-Transfer-Encoding: 7bit\n\n", True),
        ("Content-Type: text/plain; charset=utf-8; name=a\n\n", False),
        ("Content-Type: text/plain; charset=utf-8\nContent-Description: a\n\n", False),
        ("Content-Type: text/plain; charset=utf-8\n name=a\n\n", False),
    ],
)
@pytest.mark.parametrize("in_digest", [False, True])
def test_a_usual_block_is_kept_and_reads_as_any_other(block: str, *, is_usual: bool, in_digest: bool) -> None:
    octets = crlf(block)
    read = [parse_block(octets, in_digest=in_digest) for _ in range(2)]
    headers = HeaderBlock(octets)
    assert (read[0] is read[1]) == (is_usual and not in_digest)  # what names a person or a file is never kept
    for each in read:
        assert (each.content, each.defects) == parse_content(headers, in_digest=in_digest)
        assert each.steps == 1 + len(headers)


def test_digest_defaults_to_messages() -> None:
    octets = crlf("Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\nx\n--b--\n")
    assert paths(scan(octets))[1:] == [("1", "message/rfc822"), ("1.1", "text/plain")]


@pytest.mark.parametrize(
    ("octets", "defect", "is_opaque"),
    [
        (b"Content-Type: multipart/mixed\r\n\r\nx", Defect.NO_BOUNDARY, True),
        (b"Content-Type: multipart/mixed; boundary=" + b"x" * 201 + b"\r\n\r\nx", Defect.NO_BOUNDARY, True),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nx", Defect.NO_PARTS, True),
        (
            b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nQQ==",
            Defect.ENCODED_MESSAGE,
            True,
        ),
        (b"Content-Type: ???\r\n\r\nx", Defect.CONTENT_TYPE, False),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx", Defect.UNCLOSED, False),
    ],
)
def test_wrong_structure_is_noted(octets: bytes, defect: Defect, is_opaque: bool) -> None:
    root = scan(octets)
    assert defect in root.defects
    assert root.is_opaque is is_opaque
    if is_opaque:
        assert paths(root) == [("1", "application/octet-stream")]


def nested(depth: int) -> bytes:
    return b"".join(b"Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n" % (i, i) for i in range(depth))


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"A: " + b"x" * 262_144 + b"\r\n\r\n", "mime-header-bytes"),
        (b"x" * 300_000, "mime-header-bytes"),
        (b"a: b\r\n" * 1000 + b"\r\n", "mime-header-lines"),
        (nested(50) + b"\n", "mime-depth"),
        (b"Content-Type: message/rfc822\n\n" * 50, "mime-depth"),
        (b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 1000, "mime-parts"),
        (
            b"Content-Type: multipart/mixed; boundary=b\n\n" + (b"--b\nA: " + b"x" * 200_000 + b"\n\n") * 6,
            "mime-headers-bytes",
        ),
        (
            b"Content-Type: multipart/digest; boundary=b\n\n"
            + (b"--b\n\nTo: " + b"[," * 500 + b"\n\n") * 400,
            "mime-steps",
        ),
    ],
)
def test_limits(octets: bytes, code: str) -> None:
    with pytest.raises(OverLimit) as caught:
        scan(octets)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "octets",
    [
        b"A: " + b"x" * 262_137 + b"\r\n\r\n",
        b"a: b\r\n" * 999 + b"\r\n",
        nested(49) + b"\n",
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 999,
    ],
)
def test_just_inside_the_limits(octets: bytes) -> None:
    scan(octets)


def test_limits_are_a_parameter() -> None:
    with pytest.raises(OverLimit) as caught:
        scan(TWO_PARTS, MimeLimits(parts=2))
    assert caught.value.code == "mime-parts"


@pytest.mark.parametrize(
    "octets",
    [
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"\n--" * 3_000_000,
        nested(48) + b"\n\n" + b"\n--yx1x1x1x" * 1_000_000,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"\r" * 9_000_000,
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"\n" * 9_000_000,
    ],
    ids=["dashes", "deep", "cr", "lf"],
)
def test_hostile_bodies_cost_linear_time(octets: bytes) -> None:
    start = time.process_time()
    scan(octets)
    assert time.process_time() - start < 15  # 9 MB: a tenth of that on an idle core


def test_memory_stays_flat() -> None:
    scanner = MessageScanner()
    scanner.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n")
    block = b"QUJD" * 4096
    for _ in range(600):
        scanner.feed(block)
        assert len(scanner._window) + scanner._pending_bytes < 200_000
    assert scanner.close().children[0].size_bytes == 600 * len(block)
