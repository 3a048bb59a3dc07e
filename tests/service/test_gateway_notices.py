"""The notice lane: codes and notifications to ordinary addresses, sent at once or dropped."""

import logging

import pytest
from service.gateway_node import JsonLines, Peer, Script, context_of, deliver, make_authority, make_gateway

from mailserver.model.address import parse_address
from mailserver.service.outbound import NoticeOrder
from mailserver.store.jobs import JobState
from mailserver.store.writer import Unit

ADDRESS = "dominique@ordinaire.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    yield gateway
    gateway.close()


def notify(gateway, life_seconds=600):
    order = NoticeOrder(parse_address(ADDRESS), "Pli : votre code", "Votre code : 123456\n")
    store, account_id = gateway.services.store, gateway.account.account_id
    job = gateway.services.outbound.notice_job(account_id, order, life_seconds, gateway.clock.now)
    store.writer.commit(Unit(account_id, lambda connection: store.jobs.add_jobs(connection, [job])))


@pytest.mark.parametrize("offers_tls", [False, True])
def test_sent_through_the_relay(gateway, authority, offers_tls):
    notify(gateway)
    peer = Peer(Script(offers_tls=offers_tls), context_of(authority, "c.localhost"))
    deliver(gateway, peer)
    (mail,) = peer.messages
    assert (b"STARTTLS" in peer.verbs()) is offers_tls
    assert b"From: Pli <ne-pas-repondre@a.localhost>\r\n" in mail
    assert f"To: {ADDRESS}\r\n".encode() in mail
    assert b"Auto-Submitted: auto-generated\r\n" in mail
    assert b"123456" in mail
    assert gateway.job().state == JobState.DONE.value
    assert gateway.job().order == b""


def test_short_retries(gateway, authority):
    notify(gateway)
    peer = Peer(Script(rcpt=[b"450 4.2.0 wait\r\n"] * 9, offers_tls=False))
    waits = []
    for _ in range(4):
        assert deliver(gateway, peer) == 1
        waits.append(gateway.job().next_try_at - int(gateway.clock.now.timestamp()))
        gateway.clock.pass_by(seconds=waits[-1])
    assert waits == [10, 30, 60, 60]


def test_dropped_unsent_after_its_life(gateway):
    notify(gateway)
    gateway.clock.pass_by(seconds=601)
    peer = Peer(Script(offers_tls=False))
    deliver(gateway, peer)
    assert peer.lines == []
    assert gateway.attempts() == [(1, "expired", 0)]
    assert gateway.job().state == JobState.FAILED.value
    assert gateway.inbox() == []


def test_refused_notices_are_not_reported(gateway):
    notify(gateway)
    deliver(gateway, Peer(Script(rcpt=[b"550 5.1.1 unknown\r\n"], offers_tls=False)))
    assert gateway.job().state == JobState.FAILED.value
    assert gateway.inbox() == []


def test_without_a_relay_the_log_says_what_to_set(gateway, caplog):
    import asyncio

    notify(gateway)
    with caplog.at_level(logging.INFO):
        asyncio.run(gateway.worker().run_due())
    (line,) = JsonLines(caplog).attempts()
    assert "[relay]" in line["detail"]
    assert (line["lane"], line["result"]) == ("notice", "no-relay")
    assert ADDRESS not in JsonLines(caplog).text()
    assert gateway.job().state == JobState.FAILED.value
