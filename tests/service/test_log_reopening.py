"""After a restored older copy, ``pli log reopen``: a new name, an entry for everybody, and nothing written over."""

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from harness.log_reading import read_log
from harness.log_stage import NOW, PASSWORD, LogStage
from sqlalchemy import update

from mailserver.app import build_services
from mailserver.app.custody_link import log_origin
from mailserver.app.log_keeper import LogKeeper
from mailserver.app.log_reopening import reopen_log
from mailserver.audit.checkpoint import parse_checkpoint
from mailserver.audit.wording import Language, describe
from mailserver.cli import main as command
from mailserver.crypto.slots import ARGON2_FLOOR
from mailserver.model.errors import Conflict, Denied, Malformed
from mailserver.service.sequencer import Sequencer
from mailserver.store import inspection, log_rows, schema

REASON = "Sauvegarde du 5 juillet remise en place après une panne de disque"


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[LogStage]:
    stage = LogStage(tmp_path)
    yield stage
    stage.close()


def sequence(stage: LogStage) -> None:
    while Sequencer(stage.store, stage.custody.sign_log, b"h" * 16).step(NOW):
        pass


def restored(stage: LogStage, lost: int = 3) -> None:
    """Two people and an older copy of the store, put back when ``lost`` more entries of the first were signed."""
    one = stage.person("one")
    stage.person("two")
    stage.act(one, count=2)
    sequence(stage)
    data = stage.config.data_folder
    stage.node.services.close()
    shutil.copytree(data, data.with_name("copy"))
    _reopen_services(stage)
    stage.act(one, count=lost)
    sequence(stage)
    stage.node.services.close()
    shutil.rmtree(data)
    data.with_name("copy").rename(data)
    _reopen_services(stage)


def _reopen_services(stage: LogStage) -> None:
    services = build_services(stage.config, stage.custody.verbs, argon2=ARGON2_FLOOR)
    stage.node.services, stage.store = services, services.store


def rows(stage: LogStage) -> list:
    with stage.store.database.read() as connection:
        return list(inspection.list_log_rows(connection))


def checkpoint(stage: LogStage):
    with stage.store.database.read() as connection:
        found = log_rows.find_checkpoint(connection)
    assert found is not None
    return parse_checkpoint(found[1]).checkpoint


def said(stage: LogStage, local: str) -> str:
    account = stage.node.services.keys.open_with_password(f"{local}@a.localhost", PASSWORD)[0]
    return describe(read_log(stage.store, account.account, account.space_root())[-1].event, Language.FRENCH)


def test_the_log_goes_on_and_everybody_is_told(stage: LogStage) -> None:
    restored(stage)
    assert ("log is shorter than what was signed", "") in stage.problems()
    old, before = checkpoint(stage), rows(stage)
    signed = stage.local._signer.current()
    state = stage.config.keys_folder / "log-signer.sqlite"
    octets = state.read_bytes()

    done = reopen_log(stage.node.services, stage.local, REASON, NOW)
    assert (done.signed, done.held, done.accounts) == (signed.size, 4, 2)
    assert done.log.kept.read_bytes() == octets, "what was signed until now is kept as it was"
    assert [each for each in rows(stage) if each in before] == before, "nothing is written over"
    assert stage.problems() == (), "in step with the signer before anything more is signed"

    sequence(stage)
    assert stage.problems() == ()
    now = checkpoint(stage)
    assert (old.origin, now.origin) == (log_origin(stage.config), f"{log_origin(stage.config)}/2")
    assert now.size == 6
    root = parse_checkpoint(signed.checkpoint).checkpoint.root.hex()
    words = "Un administrateur a rouvert, après une restauration, l’historique des accès"
    assert said(stage, "one") == (
        f"{words} (entrées perdues, au plus : 3 ; empreinte : {signed.size}:{root} ; motif : {REASON})."
    )
    assert "entrées perdues, au plus : 0" in said(stage, "two")


def test_what_was_written_since_the_restore_is_signed_after_it(stage: LogStage) -> None:
    """A chain that leaves the signed one is no longer set aside, and the custodian releases again."""
    restored(stage)
    one = stage.node.services.keys.open_with_password("one@a.localhost", PASSWORD)[0]
    stage.act(one)
    keeper = LogKeeper(stage.config, stage.local, NOW)
    keeper.round(NOW)
    keeper.close()
    assert stage.pending(one) == 1
    reopen_log(stage.node.services, stage.local, REASON, NOW)
    later = NOW + timedelta(minutes=2)
    keeper = LogKeeper(stage.config, stage.local, later)
    keeper.round(later)
    keeper.close()
    assert stage.pending(one) == 0
    assert stage.problems() == ()


def test_one_entry_lost_is_told_and_a_second_restore_has_a_third_name(stage: LogStage) -> None:
    restored(stage, lost=1)
    assert reopen_log(stage.node.services, stage.local, REASON, NOW).log.new_origin.endswith("/pli-log/2")
    assert "entrées perdues, au plus : 1 ;" in said(stage, "one")
    copy = stage.config.data_folder.with_name("copy")
    stage.node.services.close()
    shutil.copytree(stage.config.data_folder, copy)
    _reopen_services(stage)
    sequence(stage)
    stage.node.services.close()
    shutil.rmtree(stage.config.data_folder)
    copy.rename(stage.config.data_folder)
    _reopen_services(stage)
    assert stage.problems() == (), (
        "what was signed last still waits in the copy: it is signed again as it was"
    )


def test_refusals_change_nothing(stage: LogStage) -> None:
    one = stage.person("one")
    sequence(stage)
    services, before = stage.node.services, rows(stage)
    with pytest.raises(Denied, match="log-whole"):
        reopen_log(services, stage.local, REASON, NOW)
    for reason in ("", "  ", "deux\nlignes", "x" * 151):
        with pytest.raises(Malformed, match="log-reason"):
            reopen_log(services, stage.local, reason, NOW)
    assert rows(stage) == before
    stage.act(one)
    sequence(stage)
    with stage.store.database.write() as connection:
        connection.execute(update(schema.log_entry).values(leaf_index=None))
    before = rows(stage)
    with stage.store.database.write() as connection:
        connection.execute(schema.log_checkpoint.delete().where(schema.log_checkpoint.c.tree_size == 2))
    with pytest.raises(Conflict, match="log-broken"):
        reopen_log(services, stage.local, REASON, NOW)
    assert rows(stage) == before
    assert stage.local._signer.origin == log_origin(stage.config)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stage = LogStage(tmp_path)
    restored(stage)
    path = stage.config.folder / "pli.toml"
    asked = ["log", "reopen", "-c", str(path), "--reason", REASON, "--json"]
    assert command.run(asked) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "server-runs"
    stage.close()
    assert command.run(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["log"], told["accounts_told"]) == (f"{log_origin(stage.config)}/2", 2)
    assert command.run(asked) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "log-whole"
    assert command.run(["check", "-c", str(path)]) == 0
