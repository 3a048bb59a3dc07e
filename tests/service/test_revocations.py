"""Lists fetched and kept, the responder asked and its silence survived: what is known of a peer's certificate, when."""

import asyncio
import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.x509 import ocsp
from harness.forge import DAY, HOUR, Forge, rsa_key

from mailserver.app.revocation_watch import RevocationWatch
from mailserver.crypto.revocation_lists import Standing
from mailserver.model.errors import Unavailable
from mailserver.policy.mail_rules import PeerRules
from mailserver.service.peers import THREADS, Peers
from mailserver.service.revocations import FOLDER, PEERS, Revocations, Sources
from mailserver.service.web_exchange import Question, exchange

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
LISTS, RESPONDER = "http://igc.example/a.crl", "http://ocsp.example/"


@pytest.fixture(scope="module")
def forge():
    return Forge(NOW)


@pytest.fixture(scope="module")
def leaf(forge):
    return forge.issue()


class Web:
    """What is behind each address: octets, or None when nobody answers. ``asked`` counts."""

    def __init__(self):
        self.pages = {}
        self.asked = []
        self.seconds = 0.0

    def __call__(self, question):
        self.asked.append(question.url)
        page = self.pages.get(question.url)
        if page is None:
            raise Unavailable("web-exchange", "ConnectionRefusedError")
        return page

    def clock(self):
        return self.seconds


@pytest.fixture
def web():
    return Web()


@pytest.fixture
def make(tmp_path, forge, web):
    authority = tmp_path / "authority.pem"
    authority.write_bytes(forge.pem)

    def build(*lists, responder="", **more):
        return Revocations(Sources(authority, lists, tmp_path, responder), web, web.clock, **more)

    return build


def put(path, octets, at):
    path.write_bytes(octets)
    os.utime(path, (at, at))


def test_nothing_is_configured(make, leaf):
    revocations = make()
    assert revocations.check(leaf.der, NOW) is Standing.UNCHECKED
    assert revocations.find_known(leaf.der, NOW) is Standing.UNCHECKED


def test_a_file(make, forge, leaf, tmp_path, caplog):
    path = tmp_path / "a.crl"
    revocations = make(str(path))
    assert revocations.find_known(leaf.der, NOW) is None, "it must be asked for"
    assert revocations.check(leaf.der, NOW) is Standing.UNKNOWN
    put(path, forge.revoke(), 1)
    revocations.refresh(NOW)
    assert revocations.check(leaf.der, NOW) is Standing.GOOD
    assert revocations.find_known(leaf.der, NOW) is Standing.GOOD
    put(path, forge.revoke(leaf), 2)
    revocations.refresh(NOW)
    assert revocations.check(leaf.der, NOW) is Standing.REVOKED
    assert "missing" in [getattr(each, "code", "") for each in caplog.records]


def test_a_list_is_fetched_and_kept(make, forge, leaf, web, tmp_path):
    web.pages[LISTS] = forge.revoke(leaf)
    assert make(LISTS).fetch(NOW)
    (kept,) = (tmp_path / FOLDER).iterdir()
    assert kept.read_bytes() == web.pages[LISTS]
    web.pages.clear()
    later = make(LISTS)  # another worker, or after a restart
    assert later.check(leaf.der, NOW) is Standing.REVOKED
    assert not later.fetch(NOW)
    assert later.check(leaf.der, NOW) is Standing.REVOKED


def test_several_lists_for_a_chain(make, forge, leaf, web, tmp_path):
    path = tmp_path / "b.crl"
    path.write_bytes(forge.revoke())
    web.pages[LISTS] = forge.revoke(leaf)
    revocations = make(str(path), LISTS)
    revocations.fetch(NOW)
    assert revocations.check(leaf.der, NOW) is Standing.REVOKED


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (lambda _f: None, "web-exchange"),
        (lambda _f: b"<html>", "crl-syntax"),
        (lambda f: f.revoke(signer=rsa_key("stranger")), "crl-signature"),
        (lambda f: f.revoke(starts=-DAY), "crl-older"),
    ],
)
def test_the_last_good_list_is_kept(make, forge, leaf, web, tmp_path, caplog, bad, code):
    good = web.pages[LISTS] = forge.revoke(leaf)
    revocations = make(LISTS)
    revocations.fetch(NOW)
    web.pages[LISTS] = bad(forge)
    assert not revocations.fetch(NOW + HOUR)
    assert revocations.check(leaf.der, NOW + HOUR) is Standing.REVOKED
    (kept,) = (tmp_path / FOLDER).iterdir()
    assert kept.read_bytes() == good
    told = [each for each in caplog.records if "last good one is kept" in each.message]
    assert [each.code for each in told] == [code]
    assert told[0].source == "igc.example"


