"""Fuzz targets of mail itself: no octets make the MIME reader fail, and SMTP's readers let only Malformed out."""

from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

from unit.mime.mime_messages import read_list

from mailserver.audit.wording import Language
from mailserver.crypto.secret import Secret
from mailserver.imap.base_subject import find_base
from mailserver.imap.envelope_fields import FIELDS, parse_nodes
from mailserver.mime import scanner
from mailserver.mime.addresses import parse_address_list
from mailserver.mime.answer_marks import is_bulk, list_named
from mailserver.mime.bounces import WORD_BYTES, WORDS, find_bounce
from mailserver.mime.dates import find_date
from mailserver.mime.decode import decode_body, decode_text, decoder_of
from mailserver.mime.encoded_words import UNSAFE, decode_words
from mailserver.mime.envelope import build_envelope
from mailserver.mime.headers import HeaderBlock, find_message_ids
from mailserver.mime.limits import DEFAULT_LIMITS, MimeLimits
from mailserver.mime.notices import find_notice
from mailserver.mime.parameters import find_media_type, find_parameter, parse_parameters
from mailserver.mime.part import Part, parse_content
from mailserver.mime.preview import first_words
from mailserver.mime.receipts import find_original_id
from mailserver.mime.report_parts import RECIPIENTS
from mailserver.mime.scanner import MessageScanner
from mailserver.mime.section import filter_header_fields, locate_section
from mailserver.mime.strict_address import parse_named_address
from mailserver.mime.submission import LineDefect, LineDiscipline
from mailserver.mime.summary import HeaderSummary, summarise
from mailserver.mime.summary_wire import SummaryView, format_summary, parse_summary
from mailserver.model.absence import format_absence, parse_absence
from mailserver.model.address import parse_address
from mailserver.model.errors import Malformed, OverLimit
from mailserver.policy.absence_wording import format_recipient_words, format_reply_text
from mailserver.service.header_facts import read_header_facts
from mailserver.service.notice_tokens import find_jobs
from mailserver.smtp import framing
from mailserver.smtp.dot_reader import DotReader
from mailserver.smtp.framing import LineFramer
from mailserver.smtp.grammar import parse_command
from mailserver.smtp.replies import TROUBLES
from mailserver.smtp.sasl import parse_plain, parse_response
from mailserver.store.row_macs import RowMacs

TIGHT = MimeLimits(header_bytes=200, header_lines=8, all_headers_bytes=600, depth=4, parts=8, steps=100)
OCTET_BY_OCTET = 400
"""Octets of a message that is cut everywhere; a longer one is cut at as many places."""
ENCODINGS = ("base64", "quoted-printable", "8bit")
CHARSETS = ("", "utf-8", "iso-2022-jp", "hz", "utf-16", "gb18030", "utf-7", "x-none")


def scan_message(data: bytes) -> None:
    """One message: the same tree however it is cut, responses that IMAP can send, each part where it says."""
    _scan_within([data], TIGHT)
    root, head = _scan([data], DEFAULT_LIMITS)
    step = 1 + len(data) // OCTET_BY_OCTET
    with patch.object(scanner, "_BLOCK_BYTES", 1):  # as if each piece were a block
        cut = _scan([data[at : at + step] for at in range(0, len(data), step)], DEFAULT_LIMITS)
    assert cut == (root, head), "a split changed the tree"
    summary = summarise(root, head, len(data))
    summary = replace(summary, preview=first_words(summary, lambda start, stop: data[start:stop]))
    octets = format_summary(summary)
    assert parse_summary(octets) == summary
    for listed in (summary.envelope, summary.body, summary.bodystructure):
        read_list(listed)
    _check_spans(summary, len(data))
    find_original_id(root, lambda start, stop: data[start:stop])


def read_notice(data: bytes) -> None:
    """A message that may be a notice, and the machine part of either kind."""
    _find_notice(data)
    for kind in (b"disposition-notification", b"delivery-status"):
        head = b"In-Reply-To: <a@b>\r\nContent-Type: multipart/report; boundary=n\r\n\r\n--n\r\n\r\n--n\r\n"
        _find_notice(head + b"Content-Type: message/" + kind + b"\r\n\r\n" + data + b"\r\n--n--\r\n")


def _find_notice(data: bytes) -> None:
    root, _head = _scan([data], DEFAULT_LIMITS)
    found = find_notice(root, lambda start, stop: data[start:stop])
    if found is not None:
        assert found.original_id[0] + found.original_id[-1] == "<>"
        assert 1 <= len(found.news) <= RECIPIENTS
        for news in found.news:
            assert news.code == 0 or 900 <= news.code <= 906


def read_bounce(data: bytes) -> None:
    """A report of ordinary mail, and the machine part of one."""
    head = b"To: n+%b@a.localhost\r\nContent-Type: multipart/report; boundary=n\r\n\r\n" % (b"a" * 42)
    for octets in (
        data,
        head + b"--n\r\nContent-Type: message/delivery-status\r\n\r\n" + data + b"\r\n--n--\r\n",
    ):
        _find_bounce(octets)


def _find_bounce(octets: bytes) -> None:
    root, _head = _scan([octets], DEFAULT_LIMITS)
    found = find_bounce(root, lambda start, stop: octets[start:stop])
    if found is not None:
        assert all(1 <= len(word) <= WORD_BYTES for word in found.words)
        assert len(found.words) <= WORDS
        assert len(found.failures) <= RECIPIENTS + 1
        assert all(each.names and each.status[0] in "245" for each in found.failures)
        assert find_jobs(RowMacs(Secret(bytes(32))), found.words) == ()


