"""No look at a log without its own line in it: the page, the copy and the check alike (L1, L10)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.log_reading import read_log as look
from harness.log_stage import NOW, LogStage

from mailserver.audit.events import EventKind, Origin
from mailserver.model.errors import Denied, Unavailable
from mailserver.service.access_log import read_log
from mailserver.service.check import check_account
from mailserver.service.history import permit_copy, permit_reading
from mailserver.service.keys import OpenAccount
from mailserver.service.log_export import copy_log
from mailserver.store import log_rows

ORIGIN = Origin(client="test")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[LogStage]:
    stage = LogStage(tmp_path)
    yield stage
    stage.close()


def _kinds(stage: LogStage, who: OpenAccount) -> list[EventKind]:
    return [each.event.kind for each in look(stage.store, who.account, who.space_root())]


def test_a_copy_is_in_the_log_with_its_login(stage: LogStage) -> None:
    one = stage.person("one")
    stage.sequencer.step(NOW)
    reading = permit_copy(stage.store, one, ORIGIN, NOW, logs_in=True)
    copy = copy_log(stage.store, one, reading, stage.custody.log_publics)
    assert (copy.entries, copy.waiting) == (1, 0), "its own lines are not what waits"
    assert _kinds(stage, one)[1:] == [EventKind.LOGIN, EventKind.EXPORTED]
    stage.act(one)
    reading = permit_copy(stage.store, one, ORIGIN, NOW)
    assert copy_log(stage.store, one, reading, stage.custody.log_publics).waiting == 3


def test_a_check_with_a_persons_keys_is_in_the_log(stage: LogStage) -> None:
    one = stage.person("one")
    report = check_account(stage.store, one)
    assert report.problems == ()
    assert _kinds(stage, one)[1:] == [EventKind.MAILBOX_READ, EventKind.LOGIN, EventKind.LOG_READ]


def test_a_reading_is_used_once_by_its_account_for_its_purpose(stage: LogStage) -> None:
    one, two = stage.person("one"), stage.person("two")
    stage.sequencer.step(NOW)
    reading = permit_reading(stage.store, one, ORIGIN, NOW)
    with pytest.raises(Denied) as refused:
        read_log(stage.store, two.account, two.space_root(), reading)
    assert refused.value.code == "receipt-mismatch"
    with pytest.raises(Denied) as refused:
        copy_log(stage.store, one, reading, stage.custody.log_publics)
    assert refused.value.code == "receipt-mismatch"
    assert read_log(stage.store, one.account, one.space_root(), reading)
    with pytest.raises(Denied) as refused:
        read_log(stage.store, one.account, one.space_root(), reading)
    assert refused.value.code == "receipt-used"


def test_no_entry_no_reading(stage: LogStage, monkeypatch: pytest.MonkeyPatch) -> None:
    one = stage.person("one")

    def fail(*_given: object) -> None:
        raise Unavailable("disk-full")

    monkeypatch.setattr(log_rows, "add_entries", fail)
    for permit in (permit_reading, permit_copy):
        with pytest.raises(Unavailable) as refused:
            permit(stage.store, one, ORIGIN, NOW)
        assert refused.value.code == "disk-full"
