"""The MX port: who may hand mail in, what is refused and in which words, and that nothing refused is stored."""

import json
import smtplib
import ssl
import warnings
from datetime import UTC, datetime

import pytest
from harness.smtp_harness import (
    Wire,
    client_context,
    inbox,
    letter,
    log_lines,
    operator_context,
    running_smtp,
)
from harness.web_node import make_peers

from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning, Variant

OURS, PEER = "camille@a.localhost", "noa@b.localhost"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    folder = tmp_path_factory.mktemp("operators")
    ours, peer = make_peers(folder)
    yield ours, peer, folder / "authority"
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def password(operators):
    return operators[0].add(OURS).app_password


@pytest.fixture
def smtp(operators, password):
    with running_smtp(operators[0]) as running:
        yield running


@pytest.fixture(scope="module")
def as_peer(operators):
    return operator_context(operators[1])


@pytest.fixture
def issue(operators, tmp_path):
    """A caller's context with a certificate of the trust space's authority, or of another."""

    def make(variant=Variant.SOUND, *, is_foreign=False):
        now = datetime.now(UTC)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DemoAuthorityWarning)
            if is_foreign:
                authority = DemoAuthority.create(tmp_path / "other", now, key_bits=2048)
            else:
                authority = DemoAuthority.open(operators[2])
        issued = authority.issue_operator(
            "mx.intrus.example", ["127.0.0.1"], "Intrus", now=now, variant=variant
        )
        (tmp_path / "caller.pem").write_bytes(issued.cert_pem)
        (tmp_path / "caller.key").write_bytes(issued.key_pem)
        return client_context(tmp_path / "caller.pem", tmp_path / "caller.key")

    return make


def test_extensions_are_what_is_true(smtp, as_peer):
    clear = smtp.call_mx(None)
    keywords = {"size", "8bitmime", "smtputf8", "pipelining", "enhancedstatuscodes", "chunking", "limits"}
    assert set(clear.esmtp_features) == keywords | {"starttls"}
    assert clear.esmtp_features["size"] == str(smtp.node.services.reception.limit_bytes)
    clear.starttls(context=as_peer)
    clear.ehlo()
    assert set(clear.esmtp_features) == keywords | {"requiretls"}
    clear.quit()


@pytest.mark.parametrize(
    ("mail", "rcpt"), [(" RET=HDRS", ""), (" ENVID=12", ""), ("", " NOTIFY=NEVER"), ("", " ORCPT=rfc822;a@b")]
)
def test_no_report_is_offered_to_a_peer(smtp, as_peer, mail, rcpt):
    """S8: what EHLO does not name is refused."""
    with smtp.call_mx(as_peer) as client, log_lines() as log:
        replies = [client.docmd(f"MAIL FROM:<{PEER}>{mail}"), client.docmd(f"RCPT TO:<{OURS}>{rcpt}")]
        code, text = replies[0 if mail else 1]
    assert (code, text[:5]) == (555, b"5.5.4")
    assert "parameter-unknown" in log.text
    assert "@" not in log.text


def test_mail_arrives_with_its_trace(smtp, as_peer, password):
    client = smtp.call_mx(as_peer)
    assert client.sendmail(PEER, [OURS], letter(PEER, OURS, "trace"), ["BODY=8BITMIME"]) == {}
    client.quit()
    stored = inbox(smtp.node, OURS, password)[-1]
    head, _, octets = stored.partition(b"From: ")
    assert b"From: " + octets == letter(PEER, OURS, "trace")
    lines = head.decode().splitlines()
    assert lines[0] == f"Return-Path: <{PEER}>"
    assert lines[1] == "Received: from mx.b.localhost ([127.0.0.1])"
    assert lines[2] == "\tby a.localhost with ESMTPS"
    assert lines[3].startswith("\t(TLSv1.3 TLS_AES_")
    assert "for" not in head.decode().split()


def test_a_retry_is_folded(smtp, as_peer):
    before = smtp.counts()["item"]
    for _ in range(3):
        client = smtp.call_mx(as_peer)
        assert client.sendmail(PEER, [OURS], letter(PEER, OURS, "same")) == {}
        client.quit()
    assert smtp.counts()["item"] == before + 1


def refused_at_mail(smtp, context, sender=PEER):
    """The 5xx to MAIL, and that nothing was stored and nothing private was logged."""
    before = smtp.counts()
    with log_lines() as log:
        client = smtp.call_mx(context)
        code, text = client.mail(sender)
        assert client.rcpt(OURS)[0] in {503, 530}
        client.close()
    assert smtp.counts() == before
    assert "@" not in log.text
    lines = [json.loads(line) for line in log.lines]
    (refused,) = [line for line in lines if line["what"] == "refused" and line["code"] == code]
    assert refused["listener"] == "mx"
    assert refused["network"] == "127.0.0.0/24"
    return code, text.decode(), refused


def test_no_certificate(smtp):
    code, text, refused = refused_at_mail(smtp, client_context())
    assert code == 530
    assert "showed no certificate" in text
    assert "certificat client TLS" in text
    assert refused["reason"] == "no-certificate"


def test_another_name(smtp, issue):
    code, text, refused = refused_at_mail(smtp, issue())
    assert (code, refused["reason"]) == (550, "wrong-dn")
    assert text.startswith("5.7.1")
    assert "CN=mx.intrus.example" in refused["dn"] or "O=Intrus" in refused["dn"]


def test_our_own_domain_by_another(smtp, as_peer):
    code, _, refused = refused_at_mail(smtp, as_peer, OURS)
    assert (code, refused["reason"]) == (550, "sender-domain-ours")


def test_unlisted_domain(smtp, as_peer):
    code, _, refused = refused_at_mail(smtp, as_peer, "x@ailleurs.example")
    assert (code, refused["reason"]) == (550, "sender-domain-unlisted")