def test_a_list_out_of_date_vouches_for_nobody(make, forge, leaf, web):
    web.pages[LISTS] = forge.revoke()
    revocations = make(LISTS)
    revocations.fetch(NOW)
    assert revocations.check(leaf.der, NOW) is Standing.GOOD
    assert revocations.find_known(leaf.der, NOW + 2 * DAY) is None, "what was known ends with the list"
    assert revocations.check(leaf.der, NOW + 2 * DAY) is Standing.UNKNOWN


def test_the_responder_is_asked_once(make, forge, leaf, web):
    web.pages[RESPONDER] = forge.answer(leaf)
    revocations = make(responder=RESPONDER)
    assert [revocations.check(leaf.der, NOW) for _ in range(3)] == [Standing.GOOD] * 3
    assert web.asked == [RESPONDER]
    web.pages[RESPONDER] = forge.answer(leaf, ocsp.OCSPCertStatus.REVOKED, ends=3 * DAY)
    assert revocations.check(leaf.der, NOW + 2 * DAY) is Standing.REVOKED
    assert len(web.asked) == 2


def test_a_silent_responder_leaves_it_to_the_lists(make, forge, leaf, web, tmp_path, caplog):
    path = tmp_path / "a.crl"
    path.write_bytes(forge.revoke())
    revocations = make(str(path), responder=RESPONDER)
    assert revocations.check(leaf.der, NOW) is Standing.GOOD
    assert revocations.check(forge.issue().der, NOW) is Standing.GOOD
    assert len(web.asked) == 1, "left alone for a minute"
    assert "OCSP responder gave no answer" in caplog.text
    web.seconds = 61.0
    web.pages[RESPONDER] = forge.answer(leaf, ocsp.OCSPCertStatus.REVOKED)
    later = NOW + HOUR / 30
    assert revocations.check(leaf.der, later) is Standing.REVOKED


def test_neither_answer_nor_list(make, forge, leaf, web):
    revocations = make(responder=RESPONDER)
    assert revocations.check(leaf.der, NOW) is Standing.UNKNOWN
    web.seconds = 61.0
    web.pages[RESPONDER] = forge.answer(leaf)
    assert revocations.check(leaf.der, NOW + HOUR) is Standing.GOOD


def test_a_list_that_revokes_is_believed_before_the_responder(make, forge, leaf, web, tmp_path):
    path = tmp_path / "a.crl"
    path.write_bytes(forge.revoke(leaf))
    web.pages[RESPONDER] = forge.answer(leaf)
    assert make(str(path), responder=RESPONDER).check(leaf.der, NOW) is Standing.REVOKED
    assert web.asked == []


def test_strangers_are_unknown_and_nobody_is_asked(make, web):
    stranger = Forge(NOW, "AC AUTRE").issue()
    revocations = make(responder=RESPONDER)
    assert revocations.check(stranger.der, NOW) is Standing.UNKNOWN
    assert revocations.check(b"no certificate", NOW) is Standing.UNKNOWN
    assert web.asked == []


def test_what_is_remembered_is_bounded(make, leaf, tmp_path):
    revocations = make(str(tmp_path / "none.crl"))
    revocations.refresh(NOW)
    for number in range(PEERS + 10):
        revocations._standings.keep(b"%d" % number, Standing.GOOD, NOW + DAY)
    assert len(revocations._standings._kept) == PEERS


def test_the_operator_hears_once_of_a_list_out_of_date(make, forge, web, caplog):
    web.pages[LISTS] = forge.revoke()
    watch = RevocationWatch(make(LISTS), fetches=True)
    for now in (NOW, NOW, NOW + 2 * DAY, NOW + 2 * DAY):
        watch.round(now, is_due=now == NOW)
    critical = [each for each in caplog.records if each.levelname == "CRITICAL"]
    assert [each.sources for each in critical] == ["igc.example"]
    web.pages[LISTS] = forge.revoke(ends=3 * DAY, starts=0 * DAY)
    with caplog.at_level("INFO"):
        watch.round(NOW + 2 * DAY, is_due=True)
    assert "every revocation list is in date again" in caplog.text


