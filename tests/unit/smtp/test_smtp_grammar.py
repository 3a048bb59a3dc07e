"""Command lines: what is read, and which reply what is not read gets."""

import pytest

from mailserver.model.address import parse_address
from mailserver.model.dsn import MessageAsk, Notify, RecipientAsk, Returned
from mailserver.model.errors import Malformed
from mailserver.smtp.grammar import Auth, Hello, Mail, Rcpt, Verb, parse_command
from mailserver.smtp.replies import TROUBLES

A = parse_address("a@b.example")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"EHLO mx.b.example", Hello("mx.b.example", True)),
        (b"ehlo [IPv6:::1]", Hello("[IPv6:::1]", True)),
        (b"HELO poste_1", Hello("poste_1", False)),
        (b"EHLO cabinet m\xc3\xa9dical", Hello("unknown", True)),
        (b"MAIL FROM:<a@b.example>", Mail(A)),
        (b"mail from: <a@b.example>", Mail(A)),  # Outlook
        (b"MAIL FROM:<a@B.EXAMPLE>  ", Mail(A)),
        (b"MAIL FROM:<>", Mail(None)),
        (b"MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME", Mail(A, 1000)),
        (b"MAIL FROM:<a@b.example> AUTH=a+40b", Mail(A)),
        (b"MAIL FROM:<\xc3\xa9@b.example> SMTPUTF8", Mail(parse_address("é@b.example"), 0, True)),
        (b"RCPT TO:<a@b.example>", Rcpt(A)),
        (b"RCPT TO: <a@b.example>", Rcpt(A)),
        (b"RCPT TO:<Postmaster>", Rcpt(None)),
        ("RCPT TO:<a@École.example>".encode(), Rcpt(parse_address("a@école.example"))),
        (b"AUTH PLAIN", Auth("PLAIN")),
        (b"auth plain AGEAYg==", Auth("PLAIN", b"AGEAYg==")),
        (b"AUTH LOGIN =", Auth("LOGIN", b"=")),
        (b"DATA", Verb.DATA),
        (b"data ", Verb.DATA),
        (b"NOOP whatever", Verb.NOOP),
        (b"HELP DATA", Verb.HELP),
        (b"VRFY camille", Verb.VRFY),
        (b"EXPN list", Verb.EXPN),
    ],
)
def test_read(line, expected):
    read = parse_command(line)
    if expected is not None:
        assert read == expected


