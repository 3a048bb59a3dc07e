"""``pli audit``: what it writes is the person's alone, what it prints is for people or for machines."""

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.log_reading import read_log

from mailserver.app.custody_link import LocalCustodian
from mailserver.app.log_keeper import LogKeeper
from mailserver.cli import main as command
from mailserver.cli.opened import opened
from mailserver.config import load_config
from mailserver.model.errors import Conflict

ADDRESS, PASSWORD = "camille@a.localhost", "un mot de passe long"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account whose log the tree holds."""
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost", "--json"]) == 0
    path = tmp_path / "a/pli.toml"
    give(monkeypatch, PASSWORD)
    person = ["--kind", "PER", "--address", ADDRESS, "--name", "Camille FICTIF", "--password-stdin"]
    assert command.run(["account", "add", "-c", str(path), "--json", *person]) == 0
    local, now = LocalCustodian(load_config(path)), datetime.now(UTC)
    keeper = LogKeeper(load_config(path), local, now)
    keeper.round(now)
    keeper.close()
    local.close()
    return path


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text + "\n"))


def export(config: Path, output: Path, *more: str) -> int:
    arguments = ["audit", "export", "-c", str(config), "--as", ADDRESS, "--output", str(output)]
    return command.run([*arguments, *more, "--json"])


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_verify_for_machines(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, PASSWORD)
    copy, receipt = tmp_path / "copy.jsonl", tmp_path / "receipt"
    assert export(config, copy, "--receipt", str(receipt)) == 0
    capsys.readouterr()
    verify = ["audit", "verify", str(copy), "--json"]
    assert command.run(verify) == 0
    told = facts(capsys)
    assert (told["holds"], told["entries"], told["has_receipt"], told["proven"]) == (True, 1, False, 0)
    assert str(told["log"]).endswith("/pli-log")
    assert command.run([*verify, "--checkpoint", str(receipt)]) == 0
    assert facts(capsys)["has_receipt"] is True
    copy.write_bytes(copy.read_bytes().replace(b'"salt":"', b'"salt":"A', 1))
    assert command.run([*verify, "--lang", "en"]) == 1
    told = facts(capsys)
    assert (told["holds"], told["step"], told["error"]) == (False, 1, "format")
    assert told["sentence"] == "the file does not have the expected format"
    assert command.run(["audit", "verify", str(tmp_path / "absent"), "--json"]) == 1
    assert facts(capsys)["error"] == "unreadable"


def test_an_export_is_its_owners_alone(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)
    try:
        give(monkeypatch, PASSWORD)
        assert export(config, tmp_path / "copy.jsonl", "--receipt", str(tmp_path / "receipt")) == 0
    finally:
        os.umask(before)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("copy.jsonl", "receipt")} == {0o600}


@pytest.mark.parametrize("options", [("none/copy", ()), ("copy", ("--receipt", "none/receipt"))])
def test_nothing_is_logged_of_a_copy_that_has_no_place(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, tuple[str, ...]],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = entries(config)
    give(monkeypatch, PASSWORD)
    capsys.readouterr()
    assert export(config, Path(options[0]), *options[1]) == 2
    assert "none/" in str(facts(capsys)["sentence"])
    assert entries(config) == before


def test_a_copy_takes_the_place_of_a_longer_one(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "copy.jsonl").write_bytes(b"x" * 100_000)
    give(monkeypatch, PASSWORD)
    assert export(config, tmp_path / "copy.jsonl") == 0
    assert command.run(["audit", "verify", str(tmp_path / "copy.jsonl")]) == 0


def test_a_copy_that_fails_leaves_the_earlier_receipt(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = tmp_path / "receipt"
    receipt.write_bytes(b"kept")
    give(monkeypatch, "un autre mot de passe")
    assert export(config, tmp_path / "copy.jsonl", "--receipt", str(receipt)) == 1
    monkeypatch.setattr("mailserver.cli.audit_commands.copy_log", no_copy)
    give(monkeypatch, PASSWORD)
    assert export(config, tmp_path / "copy.jsonl", "--receipt", str(receipt)) == 1
    assert receipt.read_bytes() == b"kept"


def test_a_copy_may_go_to_a_pipe(config: Path) -> None:
    arguments = ["audit", "export", "-c", str(config), "--as", ADDRESS, "--output", "/dev/stderr"]
    program = [sys.executable, "-m", "mailserver", *arguments]
    done = subprocess.run(
        program, input=PASSWORD + "\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert json.loads(done.stderr.splitlines()[0])["format"] == "pli-log-export/1"


def no_copy(*_arguments: object) -> None:
    raise Conflict("log-empty")


def entries(config: Path) -> int:
    with opened(config) as pli:
        account = pli.services.keys.open_with_password(ADDRESS, PASSWORD)[0]
        return len(read_log(pli.services.store, account.account, account.space_root()))
