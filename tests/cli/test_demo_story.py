"""Each step of the demonstration fails when what it tells of is not there."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from mailserver.cli.demo_clients import Page
from mailserver.cli.demo_stage import Person
from mailserver.cli.demo_story import Story, read_history
from mailserver.model.errors import Unavailable

ACTS = [
    "camille@b.localhost a remis le message « Lettre d'adressage PAT-TROIS ».",
    "camille@b.localhost a classé le document « Lettre d'adressage vers la cardiologie ».",
    "Dominique PAT-TROIS a ouvert une session sur le compte.",
    "Dominique PAT-TROIS a consulté le document « Lettre d'adressage vers la cardiologie ».",
    "Dominique PAT-TROIS a envoyé le message « Re: Lettre d'adressage PAT-TROIS ».",
]


def story_of(page: Page, folder: Path) -> Story:
    """Only what the steps under test look at."""
    people = {
        "doctor": Person("camille@b.localhost", "Dr Camille FICTIF", ""),
        "patient": Person("279@a.localhost", "Dominique PAT-TROIS", ""),
    }
    stage = SimpleNamespace(folder=folder, **people)
    return cast("Story", SimpleNamespace(stage=stage, browser=SimpleNamespace(get=lambda _path: page)))


def history(acts: list[str], folder: Path) -> Story:
    return story_of(Page("/history", 200, "".join(f"<li>{act}</li>" for act in acts), {}), folder)


def test_the_history_holds_every_act(tmp_path: Path) -> None:
    assert read_history(history(ACTS, tmp_path)).startswith("5 acts in words")


@pytest.mark.parametrize("missing", range(len(ACTS)))
def test_a_history_without_one_act_is_a_failure(tmp_path: Path, missing: int) -> None:
    acts = [act for number, act in enumerate(ACTS) if number != missing]
    with pytest.raises(Unavailable, match="the history does not say"):
        read_history(history(acts, tmp_path))
