"""Our own mails: what is written reads back, nothing can be injected, large files stream; reports and trace."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from unit.mime.mime_messages import body_of, paths, scan, summary_of

from mailserver.mime.composer import (
    FileToAttach,
    Letter,
    Person,
    format_boundary,
    format_mail,
    format_notice,
    reply_headers,
    stream_attachment,
    stream_mail,
)
from mailserver.mime.dates import format_date
from mailserver.mime.decode import decode_body
from mailserver.mime.header_writer import format_field, format_parameter_field, format_text_field
from mailserver.mime.headers import HeaderBlock, find_header
from mailserver.mime.reports import (
    DeliveryAction,
    DsnFacts,
    Original,
    Receipt,
    RecipientStatus,
    normalise_lines,
    receipt_subject,
    stream_dsn,
    stream_mdn,
)
from mailserver.mime.submission import check_line_discipline
from mailserver.mime.trace import Hop, format_received, format_return_path
from mailserver.model.address import parse_address, parse_domain
from mailserver.model.errors import Malformed

NOW = datetime(2026, 3, 2, 8, 21, tzinfo=UTC)
NONCE = "abc123XYZ0"
LETTER = Letter(
    sender=Person(parse_address("z@demo.example"), "Zoé, cabinet"),
    recipients=(Person(parse_address("a@demo.example")), Person(parse_address("b@demo.example"), "B")),
    subject="Résultats de l'analyse",
    text="Bonjour,\n\nligne qui finit par une espace \n.\nFrom ici\n" + "très long " * 30,
    date=NOW,
    message_id="<1@demo.example>",
    fields=(("X-MSS-NIL", "TEST000000"),),
)


def pieces(octets: bytes, size: int = 1000) -> list[bytes]:
    return [octets[start : start + size] for start in range(0, len(octets), size)]


def test_plain_letter() -> None:
    mail = format_mail(LETTER, NONCE)
    assert mail == format_mail(LETTER, NONCE)
    assert check_line_discipline(mail) is None
    assert all(len(line) <= 78 for line in mail.split(b"\r\n"))
    root, summary = scan(mail), summary_of(mail)
    assert paths(root) == [("1", "text/plain")]
    text = decode_body(body_of(mail, root), root.content.encoding).decode()
    assert text == LETTER.text.replace("\n", "\r\n") + "\r\n"
    assert (summary.subject, summary.date, summary.message_id) == (LETTER.subject, NOW, "<1@demo.example>")
    assert [(person.name, person.address) for person in (*summary.senders, *summary.recipients)] == [
        ("Zoé, cabinet", "z@demo.example"), ("", "a@demo.example"), ("B", "b@demo.example")
    ]  # fmt: skip
    assert find_header(mail, "X-MSS-NIL") == b"TEST000000"


def test_what_programs_read_is_not_encoded() -> None:
    codes = ",".join(["96349-6"] * 20)
    mail = format_mail(replace(LETTER, fields=(("X-MSS-CODECDA", codes),)), NONCE)
    assert f"\r\nX-MSS-CODECDA: {codes}\r\n".encode() in mail
    with pytest.raises(Malformed, match="header-value"):
        format_mail(replace(LETTER, fields=(("X-MSS-NIL", "é"),)), NONCE)


def test_notice() -> None:
    assert find_header(format_notice(LETTER, NONCE), "Auto-Submitted") == b"auto-generated"


def test_letter_with_html_and_files() -> None:
    files = [
        FileToAttach("Compte rendu été 2026.pdf", "application/pdf", pieces(b"%PDF" * 5000)),
        FileToAttach("", "application/octet-stream", []),
        FileToAttach("x" * 200 + ".txt", "text/plain", [b"\0\r\n\xff"]),
    ]
    mail = format_mail(replace(LETTER, html="<p>é</p>"), NONCE, files)
    assert check_line_discipline(mail) is None
    root = scan(mail)
    assert [content_type for _, content_type in paths(root)] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf",
        "application/octet-stream", "text/plain",
    ]  # fmt: skip
    assert not any(part.defects for part in root.walk())
    assert [part.content.filename for part in root.children[1:]] == [
        "Compte rendu été 2026.pdf", "", "x" * 200 + ".txt"
    ]  # fmt: skip
    decoded = [decode_body(body_of(mail, part), "base64") for part in root.children[1:]]
    assert decoded == [b"%PDF" * 5000, b"", b"\0\r\n\xff"]


def test_a_large_file_is_streamed() -> None:
    taken: list[int] = []

    def chunks() -> object:
        for index in range(100):
            taken.append(index)
            yield b"x" * 100_000

    stream = stream_mail(LETTER, NONCE, [FileToAttach("x", "a/b", chunks())])  # type: ignore[arg-type]  # a generator
    for _ in range(4):
        assert len(next(stream)) < 200_000
    assert len(taken) <= 2


@pytest.mark.parametrize(
    "evil", ["a\r\nBcc: x@demo.example", "a\nb", "a\rb", "a\0b", "a\x85b", "a\u2028b", "\ud800"]
)
def test_no_value_injects_a_header(evil: str) -> None:
    changes = [
        replace(LETTER, subject=evil),
        replace(LETTER, sender=Person(LETTER.sender.address, evil)),
        replace(LETTER, copies=(Person(LETTER.sender.address, evil),)),
        replace(LETTER, reply_to=(Person(LETTER.sender.address, evil),)),
        replace(LETTER, fields=(("X-A", evil),)),
        replace(LETTER, fields=((evil, "x"),)),
        replace(LETTER, message_id=f"<{evil}@x>"),
        replace(LETTER, in_reply_to=f"<{evil}@x>"),
        replace(LETTER, references=("<a@x>", f"<{evil}@x>")),
    ]
    for letter in changes:
        with pytest.raises(Malformed) as caught:
            stream_mail(letter, NONCE)
        assert caught.value.code in {"header-value", "header-name", "message-id"}
    with pytest.raises(Malformed) as caught:
        stream_attachment(FileToAttach(evil, "a/b", []))
    assert caught.value.code == "header-value"


@pytest.mark.parametrize(
    ("letter", "nonce", "code"),
    [
        (replace(LETTER, fields=(("Bcc", "x"),)), NONCE, "header-name"),
        (replace(LETTER, fields=(("Content-Type", "x"),)), NONCE, "header-name"),
        (replace(LETTER, fields=(("A:b", "x"),)), NONCE, "header-name"),
        (replace(LETTER, text="a\0b"), NONCE, "body"),
        (replace(LETTER, text="\ud800"), NONCE, "body"),
        (replace(LETTER, message_id="no"), NONCE, "message-id"),
        (LETTER, "short", "boundary"),
        (LETTER, 'x"\r\nabcdef', "boundary"),
    ],
)
def test_what_is_refused(letter: Letter, nonce: str, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        stream_mail(letter, nonce)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "content_type", ["message/rfc822", "multipart/mixed", "text", "a/b; c=d", "a/b\r\nX: y"]
)
def test_attachment_types(content_type: str) -> None:
    with pytest.raises(Malformed) as caught:
        stream_attachment(FileToAttach("x", content_type, []))
    assert caught.value.code == "content-type"


def test_a_text_cannot_hold_a_boundary() -> None:
    boundary = format_boundary(NONCE, "m")
    letter = replace(
        LETTER, text=f"--{boundary}--\n--{boundary}\n", html=f"--{format_boundary(NONCE, 'a')}--"
    )
    mail = format_mail(letter, NONCE, [FileToAttach("x", "a/b", [b"x"])])
    assert [path for path, _ in paths(scan(mail))] == ["TEXT", "1", "1.1", "1.2", "2"]


@pytest.mark.parametrize(
    "text", ["", "a", "x" * 2000, "é" * 500, "=?utf-8?q?x?=", " a  b ", "a\tb", "mot " * 200 + "fin"]
)
def test_text_fields_read_back(text: str) -> None:
    octets = format_text_field("Subject", text)
    assert all(len(line) <= 78 for line in octets.split(b"\r\n"))
    assert summary_of(octets + b"\r\n").subject == text.strip()


def test_long_words_and_parameters() -> None:
    with pytest.raises(Malformed) as caught:
        format_field("A", ["x" * 1000])
    assert caught.value.code == "header-value"
    field = format_parameter_field("Content-Type", "a/b", [("name", "é" * 100)])
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    with pytest.raises(Malformed) as caught:
        format_parameter_field("Content-Type", "a/b", [("na me", "x")])
    assert caught.value.code == "header-name"


@pytest.mark.parametrize(
    ("header", "subject", "references"),
    [
        ("Subject: S\nMessage-ID: <1@x.example>\n", "Re: S", ("<1@x.example>",)),
        ("Subject: re: S\nMessage-ID: <2@x.example>\nIn-Reply-To: <1@x.example>\n", "re: S",
         ("<1@x.example>", "<2@x.example>")),
        ("Message-ID: <2@x.example>\nReferences: <0@x.example> <1@x.example>\n", "Re:",
         ("<0@x.example>", "<1@x.example>", "<2@x.example>")),
        ("Subject: S\n", "Re: S", ()),
        ("Subject: S\nMessage-ID: <no at sign>\n", "Re: S", ()),
    ],
)  # fmt: skip
def test_reply_headers(header: str, subject: str, references: tuple[str, ...]) -> None:
    reply = reply_headers(summary_of(header.encode() + b"\n"))
    assert (reply.subject, reply.references) == (subject, references)
    assert reply.in_reply_to == (references[-1] if references else None)


def test_a_long_thread_keeps_both_ends() -> None:
    header = (
        "References: "
        + " ".join(f"<{index}@x.example>" for index in range(50))
        + "\nMessage-ID: <last@x.example>\n\n"
    )
    references = reply_headers(summary_of(header.encode())).references
    assert (len(references), references[0], references[-1]) == (20, "<0@x.example>", "<last@x.example>")


def test_delivery_status() -> None:
    statuses = [
        RecipientStatus(parse_address("a@demo.example"), DeliveryAction.FAILED, "5.1.1", parse_domain("mx.demo.example"),
                        "550 5.1.1 no such box"),
        RecipientStatus(parse_address("zoé@demo.example"), DeliveryAction.DELAYED, "4.4.1", original="z+1@x.example",
                        retry_until=NOW),
    ]  # fmt: skip
    facts = DsnFacts(parse_domain("mail.demo.example"), NOW, "un deux=3")
    stream = stream_dsn(LETTER, NONCE, facts, statuses, Original([b"Subject: s\n", b"To: a\n\n"]))
    mail = b"".join(stream)
    assert check_line_discipline(mail) is None
    root = scan(mail)
    assert paths(root) == [
        ("TEXT", "multipart/report"), ("1", "text/plain"), ("2", "message/delivery-status"), ("3", "text/rfc822-headers")
    ]  # fmt: skip
    message, first, second = body_of(mail, root.children[1]).split(b"\r\n\r\n")
    assert find_header(mail, "auto-submitted") == b"auto-replied"
    assert HeaderBlock(message).find(b"reporting-mta") == b"dns; mail.demo.example"
    assert HeaderBlock(message).find(b"original-envelope-id") == b"un deux=3"
    assert HeaderBlock(first).find(b"original-recipient") is None
    assert HeaderBlock(second).find(b"original-recipient") == b"rfc822; z+1@x.example"
    assert HeaderBlock(first).find(b"will-retry-until") is None
    assert HeaderBlock(second).find(b"will-retry-until") == format_date(NOW).encode()
    assert HeaderBlock(first).find(b"diagnostic-code") == b"smtp; 550 5.1.1 no such box"
    assert HeaderBlock(first).find(b"remote-mta") == b"dns; mx.demo.example"
    assert HeaderBlock(second).find(b"final-recipient") == "utf-8; zoé@demo.example".encode()
    assert HeaderBlock(second).find(b"action") == b"delayed"
    assert body_of(mail, root.children[2]) == b"Subject: s\r\nTo: a\r\n"
    with pytest.raises(Malformed) as caught:
        RecipientStatus(parse_address("a@demo.example"), DeliveryAction.FAILED, "oops")
    assert caught.value.code == "status"


def test_delivery_status_with_the_whole_message() -> None:
    status = RecipientStatus(parse_address("a@demo.example"), DeliveryAction.FAILED, "5.1.1")
    original = format_mail(LETTER, "zzz9999999")
    facts = DsnFacts(parse_domain("mail.demo.example"), NOW)
    mail = b"".join(stream_dsn(LETTER, NONCE, facts, [status], Original(pieces(original), is_whole=True)))
    root = scan(mail)
    assert paths(root)[3] == ("3", "message/rfc822")
    assert body_of(mail, root.children[2]).rstrip() == original.rstrip()


@pytest.mark.parametrize("error", [None, ("902", "patient inconnu")])
def test_receipt(error: tuple[str, str] | None) -> None:
    receipt = Receipt(
        "Pli 1", parse_address("c@demo.example"), "<0@demo.example>", "XDM/1.0/DDM+Lettre", error
    )
    letter = replace(LETTER, subject=receipt_subject(receipt), in_reply_to="<0@demo.example>")
    original = format_mail(
        LETTER, "zzz9999999", [FileToAttach("IHE_XDM.zip", "application/zip", [b"PK" * 999])]
    )
    mail = b"".join(stream_mdn(letter, NONCE, receipt, pieces(original)))
    assert check_line_discipline(mail) is None
    root = scan(mail)
    assert [content_type for _, content_type in paths(root)][:5] == [
        "multipart/report", "text/plain", "message/disposition-notification", "message/rfc822", "multipart/mixed"
    ]  # fmt: skip
    assert body_of(mail, root.children[2]) == original
    fields = HeaderBlock(body_of(mail, root.children[1]))
    assert fields.find(b"original-message-id") == b"<0@demo.example>"
    outcome = b"processed/error" if error else b"processed"
    assert fields.find(b"disposition") == b"automatic-action/MDN-sent-automatically; " + outcome
    assert fields.find(b"error") == (b"902^patient inconnu" if error else None)
    prefix = "[KO Intégration système !][902] " if error else ""
    assert summary_of(mail).subject == prefix + "XDM/1.0/DDM+Lettre"


def test_receipt_codes() -> None:
    with pytest.raises(Malformed) as caught:
        Receipt("Pli", parse_address("c@demo.example"), "<0@x>", "s", ("9\r\n", "x"))
    assert caught.value.code == "receipt-code"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"a\nb\r\nc\rd", b"a\r\nb\r\nc\r\nd"),
        (b"\r", b"\r\n"),
        (b"\0\r\0\n", b"\r\n"),
        (b"a\r\r\n", b"a\r\n\r\n"),
    ],
)
def test_normalise_lines(octets: bytes, expected: bytes) -> None:
    assert b"".join(normalise_lines([octets])) == expected
    assert b"".join(normalise_lines(pieces(octets, 1))) == expected


HOP = Hop(
    "mx.peer.example", "192.0.2.7", "mail.demo.example", "ESMTPS", "d0f1", "TLSv1.3 TLS_AES_256_GCM_SHA384"
)


def test_trace() -> None:
    assert format_return_path(parse_address("a@demo.example")) == b"Return-Path: <a@demo.example>\r\n"
    assert format_return_path(None) == b"Return-Path: <>\r\n"
    received = format_received(HOP, NOW)
    assert find_header(received, "received") == (
        b"from mx.peer.example ([192.0.2.7])\tby mail.demo.example with ESMTPS"
        b"\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\tid d0f1; Mon, 02 Mar 2026 08:21:00 +0000"
    )
    assert not re.search(rb"\bfor\b", received)
    assert check_line_discipline(received) is None
    assert b"[IPv6:2001:db8::1]" in format_received(replace(HOP, client_address="2001:db8::1", tls=""), NOW)


@pytest.mark.parametrize(
    "change",
    [{"helo": "a b"}, {"helo": "a\r\nX: y"}, {"helo": ""}, {"host": "\0"}, {"delivery": ";"}, {"protocol": "x y"},
     {"tls": "a\r\n"}],
)  # fmt: skip
def test_trace_fields_are_checked(change: dict[str, str]) -> None:
    with pytest.raises(Malformed) as caught:
        replace(HOP, **change)
    assert caught.value.code == "trace-field"
