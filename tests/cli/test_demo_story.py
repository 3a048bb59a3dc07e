"""Each step of the demonstration fails when what it tells of is not there."""

import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from mailserver.cli import demo_story
from mailserver.cli.demo_clients import Page
from mailserver.cli.demo_stage import Person
from mailserver.cli.demo_story import Story, read_history, read_letter, scan_folders
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
    operators = {name: SimpleNamespace(folder=folder / name) for name in "ab"}
    stage = SimpleNamespace(folder=folder, **operators, **people)
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


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "serve.log").write_bytes(b"ready")
    return tmp_path


def test_the_scan_plants_its_words_and_leaves_none(folders: Path) -> None:
    assert scan_folders(history([], folders)).startswith("2 files of both folders")
    assert sorted(path.name for path in folders.iterdir()) == ["a", "b"]


def test_a_word_in_a_folder_is_a_failure(folders: Path) -> None:
    (folders / "b" / "blob").write_bytes(b"\0" + zlib.compress(b"Lettre d'adressage"))
    with pytest.raises(Unavailable, match="adressage"):
        scan_folders(history([], folders))


def test_a_scan_that_misses_its_planted_copy_is_a_failure(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_story, "find_traces", lambda *_arguments: [])
    with pytest.raises(Unavailable, match="planted"):
        scan_folders(history([], folders))
