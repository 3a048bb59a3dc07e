"""The demonstration's order: it ends at the first step that fails, and names it whatever was raised."""

import imaplib
import json
from typing import cast

import pytest

from mailserver.cli import demo_command
from mailserver.cli.demo_command import Teller
from mailserver.cli.demo_story import Story
from mailserver.model.errors import Unavailable


@pytest.mark.parametrize(
    ("error", "look"),
    [
        (Unavailable("demo-step", "the letter did not arrive"), "the letter did not arrive"),
        (imaplib.IMAP4.error("no such box"), "error: no such box"),
        (StopIteration(), "StopIteration: "),
    ],
)
def test_the_first_step_that_fails_ends_the_story(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, look: str
) -> None:
    def fail(_story: Story) -> str:
        raise error

    steps = (("one", lambda _story: "look here"), ("two", fail), ("three", lambda _story: "never"))
    monkeypatch.setattr(demo_command, "STEPS", steps)
    assert demo_command._play(cast("Story", None), Teller(True, 0.0)) is False
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(step["step"], step["look"], step["done"]) for step in told] == [
        ("one", "look here", True),
        ("two", look, False),
    ]