@pytest.mark.parametrize("fetches", [True, False])
def test_the_operator_hears_at_each_start_that_nothing_is_checked(make, caplog, fetches):
    with ThreadPoolExecutor(1) as pool:
        asyncio.run(RevocationWatch(make(), fetches=fetches).run(pool))
    said = [(each.levelname, each.message) for each in caplog.records]
    nothing = "revocation is not checked: peer_crl and peer_ocsp in [tls] are empty"
    assert said == ([("CRITICAL", nothing)] if fetches else []), "one worker says it"


def test_one_question_for_all_who_wait_and_no_more_than_the_threads(make, forge, web):
    """Eight servers call, each on five connections, and the responder is slow."""
    speaks, running, most = threading.Event(), [], []

    def ask(question):
        running.append(question)
        most.append(len(running))
        assert speaks.wait(60)
        running.remove(question)
        raise Unavailable("web-exchange")

    revocations = make(responder=RESPONDER)
    revocations._ask = ask
    peers = Peers(PeerRules(), revocations)
    leaves = [forge.issue().der for _ in range(8)]
    waiting = [[peers.begin_check(each, NOW) for _ in range(5)] for each in leaves]
    assert [len(set(each)) for each in waiting] == [1] * 8
    assert not any(each[0].done() for each in waiting)
    speaks.set()
    assert {each[0].result(60) for each in waiting} == {Standing.UNKNOWN}
    assert max(most) <= THREADS
    assert len(most) <= THREADS, "who did not answer is left alone"
    assert peers.begin_check(leaves[0], NOW + HOUR) is not waiting[0][0]
    peers.close()


def test_lists_are_fetched_in_no_thread_that_serves_people(make, web):
    threads = []

    def ask(_question):
        threads.append(threading.current_thread())
        raise Unavailable("web-exchange")

    revocations = make(LISTS)
    revocations._ask = ask

    async def watch(pool):
        task = asyncio.create_task(RevocationWatch(revocations, fetches=True).run(pool))
        while not threads:
            await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(watch(pool))
        assert not set(threads) & set(pool._threads)


class Pages(BaseHTTPRequestHandler):
    def do_GET(self):
        match self.path:
            case "/a.crl?x=1":
                self._say(200, b"list")
            case "/moved":
                self.send_response(302)
                self.send_header("Location", "/a.crl?x=1")
                self.end_headers()
            case "/drip" | "/drip-body":
                self._drip(b"HTTP/1.0 200 OK\r\n" + (b"X: " if self.path == "/drip" else b"\r\n"))
            case "/long":
                self._say(200, bytes(2000))
            case _:
                self._say(404, b"")

    def _drip(self, octets):
        """One octet at a time, until the client is gone."""
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(octets)
                octets = b"x"
                threading.Event().wait(0.02)

    def do_POST(self):
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        self._say(200, asked + b" " + self.headers["Content-Type"].encode())

    def _say(self, status, octets):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, *_words): ...


@pytest.fixture(scope="module")
def pages():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_web_is_asked(pages):
    assert exchange(Question(f"{pages}/a.crl?x=1", 1000, 5.0)) == b"list"
    assert exchange(Question(pages, 1000, 5.0, b"ask", "application/x")) == b"ask application/x"


@pytest.mark.parametrize(
    ("path", "detail"), [("/moved", "status 302"), ("/none", "status 404"), ("/long", "too long")]
)
def test_what_the_web_may_not_do(pages, path, detail):
    with pytest.raises(Unavailable) as refusal:
        exchange(Question(pages + path, 1000, 5.0))
    assert refusal.value.detail == detail


@pytest.mark.parametrize("path", ["/drip", "/drip-body"])
def test_an_answer_that_drips_is_cut(pages, path):
    started = time.monotonic()
    with pytest.raises(Unavailable, match="web-exchange"):
        exchange(Question(pages + path, 100_000, 0.3))
    assert time.monotonic() - started < 3


def test_nobody_answers(pages):
    with pytest.raises(Unavailable, match="web-exchange"):
        exchange(Question("http://127.0.0.1:1/", 1000, 5.0))
    with pytest.raises(Unavailable, match="web-exchange"):
        exchange(Question(pages.replace("http:", "https:"), 1000, 5.0))