def _scan_within(pieces: list[bytes], limits: MimeLimits) -> None:
    try:
        _scan(pieces, limits)
    except OverLimit as error:
        assert error.code


def _scan(pieces: list[bytes], limits: MimeLimits) -> tuple[Part, bytes]:
    reader = MessageScanner(limits)
    for piece in pieces:
        reader.feed(piece)
    return reader.close(), reader.head


def _check_spans(summary: HeaderSummary, size_bytes: int) -> None:
    for row in summary.parts:
        assert 0 <= row.header_start <= row.body_start <= row.body_end <= size_bytes
        if not row.path.replace(".", "").isdigit():
            continue  # a multipart that no number names
        for section in (row.path, f"{row.path}.MIME", f"{row.path}.HEADER", f"{row.path}.TEXT"):
            for span in locate_section(summary, section):
                assert 0 <= span.start <= span.end <= size_bytes


def read_header(data: bytes) -> None:
    """A header block: fields, addresses, dates, parameters and encoded words are read or left out."""
    block = HeaderBlock(data)
    envelope = build_envelope(block).octets
    read_list(envelope)
    assert len(parse_nodes(envelope)) == len(FIELDS)
    parse_content(block)
    facts = read_header_facts(block)
    is_bulk(block)
    assert all(isinstance(each, str) for each in list_named(block))
    assert not UNSAFE.search(facts.subject + facts.author_name)
    assert len(find_base(facts.subject)[0]) <= len(facts.subject)
    filter_header_fields(data, ["SUBJECT", "X"], invert=True)
    filter_header_fields(data, ["SUBJECT", "X"])


def read_absence(data: bytes) -> None:
    """An absence as a mail client writes it: one form, and words that fit every place where it is told."""
    try:
        absence = parse_absence(data)
    except Malformed as error:
        assert error.code.startswith("away-")
        return
    assert parse_absence(format_absence(absence)) == absence
    assert all(
        line.isascii() and line.isprintable() for line in format_recipient_words(absence, Language.FRENCH)
    )
    assert "Camille" in format_reply_text("Camille", absence, is_for_patient=True)
    assert not absence.is_over(absence.ends_at - timedelta(seconds=1))


def read_header_value(data: bytes) -> None:
    """One value, as each field would read it."""
    for address in parse_address_list(data).mailboxes:
        assert isinstance(address.text, str)
        assert isinstance(address.display_name, str)
    find_date(data)
    find_message_ids(data)
    find_media_type(data)
    parameters = parse_parameters(data)
    for name in ("name", "filename", "charset", "boundary"):
        find_parameter(parameters, name)
    assert not UNSAFE.search(decode_words(data))
    for parse in (parse_named_address, lambda octets: parse_address(octets.decode("latin-1"))):
        try:
            parse(data)
        except Malformed as error:
            assert error.code


def decode_content(data: bytes) -> None:
    """Transfer encodings and charsets never fail, and a cut changes nothing."""
    for encoding in ENCODINGS:
        decoder = decoder_of(encoding)
        cut = b"".join(decoder.update(data[at : at + 1]) for at in range(len(data))) + decoder.finish()
        assert cut == decode_body(data, encoding), encoding
    for charset in CHARSETS:
        assert isinstance(decode_text(data, charset), str)


def read_summary(data: bytes) -> None:
    """A stored summary: read, or refused as Malformed; what is read is written as the same octets."""
    try:
        assert format_summary(parse_summary(data)) == data
    except Malformed as error:
        assert error.code == "summary"
    try:
        view = SummaryView(data)
        assert isinstance((view.envelope, view.bodystructure, view.message_id, view.preview), tuple)
        assert isinstance((view.body, view.sent_at, view.subject, view.ancestors()), tuple)
    except Malformed as error:
        assert error.code == "summary"


def parse_smtp_lines(data: bytes) -> None:
    """Octets on an SMTP port: the same lines however they are cut; commands and SASL responses only Malformed."""
    with patch.object(framing, "LINE_OCTETS", 64):
        whole, rest = _lines([data])
        assert _lines([data[at : at + 1] for at in range(len(data))]) == (whole, rest)
    for line in whole:
        if line.fault is None:
            for parse in (parse_command, parse_response, parse_plain):
                try:
                    parse(line.text)
                except Malformed as error:
                    assert error.code in TROUBLES


def _lines(pieces: list[bytes]) -> tuple[list, bytes]:
    framer, lines = LineFramer(), []
    for piece in pieces:
        framer.feed(piece)
        while (line := framer.next_line()) is not None:
            lines.append(line)
    return lines, b"" if framer._is_dropping else framer.take_rest()


def read_smtp_data(data: bytes) -> None:
    """DATA: the same content and the same end however it is cut, and the same verdict on its line ends."""
    content, rest = _content([data])
    assert _content([data[at : at + 1] for at in range(len(data))]) == (content, rest)
    is_good = _verdict([content]) is None
    assert (_verdict([content[at : at + 1] for at in range(len(content))]) is None) == is_good


def _content(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    dots, content = DotReader(), b""
    for number, piece in enumerate(pieces):
        content += dots.feed(piece)
        if dots.is_done:
            return content, dots.rest + b"".join(pieces[number + 1 :])
    return content, None


def _verdict(pieces: list[bytes]) -> LineDefect | None:
    discipline = LineDiscipline()
    for piece in pieces:
        if (defect := discipline.feed(piece)) is not None:
            return defect
    return discipline.close()
