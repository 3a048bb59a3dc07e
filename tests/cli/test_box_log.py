"""The log of a shared box is read by who is responsible for it, with their own password, and by nobody else (K11)."""

import io
import json
from pathlib import Path

import pytest
from cli.test_review_log_commands import _sequence

from mailserver.audit.events import EventKind
from mailserver.cli import main as command
from mailserver.cli import operator_folder

BOX, FIRST, SECOND = "cabinet@a.localhost", "camille@a.localhost", "alix@a.localhost"
PASSWORD = "un mot de passe long"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.setattr(operator_folder, "RSA_BITS", 2048)
    arguments = ["init", str(tmp_path / "a"), "--domain", "a.localhost", "--base-port", "20000"]
    assert command.run([*arguments, "--demo-authority", str(tmp_path / "authority"), "--json"]) == 0
    path = tmp_path / "a/pli.toml"
    add = ["account", "add", "-c", str(path), "--json", "--name"]
    for address, name in ((FIRST, "Camille FICTIF"), (SECOND, "Alix FICTIF")):
        monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
        assert command.run([*add, name, "--kind", "PER", "--address", address, "--password-stdin"]) == 0
    members = ["--member", FIRST, "--member", SECOND]
    assert command.run([*add, "Cabinet", "--kind", "CAB", "--address", BOX, *members]) == 0
    _sequence(path)
    capsys.readouterr()
    return path


def export(config: Path, monkeypatch: pytest.MonkeyPatch, file: Path, *more: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    return command.run(["audit", "export", "-c", str(config), "--output", str(file), "--json", *more])


def test_the_responsible_member_exports_the_boxs_log(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "copy.jsonl"
    assert export(config, monkeypatch, file, "--as", BOX, "--by", FIRST) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["entries"] == 1
    assert command.run(["audit", "verify", str(file), "--lang", "en"]) == 0
    _sequence(config)
    assert export(config, monkeypatch, file, "--as", BOX, "--by", FIRST) == 0
    told = file.read_text(encoding="utf-8")
    assert EventKind.EXPORTED.value in told
    assert "Camille FICTIF" in told  # under the person's own name


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (["--as", BOX, "--by", SECOND], "not-responsible"),
        (["--as", FIRST, "--by", SECOND], "not-responsible"),
        (["--as", "nobody@a.localhost", "--by", FIRST], "account"),
        (["--as", BOX], "login"),
    ],
)
def test_nobody_else_does(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    code: str,
) -> None:
    assert export(config, monkeypatch, tmp_path / "copy.jsonl", *more) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"] == code
    assert not (tmp_path / "copy.jsonl").exists()


def test_a_removed_member_reads_it_no_more(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["-c", str(config), "--address", BOX, "--json", "--member"]
    assert command.run(["account", "member", "remove", *base, FIRST]) == 0
    assert export(config, monkeypatch, tmp_path / "copy.jsonl", "--as", BOX, "--by", FIRST) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"] == "not-responsible"
