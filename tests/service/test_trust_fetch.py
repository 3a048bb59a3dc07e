"""A trust list fetched from a real server: checked, put in its place, found by the watch, tried again after failures."""

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.list_server import HANG, ListServer, answer, served, server_context
from harness.trust_lists import pin_of, put, signed_list

from mailserver.app.trust_fetch import FetchSettings, TrustFetch, record_path
from mailserver.crypto.authority import DemoAuthority, DemoAuthorityWarning
from mailserver.model.address import parse_domain
from mailserver.policy.trust_source import SourcePlan, TrustSource
from mailserver.policy.trust_steps import ListRule
from mailserver.policy.trust_store import TrustStore
from mailserver.sync.https_fetch import FetchLimits

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NORTH, SOUTH = "north.demo.example", "south.demo.example"


@dataclass
class Stage:
    """One worker's trust list and its fetcher, beside the server that it asks."""

    folder: Path
    context: object
    authority: DemoAuthority
    signer: object

    def __post_init__(self):
        self.pool = ThreadPoolExecutor(1)
        self.file = self.folder / "trust/list.xml"
        self.server = ListServer([])
        asyncio.run(self._served(lambda: None))
        self.open()

    def open(self):
        """As a worker does when it starts."""
        plan = SourcePlan(self.file, ListRule(pin_of(self.signer)), url=self.server.url())
        self.trust = TrustStore([TrustSource(plan, self.folder)])
        self.trust.load(NOW)
        limits = FetchLimits(octets=100_000, seconds=5)
        settings = FetchSettings(self.folder, self.authority.certificate_path, HOUR, limits)
        self.fetch = TrustFetch(self.trust.sources[0], settings, draw=lambda: 0.5)

    def round(self, now, given=None):
        """One round against the server, then one look of the watch; the number of requests that were made."""
        if given is not None:
            self.server.answer = given
        before = len(self.server.requests)
        asyncio.run(self._served(lambda: self.fetch.round(self.pool, now)))
        self.trust.refresh(now)
        return len(self.server.requests) - before

    async def _served(self, work):
        async with served(self.server, self.context):
            if (doing := work()) is not None:
                await doing

    def publish(self, date, *names, **headers):
        return answer("200 OK", signed_list(self.signer, date, *names), **headers)

    def is_listed(self, name):
        return self.trust.current.is_listed(parse_domain(name))


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    with pytest.warns(DemoAuthorityWarning):
        return DemoAuthority.create(tmp_path_factory.mktemp("ca"), NOW, key_bits=2048)


@pytest.fixture(scope="module")
def signer(authority):
    return authority.issue_list_signer("demo.example", now=NOW)


@pytest.fixture(scope="module")
def context(authority, tmp_path_factory):
    return server_context(authority, tmp_path_factory.mktemp("server"))


@pytest.fixture
def stage(tmp_path, context, authority, signer, caplog):
    caplog.set_level(logging.INFO)
    made = Stage(tmp_path, context, authority, signer)
    yield made
    made.pool.shutdown()


def said(caplog):
    found = [(record.levelname, record.list, record.__dict__.get("code")) for record in caplog.records]
    caplog.clear()
    return found


def test_the_first_list_and_the_next(stage, caplog):
    """The folder of the list need not be there; nobody is asked before it is time."""
    assert stage.round(NOW, stage.publish(NOW, NORTH)) == 1
    assert stage.is_listed(NORTH)
    assert stage.round(NOW + 59 * MINUTE) == 0
    assert stage.round(NOW + HOUR, stage.publish(NOW + HOUR, NORTH, SOUTH)) == 1
    assert stage.is_listed(SOUTH)
    assert said(caplog) == []  # the changes themselves are the watch's to tell
    assert [path.name for path in stage.file.parent.iterdir()] == ["list.xml"]


def test_a_list_that_has_not_changed(stage):
    stage.round(NOW, stage.publish(NOW, NORTH, ETag='"one"'))
    before = stage.file.stat()
    assert stage.round(NOW + HOUR, answer("304 Not Modified")) == 1
    assert stage.server.requests[-1]["If-None-Match"] == '"one"'
    # a server that knows no conditions: the same octets are not written again
    stage.round(NOW + 2 * HOUR, stage.publish(NOW, NORTH))
    assert stage.file.stat() == before
    assert stage.fetch.record.fetched_at == NOW + 2 * HOUR


