"""MX records by a real DNS server on the loopback: the order, the end of the road, and what may pass."""

import asyncio
import threading
import time

import pytest
from harness.dns_server import DnsServer
from harness.node import make_node
from service.gateway_node import Peer, Script, context_of, make_authority, make_gateway, parse_report

from mailserver.gateway.mx_lookup import MOST_HOSTS, MxResolver
from mailserver.gateway.routes import Routes
from mailserver.model.address import DomainName
from mailserver.model.errors import Denied, NotFound, Unavailable
from mailserver.model.hop import NextHop
from mailserver.service.delivery_reports import explain_attempt
from mailserver.store.jobs import JobState

B = DomainName("b.example")
SECONDS = 0.6
"""Of a question nobody answers."""


@pytest.fixture
def look_up():
    """A zone → what it gives for b.example; ``server`` is kept for what was asked."""
    running = []

    def ask(zone, *, shuffle=lambda names: None, domain=B, times=1):
        server = DnsServer(zone)
        manager = server.running()
        running.append(manager)
        ask.server = manager.__enter__()
        resolver = MxResolver([NextHop("127.0.0.1", server.port)], shuffle, port=2525, seconds=SECONDS)
        for _ in range(times - 1):
            resolver.look_up(domain)
        return [hop.host for hop in resolver.look_up(domain) if hop.port == 2525]

    yield ask
    for manager in running:
        manager.__exit__(None, None, None)


HOSTS = {(f"mx{number}.b.example", "A"): [f"192.0.2.{number}"] for number in range(1, 30)}


def test_preference_is_the_order(look_up):
    records = ["20 mx2.b.example.", "10 mx1.b.example.", "30 mx3.b.example."]
    assert look_up(HOSTS | {("b.example", "MX"): records}) == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]


def test_equals_are_shuffled_among_themselves(look_up):
    records = ["10 mx1.b.example.", "20 mx2.b.example.", "20 mx3.b.example.", "30 mx4.b.example."]
    found = look_up(HOSTS | {("b.example", "MX"): records}, shuffle=lambda names: names.reverse())
    assert found == ["192.0.2.1", "192.0.2.3", "192.0.2.2", "192.0.2.4"]


def test_both_families_and_no_more_addresses_than_can_be_tried(look_up):
    zone = {
        ("b.example", "MX"): ["10 mx.b.example."],
        ("mx.b.example", "AAAA"): ["2001:db8::1"],
        ("mx.b.example", "A"): [f"192.0.2.{number}" for number in range(1, 20)],
    }
    found = look_up(zone)
    assert found[0] == "2001:db8::1"
    assert len(found) == 5


def test_no_more_hosts_than_can_be_tried(look_up):
    records = [f"{number} mx{number}.b.example." for number in range(1, 30)]
    assert len(look_up(HOSTS | {("b.example", "MX"): records})) == MOST_HOSTS


@pytest.mark.parametrize(("kind", "address"), [("A", "192.0.2.7"), ("AAAA", "2001:db8::7")])
def test_without_mx_the_domain_is_its_own_server(look_up, kind, address):
    assert look_up({("b.example", kind): [address]}) == [address]


def test_a_host_that_does_not_exist_is_passed_over(look_up):
    records = ["10 gone.b.example.", "20 mx2.b.example.", "30 ."]
    assert look_up(HOSTS | {("b.example", "MX"): records}) == ["192.0.2.2"]


def test_a_host_that_the_dns_is_silent_about_is_passed_over(look_up):
    zone = HOSTS | {
        ("b.example", "MX"): ["10 mx1.b.example.", "20 mx2.b.example."],
        ("mx1.b.example", "AAAA"): "SERVFAIL",
    }
    assert look_up(zone) == ["192.0.2.2"]


@pytest.mark.parametrize(
    ("zone", "error"),
    [
        ({("b.example", "MX"): ["0 ."]}, Denied),
        ({}, NotFound),
        ({("b.example", "TXT"): ['"nothing"']}, NotFound),
        ({("b.example", "MX"): ["10 gone.example."]}, NotFound),
        ({("b.example", "MX"): "SERVFAIL"}, Unavailable),
        ({("b.example", "MX"): "REFUSED"}, Unavailable),
        ({("b.example", "MX"): "silent"}, Unavailable),
        ({("b.example", "MX"): ["10 mx.b.example."], ("mx.b.example", "A"): "SERVFAIL"}, Unavailable),
    ],
)
def test_no_server(look_up, zone, error):
    with pytest.raises(error):
        look_up(zone)


def test_ten_silent_hosts_take_no_longer_than_two(look_up):
    records = [f"{number} mx{number}.b.example." for number in range(1, 11)]
    silent = {(f"mx{number}.b.example", "AAAA"): "silent" for number in range(1, 11)}
    started = time.monotonic()
    with pytest.raises(Unavailable):
        look_up(silent | {("b.example", "MX"): records})
    assert time.monotonic() - started < 4 * SECONDS


def test_a_silent_dns_holds_none_of_the_threads_that_serve_people(gateway):
    gateway.submit()
    threads = []

    def look_up(_domain):
        threads.append(threading.current_thread())
        raise Unavailable("mx-unanswered")

    asyncio.run(gateway.worker(routes=Routes({}, None, look_up)).run_due())
    assert len(threads) == 1
    assert not set(threads) & set(gateway.pool._threads)


