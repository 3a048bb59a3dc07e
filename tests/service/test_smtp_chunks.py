"""BDAT on the wire (RFC 3030): counted octets, one reply a chunk, and never a command out of a message's octets."""

import base64
import itertools
import logging

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

from mailserver.model.errors import Unavailable
from mailserver.service.intake import Intake

OURS, PEER = "camille@a.localhost", "noa@b.localhost"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def password(operators):
    return operators[0].add(OURS).app_password


@pytest.fixture(scope="module")
def as_peer(operators):
    return operator_context(operators[1])


@pytest.fixture
def smtp(operators, password):
    with running_smtp(operators[0]) as running:
        yield running


@pytest.fixture
def wire(smtp, as_peer):
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    wire.start_tls(as_peer)
    wire.ask(b"EHLO mx.b.localhost")
    yield wire
    wire.close()


def open_mail(wire):
    assert wire.ask(b"MAIL FROM:<%b>" % PEER.encode())[:3] == b"250"
    assert wire.ask(b"RCPT TO:<%b>" % OURS.encode())[:3] == b"250"


def chunk(octets, *, is_last=False):
    return b"BDAT %d%b\r\n%b" % (len(octets), b" LAST" if is_last else b"", octets)


def test_what_ehlo_names(smtp, as_peer):
    wire = Wire(smtp.mx_port)
    clear = wire.ask(b"EHLO mx.b.localhost").split(b"\r\n")
    assert {b"250-CHUNKING", b"250-LIMITS RCPTMAX=100"} <= set(clear)
    assert not any(b"REQUIRETLS" in line or b"BINARYMIME" in line for line in clear)
    wire.start_tls(as_peer)
    secured = wire.ask(b"EHLO mx.b.localhost")
    assert b"REQUIRETLS" in secured
    assert b"BINARYMIME" not in secured
    wire.close()


@pytest.mark.parametrize("cuts", [(), (1,), (10, 11, 200), (0, 30)])
def test_a_message_in_chunks_is_kept_byte_for_byte(smtp, wire, password, cuts):
    """Dots are content, and a line like an end of DATA is one too."""
    octets = letter(PEER, OURS, f"chunks-{cuts}", b"..a\r\n.\r\nQUIT\r\n.fin\r\n")
    open_mail(wire)
    edges = [0, *cuts, len(octets)]
    pieces = [octets[start:stop] for start, stop in itertools.pairwise(edges)]
    for piece in pieces[:-1]:
        wire.send(chunk(piece))
        assert wire.reply().startswith(b"250 2.0.0 ")
    wire.send(chunk(pieces[-1], is_last=True))
    assert wire.reply().startswith(b"250 2.6.0 ")
    stored = inbox(smtp.node, OURS, password)[-1]
    assert stored.endswith(octets)
    assert b"with ESMTPS" in stored


def test_replies_before_a_chunk_do_not_wait_for_it(smtp, wire):
    """A client may send the octets once it knows that its recipient is accepted."""
    octets = letter(PEER, OURS, "waits")
    mail = b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\n" % (PEER.encode(), OURS.encode())
    wire.send(mail + b"BDAT %d LAST\r\n" % len(octets))
    assert [wire.reply()[:3] for _ in range(2)] == [b"250", b"250"]
    wire.send(octets)
    assert wire.reply()[:3] == b"250"


def test_an_empty_last_chunk_ends_it(smtp, wire, password):
    octets = letter(PEER, OURS, "empty-last")
    open_mail(wire)
    wire.send(chunk(octets) + b"BDAT 0 LAST\r\nNOOP\r\n")
    assert [wire.reply()[:3] for _ in range(3)] == [b"250", b"250", b"250"]
    assert inbox(smtp.node, OURS, password)[-1].endswith(octets)


@pytest.mark.parametrize("step", [1, 5, 100_000])
def test_any_cut_gives_the_same_replies(smtp, as_peer, step):
    octets = letter(PEER, OURS, f"cut-{step}")
    mail = b"MAIL FROM:<%b>\r\nRCPT TO:<%b>\r\n" % (PEER.encode(), OURS.encode())
    hidden = b"NOOP\r\nQUIT\r\n"
    dialogue = (
        b"EHLO mx.b.localhost\r\n" + chunk(hidden) + mail + chunk(octets[:20]) + b"RCPT TO:<x@a.localhost>\r\nDATA\r\n"
        b"MAIL FROM:<x@b.localhost>\r\n" + chunk(octets[20:], is_last=True) + chunk(hidden, is_last=True) + mail
        + chunk(hidden) + b"RSET\r\n" + chunk(hidden) + b"QUIT\r\n"
    )  # fmt: skip
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    wire.start_tls(as_peer)
    before = smtp.counts()["item"]
    for start in range(0, len(dialogue), step):
        wire.send(dialogue[start : start + step])
    replies = []
    while reply := wire.reply():
        replies.append(reply[:3])
    expected = b"250 503 250 250 250 503 503 503 250 503 250 250 250 250 503 221"
    assert replies == expected.split()
    assert smtp.counts()["item"] == before + 1
    wire.close()


