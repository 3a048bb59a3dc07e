"""Messages handed to another operator over mutual TLS: what arrives, what is refused before a word is said."""

import asyncio
import logging
import os
import re
import threading
import tracemalloc
from dataclasses import replace

import pytest
import uvloop
from cryptography import x509
from harness.forge import DAY, Forge, Issued
from harness.node import make_node
from service.gateway_node import (
    MESSAGE,
    RECIPIENT,
    SENDER,
    JsonLines,
    Peer,
    Script,
    context_of,
    deliver,
    make_authority,
    make_gateway,
)

from mailserver.crypto.authority import CERTIFICATE_FILE, KEY_FILE
from mailserver.crypto.x509 import certificate_dn
from mailserver.gateway import peer_connection
from mailserver.model.errors import Unavailable
from mailserver.policy.mail_rules import PeerRules
from mailserver.service.peers import Peers
from mailserver.service.revocations import Revocations, Sources
from mailserver.store import schema
from mailserver.store.jobs import JobState

BOTH_LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    yield gateway
    gateway.close()


@BOTH_LOOPS
def test_delivered_byte_for_byte_without_return_path(gateway, authority, run):
    gateway.submit()
    peer = Peer(Script(), context_of(authority, "b.localhost"))
    assert deliver(gateway, peer, run=run) == 1
    (message,) = peer.messages
    assert message.endswith(MESSAGE)
    assert message.startswith(b"Received: ")
    assert b"Return-Path" not in message
    assert gateway.job().state == JobState.DONE.value
    assert gateway.attempts() == [(1, "delivered", 250)]
    assert certificate_dn(peer.certificate).common_name == "a.localhost"


def test_the_envelope_as_the_peer_hears_it(gateway, authority):
    gateway.submit()
    peer = Peer(Script(), context_of(authority, "b.localhost"))
    deliver(gateway, peer)
    said = [line for line in peer.lines if not line.startswith((b"EHLO", b"STARTTLS"))]
    size = len(peer.messages[0])
    assert said == [
        b"MAIL FROM:<%b> SIZE=%d BODY=8BITMIME" % (SENDER.encode(), size),
        b"RCPT TO:<%b>" % RECIPIENT.encode(),
        b"DATA",
        b"QUIT",
    ]


def test_after_the_end_the_order_is_empty_and_the_message_gone(gateway, authority):
    gateway.submit(MESSAGE + b"x" * 76 + b"\r\n" + b"ligne de texte assez longue\r\n" * 4000)
    (file,) = gateway.blob_files()
    os.utime(file, (0, 0))  # a young file is left to the daily sweep
    peer = Peer(Script(), context_of(authority, "b.localhost"))
    deliver(gateway, peer)
    assert gateway.job().order == b""
    assert gateway.rows(schema.blob) == []
    assert gateway.blob_files() == []
    with gateway.services.store.database.read() as connection:
        (row,) = gateway.services.store.jobs.list_jobs(connection)  # its MAC still holds
    assert row.state is JobState.DONE


def test_the_message_stays_until_its_last_job(gateway, authority):
    gateway.submit(recipients=(RECIPIENT, "li@b.localhost"))
    peer = Peer(Script(rcpt=[b"250 ok\r\n", b"450 4.2.1 later\r\n"]), context_of(authority, "b.localhost"))
    assert deliver(gateway, peer) == 2
    assert sorted(row.state for row in gateway.rows(schema.job)) == ["done", "waiting"]
    assert len(gateway.rows(schema.blob)) == 1
    gateway.clock.pass_by(minutes=6)
    deliver(gateway, peer)
    assert {row.state for row in gateway.rows(schema.job)} == {"done"}
    assert gateway.rows(schema.blob) == []


def test_one_connection_serves_the_jobs_of_a_hop(gateway, authority):
    gateway.submit(recipients=(RECIPIENT, "li@b.localhost", "sam@b.localhost"))
    peer = Peer(Script(rcpt=[b"550 5.1.1 unknown\r\n"]), context_of(authority, "b.localhost"))
    assert deliver(gateway, peer) == 3
    verbs = peer.verbs()
    assert verbs.count(b"STARTTLS") == 1
    assert verbs.count(b"RSET") == 1
    assert len(peer.messages) == 2