def test_answers_are_kept_while_they_count(look_up):
    look_up(HOSTS | {("b.example", "MX"): ["10 mx1.b.example."]}, times=3)
    assert look_up.server.asked.count(("b.example", "MX")) == 1


def test_search_domains_of_this_machine_are_never_added(look_up):
    with pytest.raises(NotFound):
        look_up({}, domain=DomainName("b"))
    assert {name for name, _kind in look_up.server.asked} == {"b"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("operators"))


@pytest.fixture
def gateway(tmp_path, authority):
    gateway = make_gateway(tmp_path, authority)
    yield gateway
    gateway.close()


def relay(gateway, zone, *servers):
    """One round, each of ``servers`` on its own address of the loopback and one port."""

    async def talk(look_up):
        port = 0
        for server, host in servers:
            server.port, server.host = port, host
            await server.start()
            port = server.port
        resolver = look_up(port)
        worker = gateway.worker(routes=Routes({}, None, resolver.look_up))
        try:
            await worker.run_due()
        finally:
            for server, _host in servers:
                server.stop()
            await asyncio.sleep(0)

    with DnsServer(zone).running() as dns:
        hop = NextHop("127.0.0.1", dns.port)
        asyncio.run(
            talk(lambda port: MxResolver([hop], lambda names: None, port=port or 2525, seconds=SECONDS))
        )


def test_the_next_server_when_the_first_does_not_answer(gateway, authority):
    gateway.submit()
    zone = {
        ("b.localhost", "MX"): ["10 mx1.b.localhost.", "20 mx2.b.localhost."],
        ("mx1.b.localhost", "A"): ["127.0.0.21"],
        ("mx2.b.localhost", "A"): ["127.0.0.22"],
    }
    peer = Peer(Script(), context_of(authority, "b.localhost"))
    relay(gateway, zone, (peer, "127.0.0.22"))
    assert gateway.attempts() == [(1, "delivered", 250)]


FORGED = {("b.localhost", "MX"): ["10 mx.b.localhost."], ("mx.b.localhost", "A"): ["127.0.0.23"]}


@pytest.fixture
def stranger(tmp_path):
    """The MX port of an operator of another authority."""
    make_node(tmp_path / "stranger", "b.localhost", authority=tmp_path / "stranger" / "authority").close()
    return context_of(tmp_path / "stranger" / "authority", "b.localhost")


@pytest.mark.parametrize(
    ("script", "shown", "attempt"),
    [
        (Script(), "c.localhost", "wrong-dn"),
        (Script(), "a stranger", "certificate-foreign"),
        (Script(offers_tls=False), "b.localhost", "no-tls"),
        (Script(greeting=b"554 5.7.1 ring the stranger\r\n"), "b.localhost", "unreachable"),
    ],
)
def test_who_forges_the_dns_ends_no_message(gateway, authority, stranger, script, shown, attempt):
    """It hears nothing of the message, which waits for the true server; the sender is told of the delay, and why."""
    gateway.submit()
    context = stranger if shown == "a stranger" else context_of(authority, shown)
    thief = Peer(script, context)
    relay(gateway, FORGED, (thief, "127.0.0.23"))
    assert gateway.attempts() == [(1, attempt, 0)]
    assert gateway.job().state == JobState.WAITING.value
    assert b"MAIL" not in thief.verbs()
    gateway.clock.pass_by(hours=5)
    relay(gateway, FORGED, (thief, "127.0.0.23"))
    (report,) = gateway.inbox()
    text, fields, _original = parse_report(report)
    assert (fields["Action"], fields["Status"][0]) == ("delayed", "4")
    assert explain_attempt(attempt).why_en in text.replace("\n", " ")
    gateway.clock.pass_by(hours=2)
    relay(gateway, FORGED, (Peer(Script(), context_of(authority, "b.localhost")), "127.0.0.23"))
    assert gateway.job().state == JobState.DONE.value


def test_a_server_that_proves_itself_to_nobody_for_48_hours(gateway, authority):
    gateway.submit()
    gateway.clock.pass_by(hours=48, seconds=1)
    relay(gateway, FORGED, (Peer(Script(), context_of(authority, "c.localhost")), "127.0.0.23"))
    assert gateway.job().state == JobState.FAILED.value
    text, fields, _original = parse_report(gateway.inbox()[0])
    assert (fields["Action"], fields["Status"]) == ("failed", "5.4.7")
    assert explain_attempt("wrong-dn").todo_fr in text.replace("\n", " ")


@pytest.mark.parametrize(
    ("zone", "attempt"),
    [
        ({("b.localhost", "MX"): ["0 ."]}, "takes-no-mail"),
        ({}, "no-such-domain"),
        ({("b.localhost", "MX"): "SERVFAIL"}, "dns-silent"),
    ],
)
def test_a_listed_domain_that_the_dns_denies_is_looked_for_again(gateway, zone, attempt):
    gateway.submit()
    relay(gateway, zone)
    assert gateway.attempts() == [(1, attempt, 0)]
    assert gateway.job().state == JobState.WAITING.value
    assert gateway.inbox() == []
    gateway.clock.pass_by(hours=48, seconds=1)
    relay(gateway, zone)
    assert gateway.job().state == JobState.FAILED.value
    text, fields, _original = parse_report(gateway.inbox()[0])
    assert (fields["Action"], fields["Status"]) == ("failed", "5.4.7")
    assert explain_attempt(attempt).why_en in text.replace("\n", " ")
