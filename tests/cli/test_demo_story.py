"""Each step of the demonstration fails when what it tells of is not there."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from mailserver.cli import demo_story
from mailserver.cli.demo_clients import Page
from mailserver.cli.demo_stage import Person
from mailserver.cli.demo_story import Story, read_history, read_letter
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
        "cardiologist": Person("cardio@a.localhost", "Dr Alix CARDIO-FICTIF", ""),
        "doctor": Person("camille@b.localhost", "Dr Camille FICTIF", ""),
        "patient": Person("279@a.localhost", "Dominique PAT-TROIS", ""),
    }
    stage = SimpleNamespace(folder=folder, a=None, **people)
    return cast(
        "Story", SimpleNamespace(stage=stage, context=None, browser=SimpleNamespace(get=lambda _path: page))
    )


def history(acts: list[str], folder: Path) -> Story:
    return story_of(Page("/history", 200, "".join(f"<li>{act}</li>" for act in acts), {}), folder)


def test_the_history_holds_every_act(tmp_path: Path) -> None:
    assert read_history(history(ACTS, tmp_path)).startswith("5 acts in words")


@pytest.mark.parametrize("missing", range(len(ACTS)))
def test_a_history_without_one_act_is_a_failure(tmp_path: Path, missing: int) -> None:
    acts = [act for number, act in enumerate(ACTS) if number != missing]
    with pytest.raises(Unavailable, match="the history does not say"):
        read_history(history(acts, tmp_path))


@pytest.mark.parametrize(
    ("trace", "answer", "failure"),
    [
        (b"ESMTPS", (530, b"5.7.0 no certificate"), ""),
        (b"ESMTP", (530, b"5.7.0 no certificate"), "does not say TLS"),
        (b"ESMTPS", (250, b"2.1.0 ok"), "who shows no certificate"),
        (b"ESMTPS", (451, b"4.3.0 later"), "who shows no certificate"),
    ],
)
def test_mutual_tls_is_tls_and_a_certificate_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trace: bytes, answer: tuple[int, bytes], failure: str
) -> None:
    letter = b"Received: from b by a with %b; now\r\n\r\nIHE_XDM.zip" % trace
    monkeypatch.setattr(demo_story, "read_newest", lambda *_arguments: letter)
    monkeypatch.setattr(demo_story, "ask_mx", lambda *_arguments: answer)
    story = history([], tmp_path)
    if not failure:
        assert read_letter(story).endswith("without a certificate: 530 5.7.0 no certificate")
        return
    with pytest.raises(Unavailable, match=failure):
        read_letter(story)