@pytest.mark.parametrize(
    ("shown", "offers_tls", "reason"), [("c.localhost", True, "wrong-dn"), ("b.localhost", False, "no-tls")]
)
def test_refused_before_a_word_of_the_message(gateway, authority, shown, offers_tls, reason):
    gateway.submit()
    peer = Peer(Script(offers_tls=offers_tls), context_of(authority, shown))
    deliver(gateway, peer)
    assert b"MAIL" not in peer.verbs()
    assert gateway.job().state == JobState.FAILED.value
    assert gateway.attempts() == [(1, reason, 0)]
    (report,) = gateway.inbox()
    assert b"Action: failed" in report


@BOTH_LOOPS
def test_a_certificate_of_a_stranger_is_refused(gateway, tmp_path, run):
    gateway.submit()
    stranger = tmp_path / "stranger"
    make_node(stranger, "b.localhost", authority=stranger / "authority").close()
    deliver(gateway, Peer(Script(), context_of(stranger / "authority", "b.localhost")), run=run)
    assert gateway.attempts() == [(1, "certificate-foreign", 0)]
    assert gateway.job().state == JobState.FAILED.value


def test_a_domain_that_left_the_list_is_never_called(gateway, authority):
    gateway.submit(recipients=(RECIPIENT,))
    gateway.clock.pass_by(hours=gateway.node.services.config.trust.stale_hours + 1)
    peer = Peer(Script(), context_of(authority, "b.localhost"))
    deliver(gateway, peer)
    assert peer.lines == []
    assert gateway.attempts() == [(1, "trust-list-stale", 0)]


@BOTH_LOOPS
def test_closing_after_starttls_is_read_as_a_refusal_of_our_certificate(gateway, authority, tmp_path, run):
    """A peer whose authority is another's refuses our certificate: in TLS 1.3 we see a bare end."""
    other = tmp_path / "other"
    make_node(other, "d.localhost", authority=other / "authority").close()
    gateway.submit()
    foreign = other / "authority" / CERTIFICATE_FILE
    deliver(gateway, Peer(Script(), context_of(authority, "b.localhost", ca=foreign)), run=run)
    assert gateway.attempts() == [(1, "our-certificate", 0)]
    assert gateway.job().state == JobState.WAITING.value
    gateway.clock.pass_by(minutes=6)
    deliver(gateway, Peer(Script(closes_at=b"STARTTLS")), run=run)
    assert gateway.attempts()[1:] == [(2, "our-certificate", 0)]


ACCENTED = MESSAGE.replace(b"un point", "un point à la ligne".encode())


@pytest.mark.parametrize(
    ("octets", "recipient", "extensions", "said"),
    [
        (MESSAGE.replace(b"Radio", "Écho".encode()), RECIPIENT, (b"8BITMIME", b"SMTPUTF8"), b"SMTPUTF8"),
        (MESSAGE.replace(b"Radio", "Écho".encode()), RECIPIENT, (b"8BITMIME",), b"BODY=8BITMIME"),
        (MESSAGE, "zoé@b.localhost", (b"8BITMIME", b"SMTPUTF8"), b"SMTPUTF8"),
        (MESSAGE, "zoé@b.localhost", (b"8BITMIME",), "needs-utf8"),
        (ACCENTED, RECIPIENT, (b"8BITMIME",), b"BODY=8BITMIME"),
        (ACCENTED, RECIPIENT, (b"SIZE",), "needs-8bit"),
    ],
)
def test_what_the_peer_must_offer(gateway, authority, octets, recipient, extensions, said):
    gateway.submit(octets, recipients=(recipient,))
    peer = Peer(Script(extensions=extensions), context_of(authority, "b.localhost"))
    deliver(gateway, peer)
    if isinstance(said, str):
        assert b"MAIL" not in peer.verbs()
        assert gateway.attempts() == [(1, said, 0)]
    else:
        (mail,) = [line for line in peer.lines if line.startswith(b"MAIL")]
        assert said in mail.split(b" ")
        assert peer.messages[0].endswith(octets)


@pytest.mark.parametrize(
    "script",
    [
        Script(data=[b"250 taken already\r\n"]),
        Script(mail=[b"354 what\r\n"]),
        Script(end=[b"hello\r\n"]),
        Script(closes_at=b"DATA"),
        Script(extensions=(b"X" * 9000,)),
    ],
)
def test_a_server_that_speaks_nonsense_is_never_believed(gateway, authority, script):
    gateway.submit()
    peer = Peer(script, context_of(authority, "b.localhost"))
    deliver(gateway, peer)
    ((_number, result, code),) = gateway.attempts()
    assert result != "delivered"
    assert code in {0, 354}
    assert gateway.job().state == JobState.WAITING.value


