"""Guesses of strangers lock nobody out, stop nobody's pages, and are counted (S4, S9, K22)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.log_reading import read_log
from harness.node import Node, make_node
from harness.web_node import PASSWORD, WebNode
from harness.web_server import Client, running

from mailserver.audit.events import EventKind
from mailserver.crypto.custodian import Custodian, utc_now
from mailserver.crypto.custodian_rates import Standing
from mailserver.model.errors import OverLimit
from mailserver.service.throttle import Throttle

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
    monkeypatch.setattr(Throttle, "note_failure", lambda self, peer, login: counted.append(login))
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
