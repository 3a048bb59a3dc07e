"""``pli demo``: the whole main job through real protocols, as a new user runs it, and its end by a signal."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.processes import list_descendants


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "mailserver", "demo", "--json", "--dir", str(folder / "demo"), *options]


@pytest.mark.timeout(400)
def test_the_story_plays_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--once"), capture_output=True, text=True, timeout=380, check=False
    )
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (steps[-1:], done.stderr)
    assert all(step["done"] for step in steps)
    told = {step["step"]: step["look"] for step in steps}
    assert "5.7.1" in told["an unlisted domain is refused"]
    assert len(steps) >= 13


@pytest.mark.timeout(120)
def test_sigterm_stops_both_operators(tmp_path: Path) -> None:
    with subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["step"] == "two operators serve"
        started = list_descendants(process.pid)
        process.terminate()
        assert process.wait(60) == 128 + signal.SIGTERM
    assert len(started) >= 4, "two supervisors with a worker each"
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
