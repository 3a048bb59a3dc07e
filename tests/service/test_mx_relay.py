"""Ways to make a server carry mail for strangers, and to pass for somebody else: all refused, nothing stored or queued."""

import json

import pytest
from harness.smtp_harness import Wire, log_lines, operator_context, running_smtp
from harness.web_node import make_peers

OURS, PEER = "camille@a.localhost", "noa@b.localhost"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    ours.add(OURS)
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def smtp(operators):
    with running_smtp(operators[0]) as running:
        yield running


@pytest.fixture(scope="module")
def as_peer(operators):
    return operator_context(operators[1])


@pytest.fixture
def wire(smtp, as_peer):
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    wire.start_tls(as_peer)
    wire.ask(b"EHLO mx.b.localhost")
    yield wire
    wire.close()
    # the wait for who guesses recipients is proved elsewhere
    smtp.loop.call_soon_threadsafe(smtp.mx._setting.guesses.note_success, "127.0.0.1", "")


RECIPIENTS = {
    "another listed domain": ("li@b.localhost", "recipient-not-here"),
    "a domain that nobody listed": ("li@ailleurs.example", "recipient-not-here"),
    "source route": ("@a.localhost:li@ailleurs.example", "recipient-syntax"),
    "source route to ourselves": ("@ailleurs.example:camille@a.localhost", "recipient-syntax"),
    "source route of two": ("@a.localhost,@b.localhost:li@ailleurs.example", "recipient-syntax"),
    "percent": ("li%ailleurs.example@a.localhost", "unknown-recipient"),
    "percent twice": ("li%ailleurs.example%b.localhost@a.localhost", "unknown-recipient"),
    "bang path": ("ailleurs.example!li@a.localhost", "unknown-recipient"),
    "bang path alone": ("ailleurs.example!li", "recipient-syntax"),
    "quoted local part with a domain": ('"li@ailleurs.example"@a.localhost', "recipient-syntax"),
    "quoted local part of ours": ('"camille"@a.localhost', "recipient-syntax"),
    "two at signs": ("li@ailleurs.example@a.localhost", "recipient-syntax"),
    "two at signs, ours first": ("camille@a.localhost@ailleurs.example", "recipient-syntax"),
    "address literal": ("camille@[127.0.0.1]", "recipient-syntax"),
    "IPv6 literal": ("camille@[IPv6:::1]", "recipient-syntax"),
    "address as a domain": ("camille@127.0.0.1", "recipient-not-here"),
    "trailing dot": ("camille@a.localhost.", "recipient-syntax"),
    "leading dot": ("camille@.a.localhost", "recipient-syntax"),
    "subdomain of ours": ("camille@mail.a.localhost", "recipient-not-here"),
    "parent of ours": ("camille@localhost", "recipient-not-here"),
    "ours as a prefix": ("camille@a.localhost.ailleurs.example", "recipient-not-here"),
    "ours as a suffix": ("camille@xa.localhost", "recipient-not-here"),
    "no domain": ("camille", "recipient-syntax"),
    "empty domain": ("camille@", "recipient-syntax"),
    "empty": ("", "recipient-syntax"),
    "Cyrillic look-alike of our domain": ("camille@\u0430.localhost", "recipient-not-here"),
    "its A-label": ("camille@xn--80a.localhost", "recipient-not-here"),
    "full-width at sign": ("li\uff20ailleurs.example@a.localhost", "address-utf8"),
    "ideographic full stop": ("camille@a\u3002localhost", "recipient-syntax"),
    "full-width letter": ("camille@\uff41.localhost", "recipient-syntax"),
    "a pipe": ("|/bin/sh@a.localhost", "unknown-recipient"),
    "a file": ("/var/mail/root@a.localhost", "unknown-recipient"),
    "another's subaddress": ("camille+x%ailleurs.example@a.localhost", "unknown-recipient"),
}


def nothing_came_of(smtp, wire, before, log):
    assert wire.ask(b"DATA")[:3] == b"503"
    assert smtp.counts() == before
    assert "@" not in log.text
    return [json.loads(line)["reason"] for line in log.lines]


@pytest.mark.parametrize("sender", [PEER, ""])
@pytest.mark.parametrize("form", RECIPIENTS)
def test_no_recipient_makes_us_a_relay(smtp, wire, form, sender):
    recipient, reason = RECIPIENTS[form]
    before = smtp.counts()
    with log_lines() as log:
        assert wire.ask(b"MAIL FROM:<%b>" % sender.encode())[:3] == b"250"
        assert wire.ask(b"RCPT TO:<%b>" % recipient.encode())[:1] == b"5", form
        assert nothing_came_of(smtp, wire, before, log) == [reason, "bad-sequence"]


SENDERS = {
    "ours": (OURS, "sender-domain-ours"),
    "ours in upper case": ("camille@A.LOCALHOST", "sender-domain-ours"),
    "a subdomain of ours": ("camille@mail.a.localhost", "sender-domain-unlisted"),
    "a subdomain of theirs": ("noa@mail.b.localhost", "sender-domain-unlisted"),
    "nobody's": ("li@ailleurs.example", "sender-domain-unlisted"),
    "source route": ("@b.localhost:li@ailleurs.example", "sender-syntax"),
    "quoted": ('"noa@b.localhost"@ailleurs.example', "sender-syntax"),
    "two at signs": ("noa@ailleurs.example@b.localhost", "sender-syntax"),
    "literal": ("noa@[127.0.0.1]", "sender-syntax"),
    "trailing dot": ("noa@b.localhost.", "sender-syntax"),
    "look-alike": ("noa@\u042c.localhost", "address-utf8"),
    "postmaster without a domain": ("postmaster", "sender-syntax"),
    "no domain": ("noa", "sender-syntax"),
}


@pytest.mark.parametrize("form", SENDERS)
def test_no_sender_passes_for_another(smtp, wire, form):
    sender, reason = SENDERS[form]
    before = smtp.counts()
    with log_lines() as log:
        assert wire.ask(b"MAIL FROM:<%b>" % sender.encode())[:1] == b"5", form
        assert wire.ask(b"RCPT TO:<%b>" % OURS.encode())[:3] == b"503"
        assert nothing_came_of(smtp, wire, before, log) == [reason, "bad-sequence", "bad-sequence"]


@pytest.mark.parametrize("recipient", ["camille@A.LocalHost", "CAMILLE@a.localhost"])
def test_case_is_no_difference_for_our_own(wire, recipient):
    assert wire.ask(b"MAIL FROM:<NOA@B.LOCALHOST>")[:3] == b"250"
    assert wire.ask(b"RCPT TO:<%b>" % recipient.encode())[:3] == b"250"
