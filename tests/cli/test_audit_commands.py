"""``pli audit``: what it writes is the person's alone, what it prints is for people or for machines."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailserver.app.custody_link import LocalCustodian
from mailserver.app.log_keeper import LogKeeper
from mailserver.cli import main as command
from mailserver.config import load_config

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