@pytest.mark.parametrize("octets", [b"x\ny", b"x\ry", b"x\0y"])
@pytest.mark.parametrize("is_last", [False, True])
def test_bare_octets_end_the_connection(smtp, wire, octets, is_last):
    """S1: what one server takes for a line end and the next does not is never handed on."""
    before = smtp.counts()
    open_mail(wire)
    with log_lines() as log:
        wire.send(chunk(letter(PEER, OURS, "bare") + octets, is_last=is_last) + b"NOOP\r\n")
        assert wire.reply().startswith(b"554-5.6.0 ")
        assert wire.is_closed()
    assert smtp.counts() == before
    assert '"reason": "smuggling"' in log.text
    assert OURS not in log.text


def test_a_bare_return_at_the_very_end_is_one_only_when_nothing_follows(smtp, wire):
    open_mail(wire)
    octets = letter(PEER, OURS, "split")
    wire.send(chunk(octets[:-1]) + chunk(octets[-1:], is_last=True))
    assert [wire.reply()[:3] for _ in range(2)] == [b"250", b"250"]


def test_too_large_over_several_chunks(smtp, wire):
    before = smtp.counts()
    limit = smtp.node.services.reception.limit_bytes
    open_mail(wire)
    line = b"x" * 998 + b"\r\n"
    piece = line * (limit // 1000 // 2)
    wire.send(chunk(letter(PEER, OURS, "large") + piece))
    assert wire.reply()[:3] == b"250"
    wire.send(chunk(piece + line * 200))
    assert wire.reply().startswith(b"552-5.3.4 ")
    wire.send(chunk(b"x\r\n", is_last=True))
    assert wire.reply()[:3] == b"503"
    assert wire.ask(b"NOOP")[:3] == b"250"
    assert smtp.counts() == before


def test_a_size_that_nobody_waits_for(smtp, wire):
    open_mail(wire)
    wire.send(b"BDAT 99999999999999999999\r\n")
    assert wire.reply().startswith(b"552-5.3.4 ")
    assert wire.is_closed()


@pytest.mark.parametrize("line", [b"BDAT", b"BDAT x", b"BDAT -1", b"BDAT 5 FIRST", b"BDAT 5 LAST x"])
def test_a_size_that_cannot_be_read_ends_the_connection(wire, line):
    assert wire.ask(line).startswith(b"501-5.5.4 ")
    assert wire.is_closed()


def test_in_the_clear_a_chunk_is_passed_over(smtp):
    wire = Wire(smtp.mx_port)
    wire.ask(b"EHLO mx.b.localhost")
    wire.send(chunk(b"QUIT\r\nQUIT\r\n"))
    assert wire.reply()[:3] == b"530"
    assert wire.ask(b"NOOP")[:3] == b"250"
    wire.close()


def test_a_full_disk_between_two_chunks(smtp, wire, monkeypatch):
    before = smtp.counts()
    open_mail(wire)
    wire.send(chunk(letter(PEER, OURS, "disk")))
    assert wire.reply()[:3] == b"250"

    def fail(*_args):
        raise Unavailable("disk-full")

    with monkeypatch.context() as patch:
        patch.setattr(Intake, "write", fail)
        wire.send(chunk(b"x\r\n"))
        assert wire.reply().startswith(b"452-4.3.1 ")
    assert smtp.counts() == before
    open_mail(wire)
    wire.send(chunk(letter(PEER, OURS, "after-disk"), is_last=True))
    assert wire.reply()[:3] == b"250"


@pytest.mark.parametrize("end", ["close", "EHLO mx.b.localhost", "RSET"])
def test_nothing_stays_of_a_message_that_came_in_part(smtp, wire, monkeypatch, end):
    closed = []
    close = Intake.close
    monkeypatch.setattr(Intake, "close", lambda self: (closed.append(self), close(self))[1])
    before = smtp.counts()
    open_mail(wire)
    wire.send(chunk(letter(PEER, OURS, "part")))
    assert wire.reply()[:3] == b"250"
    assert not closed
    if end == "close":
        wire.close()
        smtp.settle()
    else:
        assert wire.ask(end.encode())[:3] == b"250"
    assert len(closed) == 1
    assert smtp.counts() == before


def test_a_person_sends_in_chunks_too(smtp, password, caplog):
    caplog.set_level(logging.INFO)
    wire = Wire(smtp.submissions_port, client_context())
    wire.ask(b"EHLO poste")
    wire.ask(b"AUTH PLAIN " + base64.b64encode(f"\0{OURS}\0{password}".encode()))
    assert wire.ask(b"MAIL FROM:<%b> REQUIRETLS" % OURS.encode())[:3] == b"250"
    assert wire.ask(b"RCPT TO:<%b>" % OURS.encode())[:3] == b"250"
    wire.send(chunk(letter(OURS, OURS, "own"), is_last=True))
    assert wire.reply()[:3] == b"250"
    wire.close()
    assert OURS not in caplog.text
