"""The demonstration's stage: what has started is stopped, whatever fails after it."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from mailserver.cli import demo_stage
from mailserver.cli.demo_stage import Operator, set_up
from mailserver.model.errors import Conflict, Unavailable


def test_when_one_operator_does_not_start_the_other_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []

    def start(operator: Operator) -> None:
        if operator.name == "b":
            raise Unavailable("demo-start")

    def stop(operator: Operator) -> int:
        stopped.append(operator.name)
        return 0

    monkeypatch.setattr(demo_stage, "run_pli", lambda *_arguments, **_more: {"app_password": "x"})
    monkeypatch.setattr(Operator, "start", start)
    monkeypatch.setattr(Operator, "stop", stop)
    with pytest.raises(Unavailable, match="demo-start"), ExitStack() as at_end:
        set_up(tmp_path / "demo", 1, at_end)
    assert sorted(stopped) == ["a", "b"]


def test_a_folder_that_is_not_a_demonstrations_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "to-keep.txt").write_text("mine")
    with pytest.raises(Conflict, match="demo-folder"), ExitStack() as at_end:
        set_up(letters, 1, at_end)
    with pytest.raises(Conflict, match="demo-folder"), ExitStack() as at_end:
        set_up(letters / "to-keep.txt", 1, at_end)
    assert (letters / "to-keep.txt").read_text() == "mine"
    monkeypatch.setattr(demo_stage, "run_pli", lambda *_arguments, **_more: {"app_password": "x"})

    def refuse(_operator: Operator) -> None:
        raise Unavailable("demo-start")

    monkeypatch.setattr(Operator, "start", refuse)
    monkeypatch.setattr(Operator, "stop", lambda _operator: 0)
    for folder in (tmp_path / "new", tmp_path / "new", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(Unavailable, match="demo-start"), ExitStack() as at_end:
            set_up(folder, 1, at_end)
