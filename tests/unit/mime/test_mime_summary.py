"""Summaries: what they hold, that they stay small, and the sections found through them."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from unit.mime.mime_messages import crlf, read_list, summary_of
from unit.mime.test_mime_scanner import FORWARD, TWO_PARTS

from mailserver.mime.section import Span, filter_header_fields, locate_section
from mailserver.mime.summary import SUMMARY_BYTES, Attachment, DisplayAddress, SummaryFlag
from mailserver.mime.summary_wire import SummaryView, format_summary, parse_summary
from mailserver.model.errors import Malformed, OverLimit

HEADED = (
    crlf(
        "Subject: =?utf-8?q?R=C3=A9sultats?=\nFrom: =?utf-8?q?Zo=C3=A9?= <z@demo.example>\n"
        "To: a@demo.example, Team: b@demo.example;\nDate: Mon, 02 Mar 2026 09:21:00 +0100\n"
        "Message-ID: <1@demo.example>\nIn-Reply-To: <0@demo.example>\nReferences: <r@demo.example> <0@demo.example>\n"
    )
    + TWO_PARTS.partition(b"\r\n")[2]
)


def test_what_a_summary_holds() -> None:
    summary = summary_of(HEADED)
    assert summary.size_bytes == len(HEADED)
    assert HEADED[summary.header_bytes :].startswith(b"preamble")
    assert summary.subject == "Résultats"
    assert summary.senders == (DisplayAddress("Zoé", "z@demo.example"),)
    assert [person.address for person in summary.recipients] == ["a@demo.example", "b@demo.example"]
    assert summary.date == datetime(2026, 3, 2, 8, 21, tzinfo=UTC)
    assert (summary.message_id, summary.in_reply_to) == ("<1@demo.example>", "<0@demo.example>")
    assert summary.references == ("<r@demo.example>", "<0@demo.example>")
    assert [row.path for row in summary.parts] == ["TEXT", "1", "2"]
    assert summary.attachments == (Attachment(2, "x.pdf", "application/pdf", 3),)
    assert summary.flags == SummaryFlag.NONE
    assert "Zo" not in repr(summary)


def test_a_forwarded_message_is_one_attachment() -> None:
    assert [item.content_type for item in summary_of(FORWARD).attachments] == ["message/rfc822"] * 2


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ("attachment; filename=C:\\\\dir\\\\x.pdf", "x.pdf"),
        ("attachment; filename*=utf-8''r%C3%A9sum%C3%A9.pdf", "résumé.pdf"),
        ("attachment", ""),
        (f"attachment; filename={'é' * 300}", "é" * 126 + "…"),
    ],
)
def test_file_names(header: str, name: str) -> None:
    (attachment,) = summary_of(crlf(f"Content-Disposition: {header}\n\nx")).attachments
    assert attachment.filename == name


def test_wire_form_and_view() -> None:
    summary = summary_of(HEADED)
    octets = format_summary(summary)
    assert parse_summary(octets) == summary
    view = SummaryView(octets)
    assert (view.envelope, view.bodystructure) == (summary.envelope, summary.bodystructure)
    assert (view.size_bytes, view.message_id) == (len(HEADED), b"<1@demo.example>")


@pytest.mark.parametrize(
    ("subject", "is_whole"), [("court", True), ("x" * 2030, True), ("x" * 2049, False), ("é" * 1500, False)]
)
def test_a_view_knows_a_cut_subject(subject: str, is_whole: bool) -> None:
    view = SummaryView(format_summary(summary_of(crlf(f"Subject: {subject}\n\nx"))))
    assert view.is_subject_whole is is_whole
    assert subject.startswith(view.subject.rstrip("…"))


@pytest.mark.parametrize("spoil", [b"", b"\x01", b"\x03" + b"\0" * 60, b"\x01" + b"\xff" * 60])
def test_a_view_refuses_other_octets(spoil: bytes) -> None:
    for read in (SummaryView, parse_summary):
        with pytest.raises(Malformed) as caught:
            read(spoil)
        assert caught.value.code == "summary"


def test_trailing_and_missing_octets_are_refused() -> None:
    octets = format_summary(summary_of(HEADED))
    for wrong in (octets + b"\0", octets[:-1], octets + b"x" * SUMMARY_BYTES):
        with pytest.raises(Malformed) as caught:
            parse_summary(wrong)
        assert caught.value.code == "summary"


@pytest.mark.parametrize("change", [{"subject": "x" * 70_000}, {"envelope": b"x" * 66_000}])
def test_what_does_not_fit_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(OverLimit) as caught:
        format_summary(replace(summary_of(HEADED), **change))
    assert caught.value.code == "summary"


MANY = ", ".join(f"Prénom Nom {index} <user{index}@demo.example>" for index in range(2500))
LARGE = [
    (f"To: {MANY}\nFrom: {MANY}\n\nx", SummaryFlag.ENVELOPE_SHORTENED | SummaryFlag.DISPLAY_CUT),
    (f"Subject: {'é' * 50_000}\n\nx", SummaryFlag.ENVELOPE_SHORTENED | SummaryFlag.DISPLAY_CUT),
    (f"Subject: {'é' * 5000}\n\nx", SummaryFlag.DISPLAY_CUT),
    (f"References: {'<a@demo.example> ' * 9000}\n\nx", SummaryFlag.NONE),
    (f"Content-Type: a/b; x={'y' * 90_000}\n\nx", SummaryFlag.STRUCTURE_BRIEF),
    ("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * 300, SummaryFlag.NONE),
    ("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * 990, SummaryFlag.STRUCTURE_OPAQUE),
    (
        "Content-Type: multipart/mixed; boundary=b\n\n"
        + f"--b\nContent-Description: {'d' * 900}\n\nx\n" * 90,
        SummaryFlag.STRUCTURE_BRIEF,
    ),
]


@pytest.mark.parametrize(("text", "flags"), LARGE)
def test_a_summary_stays_under_64_kib(text: str, flags: SummaryFlag) -> None:
    summary = summary_of(crlf(text))
    octets = format_summary(summary)
    assert len(octets) <= SUMMARY_BYTES
    assert parse_summary(octets) == summary
    assert summary.flags == flags
    for tree in (summary.envelope, summary.body, summary.bodystructure):
        read_list(tree)


def test_display_fields_end_in_a_mark() -> None:
    summary = summary_of(crlf(f"Subject: {'é' * 5000}\nFrom: {'n' * 500} <{'l' * 500}@demo.example>\n\n"))
    assert summary.subject.endswith("é…")
    assert summary.senders[0].name.endswith("…")
    assert summary.senders[0].address.endswith("…")


def section_of(octets: bytes, section: str) -> bytes | None:
    spans = locate_section(summary_of(octets), section)
    return b"".join(octets[span.start : span.end] for span in spans) if spans else None


@pytest.mark.parametrize(
    ("section", "start", "end"),
    [
        ("HEADER", b"Content-Type: multipart/mixed", b"\r\n\r\n"),
        ("TEXT", b"--out\r\n\r\ntext", b"--out--\r\n"),
        ("1", b"text", b"text"),
        ("1.MIME", b"\r\n", b"\r\n"),
        ("2.MIME", b"Content-Type: message/rfc822", b"\r\n\r\n"),
        ("2", b"Subject: inner", b"--in--"),
        ("2.HEADER", b"Subject: inner", b"boundary=in\r\n\r\n"),
        ("2.TEXT", b"--in", b"--in--"),
        ("2.1", b"plain", b"plain"),
        ("2.2", b"<p>", b"<p>"),
        ("2.2.mime", b"Content-Type: text/html", b"\r\n\r\n"),
        ("3.TEXT", b"just text", b"just text"),
        ("3.1", b"just text", b"just text"),
        ("3.HEADER", b"Subject: leaf", b"\r\n\r\n"),
    ],
)
def test_sections(section: str, start: bytes, end: bytes) -> None:
    octets = section_of(FORWARD, section)
    assert octets is not None
    assert octets.startswith(start)
    assert octets.endswith(end)


def test_whole_message_and_single_part() -> None:
    assert locate_section(summary_of(FORWARD), "") == (Span(0, len(FORWARD)),)
    plain = b"A: b\r\n\r\nx"
    assert section_of(plain, "1") == section_of(plain, "TEXT") == b"x"
    assert section_of(plain, "1.MIME") == b"A: b\r\n\r\n"


@pytest.mark.parametrize("section", ["4", "1.1", "1.HEADER", "1.TEXT", "2.3", "2.1.1", "99999"])
def test_parts_that_are_not_there(section: str) -> None:
    assert locate_section(summary_of(FORWARD), section) == ()


@pytest.mark.parametrize(
    "section", ["MIME", "0", "1.", ".1", "1..2", "HEADER.1", "1.0", "TEXT.1", "x", "1TEXT", ".TEXT"]
)
def test_text_that_is_no_section(section: str) -> None:
    with pytest.raises(Malformed) as caught:
        locate_section(summary_of(FORWARD), section)
    assert caught.value.code == "section"


HEADER = b"From: a\r\nTo: b,\r\n\tc\r\nSUBJECT: s\r\nto: d\r\n\r\n"


@pytest.mark.parametrize(
    ("names", "invert", "expected"),
    [
        (["To"], False, b"To: b,\r\n\tc\r\nto: d\r\n\r\n"),
        (["subject", "FROM"], False, b"From: a\r\nSUBJECT: s\r\n\r\n"),
        (["To"], True, b"From: a\r\nSUBJECT: s\r\n\r\n"),
        (["X-None"], False, b"\r\n"),
        ([], True, HEADER),
    ],
)
def test_filter_header_fields(names: list[str], invert: bool, expected: bytes) -> None:
    assert filter_header_fields(HEADER, names, invert=invert) == expected


def test_filter_keeps_bare_lf_and_a_missing_blank_line() -> None:
    assert filter_header_fields(b"A: b\nC: d\n\n", ["c"]) == b"C: d\n\n"
    assert filter_header_fields(b"A: b\r\n", ["a"]) == b"A: b\r\n"


def test_ten_thousand_views() -> None:
    octets = format_summary(summary_of(HEADED))
    start = time.process_time()
    for _ in range(10_000):
        view = SummaryView(octets)
        assert view.envelope
    assert time.process_time() - start < 1  # 15 ms measured on an idle core


def test_a_header_without_end_stays_in_its_message() -> None:
    """The line break before a delimiter is the delimiter's (RFC 2046 §5.1.1), whatever it follows."""
    octets = crlf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\n--b--\n"
    )
    summary = summary_of(octets)
    (whole,), (header,), (text,) = (locate_section(summary, name) for name in ("1", "1.HEADER", "1.TEXT"))
    assert octets[whole.start : whole.end] == octets[header.start : header.end] == b"Subject: x"
    assert text.size_bytes == 0
