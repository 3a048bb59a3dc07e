"""Readiness tells the truth, to anybody, in words alone."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from harness.node import make_node
from harness.web_server import Client, running

from mailserver.api import health
from mailserver.model.errors import Unavailable
from mailserver.policy.trust_list import NOBODY
from mailserver.service.readiness import LATE_SECONDS, ReadinessCheck

WELL = {"status": "ok", "store": "ok", "trust_list": "ok", "custodian": "ok", "log": "ok"}
NOW = datetime.now(UTC)


@pytest.fixture
def node(tmp_path):
    node = make_node(tmp_path)
    node.services.trust.refresh(datetime.now(UTC))
    yield node
    node.close()


@pytest.fixture
def check(node):
    return ReadinessCheck(node.services.store, node.services.trust, node.services.custody)


def ask(node):
    with running(node) as server:
        answer = Client(server.port).get("/api/v1/health")
    return answer.status, json.loads(answer.body)


def refuse(*_arguments, **_named):
    raise Unavailable("away")


def test_all_is_well(node):
    assert ask(node) == (200, WELL)


def test_without_the_store_nothing_is_served(node, monkeypatch):
    monkeypatch.setattr(type(node.services.store.database), "read", refuse)
    assert ask(node) == (503, WELL | {"status": "degraded", "store": "degraded", "log": "degraded"})


def test_without_the_custodian(node, monkeypatch):
    monkeypatch.setattr(type(node.services.custody), "hourly_key", refuse)
    assert ask(node) == (200, WELL | {"status": "degraded", "custodian": "degraded"})


def test_without_a_trust_list_in_force(node, check, monkeypatch):
    assert not check.look(NOW + timedelta(days=4000)).has_trust_list, "too old"
    monkeypatch.setattr(node.services.trust, "_current", NOBODY)
    assert ask(node) == (200, WELL | {"status": "degraded", "trust_list": "degraded"})


def test_a_log_that_waits_at_two_looks(node, check):
    node.add("camille@a.localhost")
    now = datetime.now(UTC)  # the entry has this second, however long ago the module was read
    late = now + timedelta(seconds=LATE_SECONDS + 60)
    assert check.look(now).is_whole
    assert check.look(late).is_log_in_time, "one look is a doubt"
    assert not check.look(late).is_log_in_time
    assert check.look(now).is_log_in_time


def test_one_look_serves_everybody_for_a_while(node, monkeypatch):
    looks = []
    look = ReadinessCheck.look
    monkeypatch.setattr(ReadinessCheck, "look", lambda self, now: looks.append(now) or look(self, now))
    monkeypatch.setattr(health, "KEPT_SECONDS", 600.0)
    with running(node) as server:
        for _turn in range(5):
            assert Client(server.port).get("/api/v1/health").status == 200
        assert len(looks) == 1
    assert len(looks) == 1


def test_a_look_that_hangs_is_no_good_news(node, monkeypatch):
    may_end, look = threading.Event(), ReadinessCheck.look
    monkeypatch.setattr(ReadinessCheck, "look", lambda self, now: may_end.wait(20) and look(self, now))
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(health, "KEPT_SECONDS", 0.0)
    with running(node) as server:
        for _turn in range(2):
            answer = Client(server.port).get("/api/v1/health")
            assert (answer.status, set(json.loads(answer.body).values())) == (503, {"degraded"})
        may_end.set()
        monkeypatch.setattr(health, "LOOK_SECONDS", 20.0)
        assert Client(server.port).get("/api/v1/health").status == 200