@pytest.mark.parametrize(
    ("line", "code", "reply"),
    [
        (b"", "command-unknown", 500),
        (b"FROB x", "command-unknown", 500),
        (b"BURL imap://x LAST", "command-unknown", 500),
        (b"M\xc3\x89IL FROM:<a@b.example>", "command-syntax", 500),
        (b"MAIL FROM:<\xe9@b.example> SMTPUTF8", "command-syntax", 500),
        (b"NOOP " + b"x" * 3000, "line-too-long", 500),
        (b"EHLO", "argument-syntax", 501),
        (b"EHLO  ", "argument-syntax", 501),
        (b"DATA now", "argument-syntax", 501),
        (b"MAIL", "argument-syntax", 501),
        (b"MAIL TO:<a@b.example>", "argument-syntax", 501),
        (b"MAIL FROM:a@b.example", "argument-syntax", 501),
        (b"MAIL FROM:  <a@b.example>", "argument-syntax", 501),
        (b"MAIL FROM:<a@b.example>SIZE=1", "argument-syntax", 501),
        (b"RCPT TO:<a b@b.example>", "argument-syntax", 501),
        (b"AUTH", "argument-syntax", 501),
        (b"AUTH PLA!N x", "argument-syntax", 501),
        (b"MAIL FROM:<a@b.example> SIZE=x", "parameter-value", 501),
        (b"MAIL FROM:<a@b.example> REQUIRETLS=1", "parameter-value", 501),
        (b"BDAT", "chunk-syntax", 501),
        (b"BDAT 12 13", "chunk-syntax", 501),
        (b"BDAT 12 \xff", "chunk-syntax", 501),
        (b"bdat 12 " + b"x" * 3000, "chunk-syntax", 501),
        (b"MAIL FROM:<a@b.example> SIZE", "parameter-value", 501),
        (b"MAIL FROM:<a@b.example> SIZE=1 size=2", "parameter-value", 501),
        (b"MAIL FROM:<a@b.example> BODY=BINARYMIME", "parameter-value", 501),
        (b"MAIL FROM:<a@b.example> SMTPUTF8=1", "parameter-value", 501),
        (b"MAIL FROM:<a@b.example> HOLDFOR=1", "parameter-unknown", 555),
        (b"RCPT TO:<a@b.example> RRVS=1", "parameter-unknown", 555),
        (b"MAIL FROM:<a@b.example> NOTIFY=NEVER", "parameter-unknown", 555),
        (b"RCPT TO:<a@b.example> RET=FULL", "parameter-unknown", 555),
        (b"MAIL FROM:<@x.example:a@b.example>", "sender-syntax", 553),
        (b'MAIL FROM:<"a"@b.example>', "sender-syntax", 553),
        (b"MAIL FROM:<a@[127.0.0.1]>", "sender-syntax", 553),
        (b"MAIL FROM:<a>", "sender-syntax", 553),
        (b"MAIL FROM:<a@b.example.>", "sender-syntax", 553),
        (b"RCPT TO:<>", "recipient-syntax", 553),
        (b"RCPT TO:<a@b.example.>", "recipient-syntax", 553),
        ("RCPT TO:<a@b\u3002example>".encode(), "recipient-syntax", 553),  # ideographic full stop
        ("RCPT TO:<a@\uff42.example>".encode(), "recipient-syntax", 553),  # full-width b
        (b"RCPT TO:<a@b@c.example>", "recipient-syntax", 553),
        (b"RCPT TO:<a@b.example,c@d.example>", "recipient-syntax", 553),
        (b"MAIL FROM:<\xc3\xa9@b.example>", "address-utf8", 553),
    ],
)
def test_not_read(line, code, reply):
    with pytest.raises(Malformed) as caught:
        parse_command(line)
    assert caught.value.code == code
    assert TROUBLES[code].code == reply


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"MAIL FROM:<a@b.example> RET=FULL", MessageAsk(Returned.FULL)),
        (b"MAIL FROM:<a@b.example> ret=hdrs ENVID=a+2B1+3Db", MessageAsk(Returned.HEADERS, "a+1=b")),
        (b"MAIL FROM:<> ENVID=" + b"x" * 100, MessageAsk(None, "x" * 100)),
        (b"MAIL FROM:<a@b.example> REQUIRETLS", MessageAsk(requires_tls=True)),
        (b"RCPT TO:<a@b.example> NOTIFY=NEVER", RecipientAsk(frozenset())),
        (
            b"RCPT TO:<a@b.example> notify=success,DELAY",
            RecipientAsk(frozenset({Notify.SUCCESS, Notify.DELAY})),
        ),
        (b"RCPT TO:<a@b.example> ORCPT=rfc822;z+2Bx@b.example", RecipientAsk(None, "z+x@b.example")),
        (
            b"RCPT TO:<postmaster> NOTIFY=FAILURE ORCPT=RFC822;a@b",
            RecipientAsk(frozenset({Notify.FAILURE}), "a@b"),
        ),
    ],
)
def test_what_a_sender_asks_to_be_told(line, expected):
    assert parse_command(line).ask == expected


@pytest.mark.parametrize(
    "parameter",
    [
        *("RET", "RET=", "RET=ALL", "ENVID", "ENVID=a+2b", "ENVID=a+2", "ENVID=+0D+0ASubject:x", "ENVID=+80"),
        "ENVID=" + "x" * 101,
        "ENVID=a=b",
    ],
)
def test_what_of_a_message_cannot_be_asked(parameter):
    with pytest.raises(Malformed, match="parameter-value"):
        parse_command(f"MAIL FROM:<a@b.example> {parameter}".encode())


@pytest.mark.parametrize(
    "parameter",
    [
        *("NOTIFY", "NOTIFY=", "NOTIFY=ALWAYS", "NOTIFY=NEVER,DELAY", "NOTIFY=DELAY,DELAY", "NOTIFY=DELAY,"),
        *("ORCPT", "ORCPT=a@b", "ORCPT=rfc822;", "ORCPT=utf-8;a@b", "ORCPT=rfc822;a+b@c", "ORCPT=rfc822;+00"),
        "ORCPT=rfc822;" + "x" * 501,
    ],
)
def test_what_of_a_recipient_cannot_be_asked(parameter):
    with pytest.raises(Malformed, match="parameter-value"):
        parse_command(f"RCPT TO:<a@b.example> {parameter}".encode())


def test_what_was_asked_is_never_shown():
    assert "secret" not in repr(parse_command(b"RCPT TO:<a@b.example> ORCPT=rfc822;secret@b.example"))
    assert "secret" not in repr(parse_command(b"MAIL FROM:<a@b.example> ENVID=secret"))


def test_a_response_is_never_shown():
    assert "secret" not in repr(parse_command(b"AUTH PLAIN secret"))
