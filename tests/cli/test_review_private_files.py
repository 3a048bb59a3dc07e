"""What commands write is for its owner alone, and what is private need not be an argument."""

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailserver.cli import main as command
from mailserver.cli import operator_folder

INS = "1.2.250.1.213.1.4.10|279035121518989"


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(operator_folder, "RSA_BITS", 2048)
    folder = tmp_path / "a"
    arguments = ["init", str(folder), "--domain", "a.localhost", "--base-port", "20000"]
    assert command.run([*arguments, "--demo-authority", str(tmp_path / "authority"), "--json"]) == 0
    return folder / "pli.toml"


def readable_by_others(folder: Path) -> list[str]:
    found = [folder, *folder.rglob("*")]
    return [str(each.relative_to(folder)) for each in found if each.lstat().st_mode & 0o077]


def add_patient(config: Path, monkeypatch: pytest.MonkeyPatch, given: object) -> int:
    text = given if isinstance(given, str) else json.dumps(given)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    arguments = ["--kind", "PATIENT", "--address", "279035121518989@a.localhost", "--fields-stdin", "--json"]
    return command.run(["account", "add", "-c", str(config), *arguments])


def test_nobody_else_reads_an_operators_folder(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert readable_by_others(config.parent) == []
    fields = {"name": "Dominique FICTIF", "ins": INS, "contact_email": "d@courriel.example"}
    assert add_patient(config, monkeypatch, fields | {"password": "un mot de passe long"}) == 0
    assert (config.parent / "data/pli.sqlite").exists()
    assert readable_by_others(config.parent) == []


def test_the_umask_is_given_back(config: Path) -> None:
    assert config.exists()
    assert os.umask(0) == 0


def test_an_open_data_folder_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a/data").mkdir(parents=True)
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost", "--json"]) == 0
    assert (tmp_path / "a/data").stat().st_mode & 0o777 == 0o700


def test_private_fields_on_standard_input(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert add_patient(config, monkeypatch, {"name": "Dominique FICTIF", "ins": INS}) == 0
    capsys.readouterr()
    assert command.run(["account", "list", "-c", str(config), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["kind"], listed["name"]) == ("PATIENT", "Dominique FICTIF")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("no JSON", "fields"),
        ([INS], "fields"),
        ({"name": "D", "other": "x"}, "fields"),
        ({"name": 7}, "fields"),
        ({"ins": INS}, "name-needed"),
        ({"name": "D", "ins": "1.2.3|1"}, "ins-number"),
    ],
)
def test_fields_that_are_refused(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: object,
    code: str,
) -> None:
    capsys.readouterr()
    assert add_patient(config, monkeypatch, given) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["error"] == code
    assert INS not in told["sentence"]
