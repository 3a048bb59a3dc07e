"""Two operators on the wire: one automatic reply crosses, whoever else is away; a mail client hears of it at RCPT."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from harness.smtp_harness import RunningSmtp, Wire, client_context, inbox, letter, log_lines, running_smtp
from harness.smtp_harness import peer_files as files_of
from harness.web_node import make_peers

from mailserver.crypto.secret import random_id
from mailserver.gateway.notice_sender import NoticeSender
from mailserver.gateway.peer_connection import PeerCalls, PeerContext
from mailserver.gateway.routes import Routes
from mailserver.gateway.worker import GatewayWorker
from mailserver.model.absence import Absence
from mailserver.model.address import parse_address
from mailserver.service.contacts import Contacts
from mailserver.service.relay import RelayQueue

CAMILLE, LOU, ALIX = "camille@a.localhost", "lou@a.localhost", "alix@b.localhost"


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    ours, peer = make_peers(tmp_path_factory.mktemp("operators"))
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="module")
def passwords(operators):
    ours, peer = operators
    made = {address: ours.add(address).app_password for address in (CAMILLE, LOU)}
    return made | {ALIX: peer.add(ALIX, name="Dr Alix DEMO").app_password}


@pytest.fixture
def running(operators, passwords):
    with running_smtp(operators[0]) as ours, running_smtp(operators[1]) as peer:
        yield ours, peer


def leave(node, address: str, days: int = 2, emergency: str = "le secrétariat") -> None:
    now = datetime.now(UTC)
    absence = Absence(now.date(), now.date() + timedelta(days=days), "En congé.", emergency=emergency)
    node.services.absence_settings.change_of(parse_address(address), absence, now)


def come_back(node, address: str) -> None:
    node.services.absence_settings.change_of(parse_address(address), None, datetime.now(UTC))


def relay(here: RunningSmtp, there: RunningSmtp) -> int:
    """One round of an operator's queue, towards the other's MX port."""
    services = here.node.services
    hostname = services.config.operator.hostname
    queue = RelayQueue(services.store, services.outbound, services.reports, random_id())
    routes = Routes({there.node.domain: f"127.0.0.1:{there.mx_port}"})
    with ThreadPoolExecutor(2) as pool:
        clock = lambda: datetime.now(UTC)  # short
        calls = PeerCalls(
            hostname, PeerContext(files_of(here.node)), routes, services.trust, services.peers, clock, pool
        )
        notices = NoticeSender(None, None, Contacts(services.store, services.directory), pool)
        return here.on_loop(GatewayWorker(queue, calls, notices, clock, pool).run_due())


def send(smtp: RunningSmtp, passwords: dict[str, str], sender: str, to: str, number: str) -> None:
    client = smtp.call_submissions()
    client.login(sender, passwords[sender])
    assert client.sendmail(sender, [to], letter(sender, to, number)) == {}
    client.close()


def replies_to(node, address: str, passwords: dict[str, str]) -> list[bytes]:
    return [each for each in inbox(node, address, passwords[address]) if b"auto-replied" in each]


def test_one_reply_crosses(running, passwords) -> None:
    ours, peer = running
    leave(peer.node, ALIX)
    before = len(replies_to(ours.node, CAMILLE, passwords))
    with log_lines() as log:
        for number in ("x1", "x2"):
            send(ours, passwords, CAMILLE, ALIX, number)
            assert relay(ours, peer) == 1
        assert relay(peer, ours) == 1, "one reply to two messages"
    (reply,) = replies_to(ours.node, CAMILLE, passwords)[before:]
    assert reply.startswith(b"Return-Path: <>\r\n")
    assert b"In-Reply-To: <x1@poste.example>" in reply
    assert b"From: Dr_Alix_DEMO <alix@b.localhost>" in reply
    assert "@" not in log.text
    for private in ("Radio", "congé", "secrétariat"):
        assert private not in log.text
    come_back(peer.node, ALIX)
    send(ours, passwords, LOU, ALIX, "x3")
    assert (relay(ours, peer), relay(peer, ours)) == (1, 0), "nobody is away any more"


def test_two_absent_people(running, passwords) -> None:
    """The reply of one comes from nobody, so the other's account has nobody to answer."""
    ours, peer = running
    leave(peer.node, ALIX)
    leave(ours.node, CAMILLE)
    before = len(replies_to(ours.node, CAMILLE, passwords)), len(replies_to(peer.node, ALIX, passwords))
    send(ours, passwords, CAMILLE, ALIX, "y1")
    assert [relay(ours, peer), relay(peer, ours), relay(ours, peer), relay(peer, ours)] == [1, 1, 0, 0]
    after = len(replies_to(ours.node, CAMILLE, passwords)), len(replies_to(peer.node, ALIX, passwords))
    assert after == (before[0] + 1, before[1])
    come_back(peer.node, ALIX)
    come_back(ours.node, CAMILLE)


def test_a_reply_that_is_refused_comes_back_to_nobody(running, passwords) -> None:
    ours, peer = running
    leave(peer.node, ALIX)
    gone = "noa@a.localhost"
    made = ours.node.add(gone)
    send(ours, {gone: str(made.app_password)}, gone, ALIX, "z1")
    assert relay(ours, peer) == 1
    ours.node.services.administration.disable_account(parse_address(gone), datetime.now(UTC))
    before = len(inbox(peer.node, ALIX, passwords[ALIX]))
    assert relay(peer, ours) == 1
    assert len(inbox(peer.node, ALIX, passwords[ALIX])) == before, "no report of a report"
    come_back(peer.node, ALIX)


def test_words_at_rcpt(running, passwords) -> None:
    ours, _peer = running
    leave(ours.node, CAMILLE)
    client = ours.call_submissions()
    client.login(LOU, passwords[LOU])
    client.docmd(f"MAIL FROM:<{LOU}>")
    code, words = client.docmd(f"RCPT TO:<{CAMILLE}>")
    lines = words.splitlines()
    assert code == 250
    assert all(line.startswith(b"2.1.5 ") for line in lines)
    assert lines[0] == b"2.1.5 Recipient accepted"
    assert lines[1].startswith(b"2.1.5 Destinataire absent du ")
    assert lines[2].startswith(b"2.1.5 Recipient away from ")
    assert b"le secretariat" in lines[2]
    assert client.docmd(f"RCPT TO:<{LOU}>") == (250, b"2.1.5 Recipient accepted")
    client.close()
    come_back(ours.node, CAMILLE)


def test_another_operator_hears_nothing_at_rcpt(running, passwords) -> None:
    ours, peer = running
    leave(peer.node, ALIX)
    files = files_of(ours.node)
    wire = Wire(peer.mx_port)
    wire.ask(b"EHLO mx.a.localhost")
    wire.start_tls(client_context(files.cert, files.key))
    wire.ask(b"EHLO mx.a.localhost")
    assert wire.ask(b"MAIL FROM:<lou@a.localhost>")[:3] == b"250"
    assert wire.ask(b"RCPT TO:<alix@b.localhost>") == b"250 2.1.5 Recipient accepted\r\n"
    wire.close()
    come_back(peer.node, ALIX)
