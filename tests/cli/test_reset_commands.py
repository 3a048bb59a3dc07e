"""``pli account web-password`` and ``second-factor``: shown once, never twice, and refused in words."""

import io
import json
from pathlib import Path

import pytest

from mailserver.cli import main as command
from mailserver.cli.opened import opened

ADDRESS, GIVEN = "p@a.localhost", "plusieurs mots sans lien"


@pytest.fixture
def config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert command.run(["init", str(tmp_path / "a"), "--domain", "a.localhost"]) == 0
    path = tmp_path / "a" / "pli.toml"
    add = [
        "account",
        "add",
        "-c",
        str(path),
        "--kind",
        "PER",
        "--address",
        ADDRESS,
        "--name",
        "Camille FICTIF",
    ]
    assert command.run(add) == 0
    capsys.readouterr()
    return path


def test_a_password_at_random_is_shown_once(config, capsys) -> None:
    assert command.run(["account", "web-password", "-c", str(config), "--address", ADDRESS, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    with opened(config) as pli:
        assert pli.services.keys.open_with_password(ADDRESS, told["password"])
    assert command.run(["account", "web-password", "-c", str(config), "--address", ADDRESS]) == 0
    said = capsys.readouterr().out
    assert "shown once" in said
    assert "Nobody could be told" in said
    assert "pli account contact" in said
    assert told["password"] not in said


def test_a_password_of_the_operators_is_not_shown(config, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(GIVEN + "\n"))
    asked = ["account", "web-password", "-c", str(config), "--address", ADDRESS, "--password-stdin"]
    assert command.run(asked) == 0
    assert GIVEN not in capsys.readouterr().out
    with opened(config) as pli:
        assert pli.services.keys.open_with_password(ADDRESS, GIVEN)


def test_a_second_factor_and_its_refusal(config, capsys) -> None:
    asked = ["account", "second-factor", "-c", str(config), "--address", ADDRESS]
    assert command.run([*asked, "--totp", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["otpauth"].startswith("otpauth://totp/")
    assert command.run([*asked, "--codes"]) == 1
    assert "pli account contact" in capsys.readouterr().err


def test_who_can_be_told_is_told(config, capsys, monkeypatch) -> None:
    fields = json.dumps({"contact_email": "camille@ordinaire.example"})
    monkeypatch.setattr("sys.stdin", io.StringIO(fields))
    assert command.run(["account", "contact", "-c", str(config), "--address", ADDRESS, "--fields-stdin"]) == 0
    capsys.readouterr()
    assert command.run(["account", "web-password", "-c", str(config), "--address", ADDRESS]) == 0
    said = capsys.readouterr().out
    assert "The person is told." in said
    assert "Nobody" not in said
