"""Any octets in any state of the MX and submission ports: a reply with a code, or the end. Never an incident, never stuck."""

import base64
import contextlib
import re
from collections.abc import Callable

import pytest
from harness.hostile_octets import cut, hostile_octets, seeds
from harness.smtp_harness import (
    Wire,
    client_context,
    letter,
    log_lines,
    open_mail,
    operator_context,
    running_smtp,
)
from harness.web_node import make_peers

OURS, OTHER, PEER = "camille@a.localhost", "lou@a.localhost", "noa@b.localhost"
SEEDS = seeds(20)
WORDS = (
    b"EHLO poste\r\n", b"HELO x\r\n", b"MAIL FROM:<noa@b.localhost>\r\n", b"MAIL FROM:<camille@a.localhost> SIZE=9\r\n", b"MAIL FROM:<>\r\n",
    b"RCPT TO:<camille@a.localhost>\r\n", b"RCPT TO:<nobody@a.localhost>\r\n", b"RCPT TO:<x@c.invalid>\r\n", b"DATA\r\n", b"RSET\r\n", b"NOOP\r\n",
    b"\r\n.\r\n", b"\n.\n", b"\r\n.\n", b".", b"From: ", b"Subject: x\r\n\r\n", b"AUTH PLAIN ", b"AUTH LOGIN\r\n", b"AGEAYg==\r\n", b"*\r\n",
    b"VRFY camille\r\n", b"STARTTLS\r\n", b"BDAT 9\r\n", b"MAIL FROM:<", b"> SIZE=99999999999999999999 BODY=8BITMIME SMTPUTF8\r\n", b"XCLIENT ADDR=",
)  # fmt: skip
END = b"\r\n.\r\n" + b"QUIT\r\n" * 4
"""Ends a message, answers a challenge, and leaves."""
REPLY = re.compile(rb"(?:[2-5][0-9][0-9][ -][^\r\n]*\r\n)*")


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def login(operators):
    accounts = [operators[0].add(address) for address in (OURS, OTHER)]
    return base64.b64encode(f"\0{OURS}\0{accounts[0].app_password}".encode())


@pytest.fixture(scope="module")
def smtp(operators, login):
    with running_smtp(operators[0]) as running:
        yield running


class Stage:
    """Brings one client after the other into a state."""

    def __init__(self, smtp, as_peer, login: bytes) -> None:
        self.smtp, self._as_peer, self._login = smtp, as_peer, login

    def clear(self) -> Wire:
        return Wire(self.smtp.mx_port)

    def peer(self) -> Wire:
        wire = self.clear()
        wire.ask(b"EHLO mx.b.localhost")
        wire.start_tls(self._as_peer)
        wire.ask(b"EHLO mx.b.localhost")
        return wire

    def clear_client(self) -> Wire:
        return Wire(self.smtp.submission_port)

    def client(self) -> Wire:
        wire = Wire(self.smtp.submissions_port, client_context())
        wire.ask(b"EHLO poste.a.localhost")
        return wire

    def logged_in(self) -> Wire:
        wire = self.client()
        assert wire.ask(b"AUTH PLAIN " + self._login)[:3] == b"235"
        return wire


def said(wire: Wire, *lines: bytes) -> Wire:
    for line in lines:
        wire.ask(line)
    return wire


def in_data(wire: Wire, sender: str, head: bytes = b"") -> Wire:
    open_mail(wire, sender.encode(), OTHER.encode())
    wire.send(head)
    return wire


STATES: dict[str, Callable[[Stage], Wire]] = {
    "MX in the clear": Stage.clear,
    "MX after STARTTLS": Stage.peer,
    "MX after MAIL": lambda stage: said(stage.peer(), b"MAIL FROM:<%b>" % PEER.encode()),
    "MX in DATA": lambda stage: in_data(stage.peer(), PEER),
    "MX in a body": lambda stage: in_data(stage.peer(), PEER, letter(PEER, OTHER)),
    "submission in the clear": Stage.clear_client,
    "submission before login": Stage.client,
    "submission in a login": lambda stage: said(stage.client(), b"AUTH LOGIN"),
    "submission after login": Stage.logged_in,
    "submission in DATA": lambda stage: in_data(stage.logged_in(), OURS),
}
WITHOUT_RIGHT = {
    "MX in the clear",
    "submission in the clear",
    "submission before login",
    "submission in a login",
}
"""Where nothing may be left behind."""


@pytest.mark.parametrize("state", STATES)
def test_any_octets(state, smtp, operators, login):
    stage = Stage(smtp, operator_context(operators[1]), login)
    before = smtp.counts()
    with log_lines() as log:
        for seed in SEEDS:
            octets = hostile_octets(seed, WORDS)
            wire = STATES[state](stage)
            with contextlib.suppress(OSError):  # it closed while we still spoke
                for piece in cut(octets + END, seed):
                    wire.send(piece)
            replies = b"".join(iter(wire.reply, b""))
            wire.close()
            assert REPLY.fullmatch(replies), octets
            assert b"incident" not in replies, octets
            smtp.settle()
    assert '"incident"' not in log.text
    assert "@" not in log.text, "no address in a log"
    if state in WITHOUT_RIGHT:
        assert smtp.counts() == before
    other = Wire(smtp.mx_port)
    assert other.ask(b"NOOP")[:3] == b"250", "others are served"
    other.close()
