"""The log's keeper beside the custodian: it sequences, tells when the log is late or forked, and outlives trouble."""

import logging
import threading
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from harness.log_stage import NOW, LogStage
from sqlalchemy import delete

from mailserver.app import log_keeper
from mailserver.app.log_keeper import ALARM_SECONDS, LATE_SECONDS, LogKeeper
from mailserver.crypto.secret import Secret
from mailserver.model.errors import Conflict, Unavailable
from mailserver.store import schema

LATE = "entries of the log wait for their signature: nothing is released"
FORK = "the store's log is not the one that was signed: nothing more is signed"


class Custody:
    """The custodian's side; ``trouble`` is raised in place of a signature."""

    def __init__(self, stage: LogStage) -> None:
        self._stage = stage
        self.trouble: Exception | None = None
        self.is_late = False
        self.set_aside: frozenset[bytes] = frozenset()
        self.is_told = threading.Event()

    def row_key(self) -> Secret:
        return self._stage.local.row_key()

    def sign_log(self, request: bytes) -> bytes:
        if self.trouble is not None:
            raise self.trouble
        return self._stage.local.sign_log(request)

    def mark_log(self, *, is_late: bool, set_aside: Collection[bytes] = ()) -> None:
        self.is_late, self.set_aside = is_late, frozenset(set_aside)
        self.is_told.set()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[LogStage]:
    stage = LogStage(tmp_path)
    yield stage
    stage.close()


@pytest.fixture
def custody(stage: LogStage) -> Custody:
    return Custody(stage)


@pytest.fixture
def keeper(stage: LogStage, custody: Custody) -> Iterator[LogKeeper]:
    keeper = LogKeeper(stage.config, custody, NOW)
    yield keeper
    keeper.close()


def _after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def _lines(caplog: pytest.LogCaptureFixture, what: str) -> list[str]:
    return [record.levelname for record in caplog.records if record.getMessage() == what]


def test_what_waits_is_sequenced_and_accounts_set_aside_are_named(
    stage: LogStage, custody: Custody, keeper: LogKeeper
) -> None:
    one, two = stage.person("one"), stage.person("two")
    keeper.round(NOW)
    assert stage.tree_size() == 2
    stage.act(one)
    stage.act(two)
    stage.replace_pending(one, stage.forged_leaf(one))
    keeper.round(_after(2))
    assert stage.tree_size() == 3
    for seconds in (LATE_SECONDS + 10, LATE_SECONDS + 20):
        keeper.round(_after(seconds))
    assert (custody.is_late, custody.set_aside) == (False, {one.account_id}), "one account holds nobody up"


def test_a_log_that_is_late_is_told_each_minute_and_ends_releases(
    stage: LogStage, custody: Custody, keeper: LogKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    stage.act(stage.person("one"))
    custody.trouble = Unavailable("log-state")
    caplog.set_level(logging.ERROR, "pli.log")
    keeper.round(_after(LATE_SECONDS))
    assert not custody.is_late
    for seconds in range(1, 60, 2):
        keeper.round(_after(LATE_SECONDS + seconds))
        assert custody.is_late
    assert _lines(caplog, LATE) == ["ERROR"]
    keeper.round(_after(LATE_SECONDS + 1 + ALARM_SECONDS))
    assert _lines(caplog, LATE) == ["ERROR"] * 2
    custody.trouble = None
    keeper.round(_after(LATE_SECONDS + 70))
    assert not custody.is_late


def test_a_stopped_sequencer_is_late_even_when_it_says_nothing(
    stage: LogStage, custody: Custody, keeper: LogKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another holds the lease, or claims to: nothing is raised, and nothing moves."""
    stage.person("one")
    stage.act(stage.person("two"), NOW - timedelta(hours=1))
    monkeypatch.setattr(log_keeper.Sequencer, "step", lambda _self, _now: 0)
    keeper.round(NOW)
    assert not custody.is_late, "an entry folded from an hour ago has just come in"
    keeper.round(_after(2))
    assert custody.is_late


def test_after_a_fork_nothing_is_signed_and_each_minute_says_so(
    stage: LogStage, custody: Custody, keeper: LogKeeper, caplog: pytest.LogCaptureFixture
) -> None:
    one = stage.person("one")
    keeper.round(NOW)
    stage.act(one)
    with stage.store.database.write() as connection:
        for table in (schema.log_checkpoint, schema.log_tile):
            connection.execute(delete(table))
    caplog.set_level(logging.ERROR, "pli.log")
    keeper.round(NOW)
    assert custody.is_late
    for seconds in range(0, 3 * ALARM_SECONDS, 20):
        keeper.round(_after(seconds))
    assert _lines(caplog, FORK) == ["CRITICAL"] * 3
    assert stage.tree_size() == 0
    assert stage.pending(one) == 1


@pytest.mark.parametrize(
    "trouble", [RuntimeError("private words"), Unavailable("disk-io"), Conflict("log-lease")]
)
def test_trouble_in_one_round_leaves_the_next(
    stage: LogStage,
    custody: Custody,
    keeper: LogKeeper,
    caplog: pytest.LogCaptureFixture,
    trouble: Exception,
) -> None:
    stage.person("one")
    custody.trouble = trouble
    with caplog.at_level(logging.ERROR, "pli.log"):
        keeper.round(NOW)
    assert _lines(caplog, "the log is not sequenced") == ["ERROR"]
    assert "private words" not in caplog.text
    custody.trouble = None
    keeper.round(_after(2))
    assert stage.tree_size() == 1


def test_a_failed_disk_is_opened_anew(stage: LogStage, keeper: LogKeeper) -> None:
    """R5: what a failed sync left is not trusted; the store is read from the disk again."""
    one = stage.person("one")
    keeper.round(NOW)
    keeper._disk_failed(Unavailable("disk-io"))
    first = keeper._store
    stage.act(one)
    keeper.round(_after(2))
    assert stage.tree_size() == 2
    assert keeper._store is not first


def test_the_thread_makes_its_first_round_at_once(
    stage: LogStage, custody: Custody, keeper: LogKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written while nothing served does not wait for the period to pass."""
    monkeypatch.setattr(log_keeper, "SEQUENCE_SECONDS", 3600)
    stage.person("one")
    keeper.start()
    assert custody.is_told.wait(30)
    assert stage.tree_size() == 1
    keeper.stop(30)


def test_the_thread_makes_a_last_round_when_it_stops(stage: LogStage, keeper: LogKeeper) -> None:
    keeper.start()
    stage.person("one")
    keeper.stop(30)
    assert not keeper._thread.is_alive()
    assert (stage.tree_size(), keeper._store) == (1, None)
