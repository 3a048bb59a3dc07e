"""The demonstration's stage: what has started is stopped, whatever fails after it."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from mailserver.cli import demo_stage
from mailserver.cli.demo_stage import Operator, set_up
from mailserver.model.errors import Unavailable


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
