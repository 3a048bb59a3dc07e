"""``pli account away``: set, shown, ended; what is refused says what to do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli.test_commands import add, config, facts

from mailserver.cli import main as command

__all__ = ["config"]
TODAY = datetime.now(UTC).date()
LAST = (TODAY + timedelta(days=5)).isoformat()


def away(config: Path, *arguments: str, address: str = "camille@a.localhost") -> int:
    return command.run(["account", "away", "-c", str(config), "--address", address, *arguments])


@pytest.fixture
def people(config: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    for name in ("camille", "lou"):
        arguments = ["--kind", "PER", "--address", f"{name}@a.localhost", "--name", name]
        assert command.run(add(config, *arguments)) == 0
    capsys.readouterr()
    return config


def test_set_shown_and_ended(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert away(people, "--json") == 0
    assert facts(capsys) == {"address": "camille@a.localhost", "away": None}
    texts = ["--text", "En congé.", "--colleague", "lou@a.localhost", "--emergency", "appelez le 15"]
    assert away(people, "--until", LAST, *texts, "--json") == 0
    told = facts(capsys)
    assert told["away"] == {
        "from": told["away"]["from"],  # type: ignore[index]
        "until": LAST,
        "text": "En congé.",
        "colleague": "lou@a.localhost",
        "emergency": "appelez le 15",
    }
    assert away(people, "--show") == 0
    said = capsys.readouterr().out
    assert f"to {LAST}, both included" in said
    assert "Colleague: lou@a.localhost\nIn an emergency: appelez le 15\nEn congé.\n" in said
    assert away(people, "--off") == 0
    assert capsys.readouterr().out == "camille@a.localhost is not away.\n"
    assert away(people, "--show", "--json") == 0
    assert facts(capsys)["away"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--text", "x"], "Give the days as 2026-12-24"),
        (["--until", "2020-01-01"], "Give the days as 2026-12-24"),
        (["--off", "--until", LAST], "--off alone"),
        (["--until", LAST, "--colleague", "x@ailleurs.example"], "cannot be written to"),
        (["--until", LAST, "--colleague", "lou"], "cannot be written to"),
        (["--until", LAST, "--text", "x" * 3000], "2048 bytes"),
        (["--until", LAST, "--emergency", "x" * 600], "512 bytes"),
    ],
)
def test_refusals(people: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert away(people, *arguments) != 0
    assert words in capsys.readouterr().err
    assert away(people, "--json") == 0
    assert facts(capsys)["away"] is None


def test_an_address_without_account(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert away(people, "--until", LAST, address="personne@a.localhost") != 0
    assert "No account has this address" in capsys.readouterr().err
