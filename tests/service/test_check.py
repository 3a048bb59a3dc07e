"""``pli check`` sees what a hand in the database took away, added or damaged; with a person's keys it opens all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from harness.log_stage import PASSWORD, LogStage
from sqlalchemy import Table, delete, update

from mailserver.app.log_keeper import LogKeeper
from mailserver.audit.sign_request import format_sign_request
from mailserver.mime.summary_wire import format_summary
from mailserver.model.account import Role
from mailserver.model.errors import Unavailable
from mailserver.service.check import check_account
from mailserver.service.intake import Intake
from mailserver.service.sequencer import LEASE_SECONDS, Sequencer
from mailserver.service.summaries import parse_intake
from mailserver.store import schema

NOW = datetime(2026, 7, 6, 9, tzinfo=UTC)


@pytest.fixture
def stage(tmp_path: Path) -> LogStage:
    made = LogStage(tmp_path)
    person = made.person("one")
    made.act(person, count=5)
    while made.sequencer.step(NOW):
        pass
    assert made.problems() == ()
    return made


def wipe(stage: LogStage, *tables: Table) -> None:
    with stage.store.database.write() as connection:
        for table in tables:
            connection.execute(delete(table))


LOG = (
    schema.log_entry,
    schema.log_head,
    schema.log_checkpoint,
    schema.log_pending,
    schema.log_tile,
)


@pytest.mark.parametrize(
    ("tables", "what"),
    [
        (LOG, "log is shorter than what was signed"),
        ((schema.log_checkpoint,), "log tree has gaps or leaves that no entry names"),
        ((schema.log_tile,), "log tiles are not those of the tree"),
        ((schema.log_entry,), "log tree has gaps or leaves that no entry names"),
        ((schema.mailbox,), "account without inbox"),
        ((schema.address,), "account without address"),
        ((schema.slot,), "account without slot"),
        ((schema.account,), "rows of no account (mailbox)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(each.name for each in value),
)
def test_what_was_deleted_is_told(stage: LogStage, tables: tuple[Table, ...], what: str) -> None:
    wipe(stage, *tables)
    assert what in {problem for problem, _where in stage.problems()}


def test_messages_of_no_mailbox_are_told(stage: LogStage) -> None:
    person = stage.node.services.keys.open_with_password("one@a.localhost", PASSWORD)[0]
    services = stage.node.services
    inbox = services.mailboxes.load_by_role(person, Role.INBOX)
    intake = Intake(stage.store.blobs, 1000)
    intake.write(b"Subject: x\r\n\r\ny\r\n")
    intake.finish()
    summary = format_summary(parse_intake(intake).summary)
    services.messages.append(person, inbox.mailbox_id, intake, summary, (0, 0, 0))
    assert stage.problems() == ()
    with stage.store.database.write() as connection:
        connection.execute(delete(schema.mailbox).where(schema.mailbox.c.role == "inbox"))
    assert "messages of no mailbox" in {problem for problem, _where in stage.problems()}


def test_a_wiped_log_is_told_when_the_server_starts(
    stage: LogStage, caplog: pytest.LogCaptureFixture
) -> None:
    """Before anything new is written: the first look compares with what the signer holds."""
    wipe(stage, *LOG)
    keeper = LogKeeper(stage.config, stage.local, NOW)
    keeper.round(NOW)
    keeper.close()
    (said,) = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert said.__dict__["code"] == "log-fork"


def test_a_lost_commit_is_no_problem(stage: LogStage) -> None:
    """Signed and not committed: the leaves still wait, and come again."""
    person = stage.node.services.keys.open_with_password("one@a.localhost", PASSWORD)[0]
    stage.act(person)

    def lost(request: bytes) -> bytes:
        answer = stage.custody.sign_log(request)
        if len(request) > len(format_sign_request(0, [])):
            raise Unavailable("killed")
        return answer

    with pytest.raises(Unavailable):
        Sequencer(stage.store, lost).step(NOW + timedelta(seconds=LEASE_SECONDS + 1))
    assert stage.problems() == ()
    wipe(stage, schema.log_pending)
    assert ("log is shorter than what was signed", "") in stage.problems()


def test_with_keys_everything_opens_and_what_does_not_is_told(stage: LogStage) -> None:
    person = stage.node.services.keys.open_with_password("one@a.localhost", PASSWORD)[0]
    stage.node.services.mailboxes.add_mailbox(person, "Dossier", 0)
    report = check_account(stage.store, person)
    assert (report.problems, report.counted["entries_opened"] > 5) == ((), True)
    with stage.store.database.write() as connection:
        connection.execute(update(schema.mailbox).values(record=b"x" * 200))
    problems = check_account(stage.store, person).problems
    assert {what for what, _where in problems} == {"mailbox's record does not open (unwrap)"}