def test_no_route_names_the_keys_to_set(gateway, caplog):
    gateway.submit()

    async def talk():
        await gateway.worker().run_due()

    with caplog.at_level(logging.INFO):
        asyncio.run(talk())
    assert gateway.attempts() == [(1, "no-route", 0)]
    assert gateway.job().state == JobState.WAITING.value
    (line,) = JsonLines(caplog).attempts()
    assert "[trust]" in line["detail"]
    assert "routes" in line["detail"]


def test_nothing_private_in_the_log(gateway, authority, caplog):
    gateway.submit(recipients=(RECIPIENT, "li@b.localhost"))
    words = b"550 5.1.1 <noa.secret@b.localhost> unknown, Camille\r\n"
    peer = Peer(Script(rcpt=[words]), context_of(authority, "b.localhost"))
    with caplog.at_level(logging.DEBUG):
        deliver(gateway, peer)
    text = JsonLines(caplog).text()
    assert not re.search(r"noa|secret|camille|li@|unknown|Radio|Bonjour|[\w.]+@[\w.]+", text, re.IGNORECASE)
    lines = JsonLines(caplog).attempts()
    assert {(line["lane"], line["hop"], line["result"], line["code"], line["attempt"]) for line in lines} == {
        ("relay", "b.localhost", "peer-reply", 550, 1),
        ("relay", "b.localhost", "delivered", 250, 1),
    }


def test_a_large_message_is_streamed_with_flat_memory(gateway, authority):
    line = b"Une ligne de soixante-seize octets, comme en porte un fichier en base 64...\r\n"
    body = line * (25 * 1024 * 1024 // len(line) - 64)
    gateway.submit(MESSAGE + body)
    peer = Peer(Script(keeps_octets=False), context_of(authority, "b.localhost"))
    size = len(MESSAGE) + len(body)
    del body
    tracemalloc.start()
    try:
        deliver(gateway, peer)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert gateway.attempts() == [(1, "delivered", 250)]
    assert peer.received_bytes > size
    assert peak < 8 * 1024 * 1024, peak


@pytest.mark.parametrize(
    ("revokes", "ends", "attempt", "state"),
    [
        (False, DAY, (1, "delivered", 250), JobState.DONE),
        (True, DAY, (1, "certificate-revoked", 0), JobState.FAILED),
        (False, -DAY / 2, (1, "revocation-unknown", 0), JobState.WAITING),
    ],
)
def test_a_servers_revocation(gateway, authority, tmp_path, revokes, ends, attempt, state):
    forge = Forge.of_files(authority / CERTIFICATE_FILE, authority / KEY_FILE)
    operator = x509.load_pem_x509_certificate(
        (authority.parent / "b.localhost" / "tls" / "operator.pem").read_bytes()
    )
    path = tmp_path / "b.crl"
    path.write_bytes(forge.revoke(*([Issued(forge.key, operator)] * revokes), starts=-DAY, ends=ends))
    sources = Sources(authority / CERTIFICATE_FILE, (str(path),), tmp_path)
    peers = Peers(PeerRules(), Revocations(sources))
    gateway.services = replace(gateway.services, peers=peers)
    gateway.submit()
    peer = Peer(Script(), context_of(authority, "b.localhost"))
    deliver(gateway, peer)
    assert gateway.attempts() == [attempt]
    assert gateway.job().state == state.value
    assert (b"MAIL" in peer.verbs()) == (state is JobState.DONE)


def test_a_silent_responder_puts_a_message_off(gateway, authority, tmp_path, monkeypatch):
    speaks, threads = threading.Event(), []

    def ask(_question):
        threads.append(threading.current_thread())
        assert speaks.wait(60)
        raise Unavailable("web-exchange")

    sources = Sources(authority / CERTIFICATE_FILE, (), tmp_path, "http://ocsp.example/")
    peers = Peers(PeerRules(), Revocations(sources, ask))
    monkeypatch.setattr(peer_connection, "CHECK_SECONDS", 0.2)
    gateway.services = replace(gateway.services, peers=peers)
    gateway.submit()
    peer = Peer(Script(), context_of(authority, "b.localhost"))
    deliver(gateway, peer)
    speaks.set()
    peers.close()
    assert gateway.attempts() == [(1, "revocation-unknown", 0)]
    assert b"MAIL" not in peer.verbs()
    assert not set(threads) & set(gateway.pool._threads)
