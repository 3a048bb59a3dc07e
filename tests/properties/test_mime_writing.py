"""What we write reads back: summaries, and mails with any text that people type."""

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from unit.mime.mime_messages import body_of, scan, summary_of

from mailserver.mime.composer import FileToAttach, Letter, Person, format_mail
from mailserver.mime.decode import decode_body
from mailserver.mime.encoded_words import UNSAFE
from mailserver.mime.submission import check_line_discipline
from mailserver.mime.summary import Attachment, DisplayAddress, HeaderSummary, PartRow, SummaryFlag
from mailserver.mime.summary_wire import SummaryView, format_summary, parse_summary
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TYPED = TEXT.filter(lambda text: not UNSAFE.search(text))
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
SHORT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
OFFSETS = st.integers(0, 2**32 - 1)
ROWS = st.builds(PartRow, SHORT, OFFSETS, OFFSETS, OFFSETS, SHORT, SHORT, SHORT, SHORT, SHORT)
PEOPLE = st.lists(st.builds(DisplayAddress, TEXT, TEXT), max_size=4).map(tuple)


@st.composite
def summaries(draw: st.DrawFn) -> HeaderSummary:
    rows = tuple(draw(st.lists(ROWS, min_size=1, max_size=4)))
    indexes = draw(st.lists(st.integers(0, len(rows) - 1), max_size=3))
    attachments = tuple(
        Attachment(index, rows[index].filename, rows[index].content_type, draw(OFFSETS)) for index in indexes
    )
    octets = st.binary(max_size=40)
    return HeaderSummary(
        size_bytes=draw(st.integers(0, 2**64 - 1)),
        header_bytes=draw(OFFSETS),
        envelope=draw(octets),
        body=draw(octets),
        bodystructure=draw(octets),
        parts=rows,
        attachments=attachments,
        subject=draw(TEXT),
        senders=draw(PEOPLE),
        recipients=draw(PEOPLE),
        date=draw(st.none() | TIMES),
        message_id=draw(TEXT),
        in_reply_to=draw(TEXT),
        references=draw(st.lists(TEXT, max_size=4).map(tuple)),
        flags=SummaryFlag(draw(st.integers(0, 15))),
        preview=draw(st.none() | TEXT),
    )


@given(summaries())
def test_summary_reads_back(summary: HeaderSummary) -> None:
    octets = format_summary(summary)
    assert parse_summary(octets) == summary
    view = SummaryView(octets)
    assert (view.size_bytes, view.envelope, view.bodystructure, view.message_id) == (
        summary.size_bytes,
        summary.envelope,
        summary.bodystructure,
        summary.message_id.encode(),
    )
    assert view.preview == (None if summary.preview is None else summary.preview.encode())
    assert (view.header_bytes, view.body) == (summary.header_bytes, summary.body)
    assert (view.subject, view.is_subject_whole) == (summary.subject, True)
    sent_at = (
        None if summary.date is None else (summary.date - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    )
    assert view.sent_at == sent_at
    parent = [summary.in_reply_to] if summary.in_reply_to else []
    assert view.ancestors() == [text.encode() for text in summary.references or parent]


@given(st.binary(max_size=80))
def test_a_view_refuses_or_reads(octets: bytes) -> None:
    try:
        view = SummaryView(octets)
    except Malformed:
        return
    assert (view.subject, view.ancestors(), view.sent_at, view.envelope, view.body) is not None


@given(summaries(), st.data())
def test_a_cut_summary_is_refused(summary: HeaderSummary, data: st.DataObject) -> None:
    octets = format_summary(summary)
    cut = data.draw(st.integers(0, len(octets) - 1))
    try:
        parse_summary(octets[:cut])
    except Malformed as error:
        assert error.code == "summary"
    else:
        raise AssertionError("accepted")


@example("s", "", "\n\r", "\n\r", [("a.pdf", b"x")])  # a blank line before a delimiter
@given(TYPED, TYPED, TEXT, st.none() | TEXT, st.lists(st.tuples(TYPED, st.binary(max_size=300)), max_size=3))
def test_letter_reads_back(
    subject: str, name: str, text: str, html: str | None, files: list[tuple[str, bytes]]
) -> None:
    text, html = text.replace("\0", ""), html and html.replace("\0", "")
    letter = Letter(
        Person(parse_address("z@demo.example"), name),
        (Person(parse_address("a@demo.example")),),
        subject,
        text,
        datetime(2026, 3, 2, 8, 21, tzinfo=UTC),
        "<1@demo.example>",
        html=html,
    )
    attachments = [FileToAttach(label, "application/pdf", [octets]) for label, octets in files]
    mail = format_mail(letter, "abc123XYZ0", attachments)
    # 1. the wire: lines, discipline, structure
    assert check_line_discipline(mail) is None
    assert all(len(line) <= 78 for line in mail.split(b"\r\n"))
    root = scan(mail)
    assert not any(part.defects for part in root.walk())
    # 2. the header
    summary = summary_of(mail)
    assert summary.subject == subject.strip()
    assert summary.senders == (DisplayAddress(name.strip(), "z@demo.example"),)
    assert len(summary.recipients) == 1
    # 3. the bodies
    leaves = [part for part in root.walk() if part.content.media_type != "multipart"]
    bodies = [decode_body(body_of(mail, part), part.content.encoding) for part in leaves]
    texts = [text] if html is None else [text, html]
    for body, typed in zip(bodies, texts, strict=False):
        lines = typed.replace("\r\n", "\n").replace("\r", "\n")
        assert body.decode() == (lines.removesuffix("\n") + "\n").replace("\n", "\r\n")
    assert bodies[len(texts) :] == [octets for _, octets in files]
    names = [part.content.filename for part in leaves[len(texts) :]]
    assert names == [label.replace("\\", "/").rpartition("/")[2].strip() for label, _ in files]