def test_a_file_that_is_gone_is_asked_for_whole(stage):
    stage.round(NOW, stage.publish(NOW, NORTH, ETag='"one"'))
    stage.file.unlink()
    stage.round(NOW + HOUR)
    assert "If-None-Match" not in stage.server.requests[-1]
    assert stage.file.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda stage: answer("500 Oops"), "fetch-status"),
        (lambda stage: answer("302 Found", Location="/login"), "fetch-redirect"),
        (lambda stage: answer("200 OK", b"x" * 100_001), "fetch-length"),
        (lambda stage: [piece[:-9] for piece in stage.publish(NOW + HOUR, SOUTH)], "fetch-truncated"),
        (lambda stage: answer("200 OK", b"<html>Log in</html>"), "xml-unsigned"),
        (
            lambda stage: answer(
                "200 OK", signed_list(stage.signer, NOW + HOUR, SOUTH).replace(b"south", b"sauth")
            ),
            "xml-digest",
        ),
        (lambda stage: stage.publish(NOW - HOUR, SOUTH), "trust-list-older"),
        (lambda stage: stage.publish(NOW + 3 * HOUR, SOUTH), "trust-list-from-future"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_changes_nothing(stage, caplog, change, code):
    stage.round(NOW, stage.publish(NOW, NORTH, ETag='"one"'))
    octets, current = stage.file.read_bytes(), stage.trust.current
    assert stage.round(NOW + HOUR, change(stage)) == 1
    assert stage.file.read_bytes() == octets
    assert stage.trust.current is current
    assert said(caplog) == [("ERROR", "main", code)]
    # tried again after one minute, then two; the same failure is told once, and so is its end
    assert stage.round(NOW + HOUR + MINUTE) == 1
    assert stage.round(NOW + HOUR + 2 * MINUTE) == 0
    assert said(caplog) == []
    assert stage.round(NOW + HOUR + 3 * MINUTE, stage.publish(NOW + HOUR, NORTH)) == 1
    assert "If-None-Match" not in stage.server.requests[-1]
    assert said(caplog) == [("INFO", "main", None)]


def test_a_record_outlives_the_worker(stage):
    stage.round(NOW, stage.publish(NOW, NORTH, ETag='"one"'))
    stage.open()
    assert stage.round(NOW + MINUTE) == 0
    stage.round(NOW + HOUR, answer("500 Oops"))
    stage.open()
    assert stage.fetch.record.error == "fetch-status"
    written = json.loads(record_path(stage.folder, stage.trust.sources[0]).read_bytes())
    assert written["error"] == "fetch-status"
    assert written["fetched_at"] == NOW.isoformat()


def test_an_authority_that_cannot_be_read(stage, caplog):
    stage.authority.certificate_path.rename(stage.folder / "away")
    try:
        assert stage.round(NOW, stage.publish(NOW, NORTH)) == 0
    finally:
        (stage.folder / "away").rename(stage.authority.certificate_path)
    assert said(caplog) == [("ERROR", "main", "web-authority")]
    assert stage.round(NOW + MINUTE) == 1
    assert stage.is_listed(NORTH)


def test_a_list_that_cannot_be_written(stage, caplog):
    put(stage.folder / "trust", b"a file where the folder should be")
    stage.round(NOW, stage.publish(NOW, NORTH))
    assert said(caplog) == [("ERROR", "main", "trust-list-disk")]
    (stage.folder / "trust").unlink()
    stage.round(NOW + MINUTE)
    assert stage.is_listed(NORTH)


def test_a_worker_that_stops_does_not_wait_for_a_slow_server(stage):
    stage.server.answer = [HANG]

    async def run():
        async with served(stage.server, stage.context):
            task = asyncio.create_task(stage.fetch.run(stage.pool))
            while not stage.server.requests:
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=1)
            assert task.cancelled()

    asyncio.run(run())
