"""Guesses of strangers lock nobody out, stop nobody's pages, and are counted (S4, S9, K22)."""

import http.client
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
from harness.log_reading import read_log
from harness.node import Node, make_node
from harness.web_node import PASSWORD, WebNode
from harness.web_server import Client, running
from harness.web_stage import DOCTOR, make_stage

from mailserver.audit.events import EventKind
from mailserver.crypto.custodian import Custodian, utc_now
from mailserver.crypto.custodian_rates import Standing
from mailserver.model.errors import OverLimit
from mailserver.service.keys import ARGON2_AT_ONCE
from mailserver.service.throttle import Throttle
from mailserver.service.web_login import Started, WebLogin
from webmail.desk import THREADS
from webmail.pages_login import KNOWN_AT_ONCE

LOGIN, NOBODY = "victime@a.localhost", "personne@a.localhost"


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Node]:
    """The custodian's clock stands still, so that no try comes back while a test runs."""
    node = make_node(tmp_path)
    start = utc_now()
    node.custodian._now = lambda: start
    node.add(LOGIN, password=PASSWORD, contact="victime@example.org")
    yield node
    node.close()


def spend_tries(ours: Node, login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What strangers may ask the custodian about one account, without the Argon2 of each."""
    asked: list[tuple[bytes, bytes]] = []
    harden = Custodian.harden
    with monkeypatch.context() as patch:
        patch.setattr(
            Custodian, "harden", lambda self, *given: (asked.append(given[:2]), harden(self, *given))[1]
        )
        with pytest.raises(Exception, match="login"):
            ours.services.keys.open_with_password(login, "faux")
    with pytest.raises(OverLimit):
        while True:
            ours.custodian.harden(*asked[0], b"v")


def test_a_stranger_locks_nobody_out(ours: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    web = WebNode.over(ours)
    with running(ours) as server:
        owner, stranger = Client(server.port), Client(server.port)
        owner.sign_in(web, LOGIN)
        assert owner.device
        spend_tries(ours, LOGIN, monkeypatch)
        fields = {"login": LOGIN, "password": PASSWORD}
        refused = stranger.post("/login", fields)
        assert (refused.status, stranger.cookie) == (429, "")
        assert "n’a pas été examiné" in refused.words
        assert "codes en peu de temps" not in refused.words
        assert Client(server.port, device=owner.device).post("/login", fields).status == 303
        other = Client(server.port, device=owner.device[:-4] + "AAAA")
        assert other.post("/login", fields).status == 429


def test_who_is_refused_unjudged_is_told_alike_and_counted(
    ours: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    note = Throttle.note_failure

    def counting(throttle: Throttle, peer: str, login: str, *, is_known: bool = False) -> None:
        counted.append(login)
        note(throttle, peer, login, is_known=is_known)

    monkeypatch.setattr(Throttle, "note_failure", counting)
    pages = []
    with running(ours) as server:
        for login in (LOGIN, NOBODY):
            spend_tries(ours, login, monkeypatch)
            page = Client(server.port).post("/login", {"login": login, "password": PASSWORD})
            pages.append((page.status, page.text.replace(login, "X")))
    assert pages[0] == pages[1]
    assert pages[0][0] == 429
    assert counted == [LOGIN, NOBODY]
    account, _keys = ours.services.keys.open_with_password(LOGIN, PASSWORD, Standing.KNOWN)
    events = [each.event for each in read_log(ours.services.store, account.account, account.space_root())]
    assert [event.kind for event in events].count(EventKind.LOGIN_FAILED) == 1


def test_wrong_codes_of_an_application_are_told_in_its_words(
    ours: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Throttle, "_delay", lambda *_given: 0.0)
    ours.add("totp@a.localhost", password=PASSWORD, second_factor="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    fields = {"login": "totp", "password": PASSWORD}
    with running(ours) as server:
        client = Client(server.port)
        client.post("/login", fields)
        for _guess in range(10):
            page = client.post("/login/code", {"code": ""})
        assert page.status == 403
        assert "Vérifiez que votre téléphone est à l’heure" in page.words
        assert "Revenir à la connexion" in page.words
        assert "recevoir un autre code" not in page.words, "an application sends none"
        refused = Client(server.port).post("/login", fields)
    assert refused.status == 429
    assert "quelqu’un connaît votre mot de passe" in refused.words
    account, _keys = ours.services.keys.open_with_password("totp@a.localhost", PASSWORD)
    events = [each.event for each in read_log(ours.services.store, account.account, account.space_root())]
    (failed,) = [event for event in events if event.kind is EventKind.LOGIN_FAILED]
    assert dict(failed.what.parameters) == {"count": "10"}


class Held:
    """A first step that waits until it may go on, but for known browsers; ``entered`` counts who is in it."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.may_go = threading.Event()

    def as_method(self) -> Callable[..., Started]:
        begin = WebLogin.begin

        def held(login: WebLogin, typed: str, password: str, now: datetime, standing: Standing) -> Started:
            if standing is Standing.STRANGER:
                self.entered.release()
                assert self.may_go.wait(60)
            return begin(login, typed, password, now, standing)

        return held


def test_a_burst_of_logins_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More logins than there are threads for pages: a signed-in person and a known browser do not wait for them."""
    held = Held()
    count = THREADS + 4
    attempts = threading.Semaphore(0)
    attempt = Throttle.attempt

    def seen(self, *given, **more):
        attempts.release()
        return attempt(self, *given, **more)

    with make_stage(tmp_path) as stage, ThreadPoolExecutor(count) as pool:
        patient = stage.patient()
        device = Client(stage.port)
        device.sign_in(stage.web, DOCTOR)
        monkeypatch.setattr(Throttle, "_delay", lambda *_given: 0.0)
        monkeypatch.setattr(Throttle, "attempt", seen)
        monkeypatch.setattr(WebLogin, "begin", held.as_method())
        fields = {"login": DOCTOR, "password": "faux"}
        guesses = [pool.submit(Client(stage.port).post, "/login", fields) for _guess in range(count)]
        try:
            for _guess in range(count):
                assert attempts.acquire(timeout=60)
            for _guess in range(ARGON2_AT_ONCE - KNOWN_AT_ONCE):
                assert held.entered.acquire(timeout=60)
            assert patient.get("/").status == 200
            again = Client(stage.port, device=device.device)
            assert again.post("/login", {"login": DOCTOR, "password": PASSWORD}).status == 303
            assert not held.entered.acquire(blocking=False)
            assert not any(guess.done() for guess in guesses)
        finally:
            held.may_go.set()
        assert {guess.result(60).status for guess in guesses} == {403}


def test_who_has_left_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Guesses whose connection is gone would queue without end: no cap counts them."""
    held = Held()
    lane = ARGON2_AT_ONCE - KNOWN_AT_ONCE
    attempts = threading.Semaphore(0)
    attempt = Throttle.attempt

    def seen(self, *given, **more):
        attempts.release()
        return attempt(self, *given, **more)

    with make_stage(tmp_path) as stage, ThreadPoolExecutor(lane) as pool:
        patient = stage.patient()
        monkeypatch.setattr(Throttle, "_delay", lambda *_given: 0.0)
        monkeypatch.setattr(Throttle, "attempt", seen)
        monkeypatch.setattr(WebLogin, "begin", held.as_method())
        fields = {"login": DOCTOR, "password": "faux"}
        guesses = [pool.submit(Client(stage.port).post, "/login", fields) for _guess in range(lane)]
        try:
            for _guess in range(lane):
                assert held.entered.acquire(timeout=60)
            client = Client(stage.port)
            left = http.client.HTTPSConnection("127.0.0.1", stage.port, context=client.context())
            kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": client.origin}
            left.request("POST", "/login", urlencode(fields), kind)
            for _guess in range(lane + 1):
                assert attempts.acquire(timeout=60)
            left.close()
            assert patient.get("/").status == 200
        finally:
            held.may_go.set()
        assert {guess.result(60).status for guess in guesses} == {403}
        assert stage.client().post("/login", fields).status == 403
        assert held.entered.acquire(blocking=False)
        assert not held.entered.acquire(blocking=False)
    assert not [each for each in caplog.records if each.exc_info]


def test_an_attempt_counts_while_it_is_looked_at(ours: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[bytes, int]] = []
    begin, attempt = WebLogin.begin, Throttle.attempt
    throttles: list[Throttle] = []

    def noted(self, *given, **more):
        throttles.append(self)
        return attempt(self, *given, **more)

    def looked(*given):
        seen.append(dict(throttles[0]._under_way))
        return begin(*given)

    monkeypatch.setattr(Throttle, "attempt", noted)
    monkeypatch.setattr(WebLogin, "begin", looked)
    with running(ours) as server:
        for password in ("faux", PASSWORD):
            Client(server.port).post("/login", {"login": LOGIN, "password": password})
    assert [sorted(each.values()) for each in seen] == [[1, 1, 1], [1, 1, 1]]
    assert not throttles[0]._under_way
