"""Commands that open somebody's log say so in it, and every command that holds keys is hardened."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from harness.log_reading import read_log

from mailserver.app.custody_link import LocalCustodian
from mailserver.app.log_keeper import LogKeeper
from mailserver.audit.checkpoint import parse_checkpoint
from mailserver.audit.events import AuditEvent, EventKind
from mailserver.audit.export import parse_person_receipt
from mailserver.cli import main as command
from mailserver.cli import operator_folder
from mailserver.cli.opened import opened
from mailserver.config import load_config

INS = "1.2.250.1.213.1.4.10|279035121518989"
ADDRESS, PASSWORD = "279035121518989@a.localhost", "un mot de passe long"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(operator_folder, "RSA_BITS", 2048)
    arguments = ["init", str(tmp_path / "a"), "--domain", "a.localhost", "--base-port", "20000"]
    assert command.run([*arguments, "--demo-authority", str(tmp_path / "authority"), "--json"]) == 0
    path = tmp_path / "a/pli.toml"
    patient = ["--kind", "PATIENT", "--address", ADDRESS, "--name", "D", "--ins", INS]
    add = ["account", "add", "-c", str(path), "--json", *patient]
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert command.run([*add, "--password-stdin", "--contact-email", "d@courriel.example"]) == 0
    return path


def _events(config: Path) -> list[AuditEvent]:
    with opened(config) as pli:
        account = pli.services.keys.open_with_password(ADDRESS, PASSWORD)[0]
        events = read_log(pli.services.store, account.account, account.space_root())
        return [each.event for each in events]


def _sequence(config: Path) -> None:
    loaded = load_config(config)
    local = LocalCustodian(loaded)
    keeper = LogKeeper(loaded, local, datetime.now(UTC))
    keeper.round(datetime.now(UTC))
    keeper.close()
    local.close()


def test_an_export_is_in_the_log(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _sequence(config)
    before = len(_events(config))
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    output = ["--output", str(tmp_path / "copy.jsonl"), "--json"]
    assert command.run(["audit", "export", "-c", str(config), "--as", ADDRESS, *output]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["waiting"] == 0
    told = _events(config)[before:]
    assert [(each.kind, each.origin.client) for each in told] == [
        (EventKind.LOGIN, "pli audit export"),
        (EventKind.EXPORTED, "pli audit export"),
    ]


Export = Callable[..., int]


@pytest.fixture
def export(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """``pli audit export`` into ``copy``; its exit code."""

    def run(*options: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
        output = ["--output", str(tmp_path / "copy")]
        return command.run(["audit", "export", "-c", str(config), "--as", ADDRESS, *output, *options])

    return run


def _verify(folder: Path, *options: str) -> int:
    return command.run(["audit", "verify", str(folder / "copy"), "--lang", "en", *options])


def test_a_receipt_proves_that_the_log_only_grew(
    config: Path, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _sequence(config)
    receipt = str(tmp_path / "receipt")
    assert export("--receipt", receipt) == 0
    first = Path(receipt).read_bytes()
    assert (_verify(tmp_path), _verify(tmp_path, "--checkpoint", receipt)) == (0, 0)
    _sequence(config)
    capsys.readouterr()
    assert export() == 0
    assert _verify(tmp_path, "--checkpoint", receipt) == 1
    assert "ask for a new one with this receipt" in capsys.readouterr().out
    size = parse_checkpoint(parse_person_receipt(first).checkpoint).checkpoint.size
    for proof in (["--since", str(size)], ["--checkpoint", receipt]):
        assert export(*proof) == 0
        capsys.readouterr()
        assert _verify(tmp_path, "--checkpoint", receipt) == 0
        assert "Entries covered by a receipt: 1;" in capsys.readouterr().out
    assert export("--checkpoint", receipt, "--receipt", receipt) == 0, "the next receipt may take its place"
    assert parse_person_receipt(Path(receipt).read_bytes()).entries > 1


def test_a_rewritten_history_fails_against_a_receipt(
    config: Path, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever has the whole machine, keys included, goes back to an earlier day and lets the log grow otherwise."""
    shutil.copytree(config.parent, tmp_path / "before")
    _sequence(config)
    assert export() == 0
    _sequence(config)
    receipt = str(tmp_path / "receipt")
    assert export("--receipt", receipt) == 0
    shutil.rmtree(config.parent)
    (tmp_path / "before").rename(config.parent)
    _sequence(config)
    assert export("--checkpoint", receipt) == 1
    assert "rolled back" in capsys.readouterr().err
    for _ in range(2):
        assert export() == 0
    _sequence(config)
    assert export("--checkpoint", receipt) == 0
    assert _verify(tmp_path) == 0, "on its own it looks well"
    capsys.readouterr()
    assert _verify(tmp_path, "--checkpoint", receipt) == 1
    assert "the signed history was rewritten since this receipt" in capsys.readouterr().out


def test_what_is_no_receipt_is_refused_before_anything_is_opened(
    export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "receipt").write_bytes(b"{}")
    assert export("--checkpoint", str(tmp_path / "receipt")) == 1
    assert "no receipt" in capsys.readouterr().err
    assert not (tmp_path / "copy").exists()


def test_a_check_of_an_account_is_in_the_log(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = len(_events(config))
    monkeypatch.setattr("sys.stdin", io.StringIO(PASSWORD + "\n"))
    assert command.run(["check", "-c", str(config), "--as", ADDRESS, "--json"]) == 0
    told = [(each.kind, each.origin.client) for each in _events(config)[before:]]
    assert (EventKind.LOGIN, "pli check") in told
    assert (EventKind.LOG_READ, "pli check") in told


def test_a_command_is_hardened(config: Path) -> None:
    """No core dump, and no reading of its memory by other processes (K21)."""
    program = (
        "import ctypes, resource, sys; from mailserver.cli.main import run; run(sys.argv[1:]); "
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "account", "list", "-c", str(config), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0 (0, 0)"
