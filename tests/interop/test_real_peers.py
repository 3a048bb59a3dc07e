"""Postfix and Exim as other operators, over mutual TLS in both directions: what arrives is what was sent, and nothing
passes between us and a server whose name is not listed.
"""

import asyncio
import email
import email.policy
import os
import re
import warnings
from datetime import UTC, datetime

import pytest
from harness.mail_servers import EXIM, planned, running_exim, running_postfix
from harness.node import make_node
from harness.processes import wait_for
from harness.smtp_harness import log_lines, running_smtp
from service.gateway_node import ORIGIN, SENDER, Gateway
from unit.documents.xdm_archives import sample

from mailserver.crypto.authority import CERTIFICATE_FILE, DemoAuthority, DemoAuthorityWarning
from mailserver.documents.coherence import read_documents
from mailserver.documents.mss_headers import find_mss_mismatch, read_mss_headers
from mailserver.mime.composer import FileToAttach, Person, ReplyHeaders
from mailserver.mime.headers import HeaderBlock
from mailserver.model.address import parse_address
from mailserver.policy.decision import ACCEPT
from mailserver.service.web_answers import AnswerPlan, Draft, WebAnswers

pytestmark = pytest.mark.xdist_group("real-peers")
PEER = "noa@b.localhost"
LINES = (
    "Bonjour, voilà l’été.".encode(),
    b".",
    b"..",
    b".point",
    b"From the start",
    b"x" * 998,
    "é".encode() * 499,
    b"  indented\t",
    b"",
    bytes(range(0x80, 0x100)),
    b"end",
)
"""8-bit, dots, and lines as long as RFC 5322 §2.1.1 lets them be."""


def letter(sender, recipient, name):
    head = (
        f"From: {sender}\r\nTo: {recipient}\r\nSubject: Radio du genou\r\nMessage-ID: <{name}@poste.example>\r\n"
        "Date: Mon, 06 Jul 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return head.encode() + b"\r\n".join(LINES) + b"\r\n"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """Operators a (ours) and b under one authority, and a certificate of it for a name that is not listed."""
    folder = tmp_path_factory.mktemp("space")
    make_node(folder, "b.localhost", authority=folder / "authority").close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DemoAuthorityWarning)
        authority = DemoAuthority.open(folder / "authority")
    issued = authority.issue_operator("z.localhost", ["z.localhost"], "Intrus", now=datetime.now(UTC))
    (folder / "z.pem").write_bytes(issued.cert_pem)
    (folder / "z.key").write_bytes(issued.key_pem)
    return folder


@pytest.fixture(scope="module")
def gateway(space):
    gateway = Gateway(make_node(space, "a.localhost", authority=space / "authority"))
    yield gateway
    gateway.close()


@pytest.fixture(scope="module")
def smtp(gateway):
    with running_smtp(gateway.node) as running:
        yield running


SHOWN = {True: ("b.localhost/tls/operator.pem", "b.localhost/tls/operator.key"), False: ("z.pem", "z.key")}


@pytest.fixture(scope="module", params=["postfix", "exim"])
def program(request, require_tool, do_without):
    if os.geteuid() != 0:
        do_without("Postfix and Exim change users, which takes root")
    if request.param == "postfix":
        require_tool("postfix")
        return running_postfix
    if not EXIM.exists():
        do_without("Exim is not unpacked; scripts/debian-packages test does it")
    return running_exim


@pytest.fixture(scope="module", params=[True, False], ids=["listed", "not listed"])
def peer(request, program, space, smtp):
    """The server of b.localhost, with its own certificate or with one that is not listed for it."""
    shown = tuple(space / name for name in SHOWN[request.param])
    authority = space / "authority" / CERTIFICATE_FILE
    with planned("b.localhost", shown, authority, smtp.mx_port) as plan, program(plan) as server:
        server.is_listed = request.param
        yield server


def relay(gateway, peer):
    async def talk():
        gateway.routes = {"b.localhost": f"127.0.0.1:{peer.port}"}
        await gateway.worker().run_due()

    asyncio.run(talk())


def test_they_hand_in(gateway, smtp, peer):
    before = len(gateway.inbox())
    rows = smtp.counts()
    octets = letter(PEER, SENDER, "in")
    with log_lines() as log:
        peer.send(PEER, SENDER, octets)
        if peer.is_listed:
            wait_for_message(gateway, before, peer)
        else:
            peer.wait_for_words("Le certificat de votre serveur n'est pas celui de la liste pour le domaine")
    if peer.is_listed:
        stored = gateway.inbox()[-1]
        assert stored.endswith(octets)
        assert re.search(rb"^Received: from mx\.b\.localhost \(\[127\.0\.0\.1\]\)", stored, re.MULTILINE)
    else:
        assert smtp.counts() == rows
        assert '"reason": "wrong-dn"' in log.text
    assert "noa@" not in log.text


def wait_for_message(gateway, before, peer):
    try:
        wait_for(lambda: True if len(gateway.inbox()) > before else None)
    except AssertionError as error:
        raise AssertionError(peer.words()) from error


def test_we_hand_over(gateway, peer):
    attempts = len(gateway.attempts())
    octets = letter(SENDER, PEER, f"out-{peer.port}")
    gateway.submit(octets, recipients=(PEER,))
    relay(gateway, peer)
    (attempt,) = gateway.attempts()[attempts:]
    assert attempt == ((1, "delivered", 250) if peer.is_listed else (1, "wrong-dn", 0)), peer.words()
    if peer.is_listed:
        received = peer.wait_for_mail(f"<out-{peer.port}@".encode())
        assert received.endswith(octets.replace(b"\r\n", b"\n"))
    else:
        assert not any(b"<out-" in each for each in peer.inbox())


def test_an_archive_attached_on_the_web_is_announced_to_them(gateway, peer):
    """What a peer's own comparison sees: the codes of the header are those of the archive beside it."""
    attempts, services = len(gateway.attempts()), gateway.services
    to, now, operator = parse_address(PEER), gateway.clock.now, services.config.operator
    answers = WebAnswers(services.store, services.mailboxes, services.messages, services.submission, operator)
    decision, destination = services.submission.decide_recipient(to, 0, now)
    plan = AnswerPlan(decision, Person(to), ReplyHeaders(None, (), ""), destination)
    archive = sample("ok-two-documents")
    draft = Draft("Bonjour.", f"archive{peer.port}", now, "Deux documents")
    file = FileToAttach("IHE_XDM.zip", "application/zip", [archive])
    assert answers.send(gateway.account, plan, draft, iter([file]), ORIGIN, now) == ACCEPT
    relay(gateway, peer)
    (attempt,) = gateway.attempts()[attempts:]
    if not peer.is_listed:
        assert attempt == (1, "wrong-dn", 0)
        return
    assert attempt == (1, "delivered", 250), peer.words()
    received = email.message_from_bytes(peer.wait_for_mail(b"<archive"), policy=email.policy.default)
    reading = read_documents(received.get_payload(1).get_content())
    assert received.get_payload(1).get_filename() == "IHE_XDM.zip"
    stated = read_mss_headers(HeaderBlock(f"X-MSS-CODECDA: {received['X-MSS-CODECDA']}\r\n".encode()))
    assert (stated.codes, received["X-MSS-INS"]) == ("96349-6,11488-4", "O")
    assert find_mss_mismatch(stated, reading) is None
    assert received.get_payload(1).get_content() == archive