def test_in_the_clear(smtp):
    before = smtp.counts()
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    for line in (
        b"MAIL FROM:<%b>" % PEER.encode(),
        b"RCPT TO:<x@a.localhost>",
        b"DATA",
        b"RSET",
        b"AUTH PLAIN",
    ):
        assert wire.ask(line).startswith(b"530-5.7.10 "), line
    assert wire.ask(b"NOOP")[:3] == b"250"
    assert wire.ask(b"QUIT")[:3] == b"221"
    assert wire.is_closed()
    wire.close()
    assert smtp.counts() == before


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("variant", "fault", "words"),
    [
        (Variant.EXPIRED, "expired", "has expired"),
        (Variant.NOT_YET_VALID, "not-yet-valid", "not valid yet"),
        (Variant.SERVER_ONLY, "usage", "may not be used as a TLS client"),
        ("foreign", "foreign", "not issued by the authority"),
    ],
)
def test_a_failed_handshake_is_told_at_the_next_mail(smtp, issue, as_peer, version, variant, fault, words):
    """S2: the handshake ends without a word, the next MAIL from the address hears why; the log has the reason twice."""
    context = issue(is_foreign=True) if variant == "foreign" else issue(variant)
    context.minimum_version = context.maximum_version = version
    before = smtp.counts()
    with log_lines() as log:
        with pytest.raises((OSError, smtplib.SMTPException)):
            smtp.call_mx(context)
        smtp.settle()
    (failed,) = [line for line in map(json.loads, log.lines) if line["what"] == "TLS handshake failed"]
    assert failed["detail"]
    assert (failed["reason"], failed["network"]) == (fault, "127.0.0.0/24")
    assert "@" not in log.text
    with log_lines() as log:
        client = smtp.call_mx(None)
        code, text = client.mail(PEER)
    (refused,) = map(json.loads, log.lines)
    assert (refused["what"], refused["reason"], code) == ("refused", f"certificate-{fault}", 530)
    assert words in text.decode()
    assert failed["detail"] in text.decode()
    client.close()
    good = smtp.call_mx(as_peer)
    assert good.mail(PEER)[0] == 250
    good.close()
    again = smtp.call_mx(None)
    assert b"only over TLS" in again.mail(PEER)[1], "a good handshake ends the memory"
    again.close()
    assert smtp.counts() == before


def test_old_tls(smtp):
    context = client_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    before = smtp.counts()
    with pytest.raises(OSError), log_lines() as log:
        try:
            smtp.call_mx(context)
        finally:
            smtp.settle()
    (failed,) = map(json.loads, log.lines)
    assert (failed["what"], failed["reason"]) == ("TLS handshake failed", "protocol")
    client = smtp.call_mx(None)
    code, text = client.mail(PEER)
    assert (code, b"TLS 1.2 or 1.3" in text) == (530, True)
    assert client.rcpt(OURS)[0] in {503, 530}
    client.close()
    assert smtp.counts() == before, "nothing is stored"


@pytest.mark.parametrize(
    ("recipient", "code", "reason"),
    [
        ("personne@a.localhost", 550, "unknown-recipient"),
        ("postmaster", 550, "unknown-recipient"),
        ("ailleurs@b.localhost", 550, "recipient-not-here"),
        ("x@ailleurs.example", 550, "recipient-not-here"),
    ],
)
def test_recipients(smtp, as_peer, recipient, code, reason):
    client = smtp.call_mx(as_peer)
    client.mail(PEER)
    with log_lines() as log:
        assert client.rcpt(recipient)[0] == code
    assert json.loads(log.lines[0])["reason"] == reason
    assert "personne" not in log.text
    assert client.docmd("DATA")[0] == 503
    client.quit()


def test_too_many_recipients(smtp, as_peer, operators):
    client = smtp.call_mx(as_peer)
    client.mail(PEER)
    replies = [client.rcpt(OURS) for _ in range(101)]
    assert {code for code, _ in replies[:100]} == {250}
    assert replies[100][0] == 452
    assert replies[100][1].startswith(b"4.5.3")
    client.close()


@pytest.mark.parametrize("guess", ["x{}", "18401758811{:04}"])
def test_guessing_recipients_ends(smtp, as_peer, guess):
    """S4: a few unknown recipients are answered at once, then each waits longer, and the connection ends. So it is for
    who tries insurance numbers.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mailserver.smtp.conversation.MOST_ERRORS", 4)
        client = smtp.call_mx(as_peer)
        client.mail(PEER)
        codes = [client.rcpt(f"{guess.format(number)}@a.localhost")[0] for number in range(4)]
        assert codes == [550] * 4
        assert client.getreply()[0] == 421
        client.close()


@pytest.mark.parametrize(
    ("sender", "author", "code", "words"),
    [
        (PEER, "x@c.localhost", 550, b"5.7.1 Le domaine de l'adresse From"),
        (PEER, f"{PEER}, x@b.localhost", 550, b"5.6.0 Le message a plusieurs adresses From"),
        ("", PEER, 550, b"5.7.1 Seul un accuse"),
    ],
)
def test_content(smtp, as_peer, sender, author, code, words):
    before = smtp.counts()
    client = smtp.call_mx(as_peer)
    client.mail(sender)
    client.rcpt(OURS)
    found, text = client.data(letter(author, OURS, "content"))
    assert found == code
    assert text.startswith(words)
    assert client.noop()[0] == 250, "the connection goes on"
    client.quit()
    assert smtp.counts() == before


def test_no_login_here(smtp, as_peer):
    client = smtp.call_mx(as_peer)
    assert client.docmd("AUTH PLAIN AGEAYg==")[0] == 502
    client.quit()
