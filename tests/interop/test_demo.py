"""``pli demo --once``: the whole main job through real protocols, as a new user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(400)
def test_the_story_plays_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mailserver", "demo", "--once", "--json", "--dir", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (steps[-1:], done.stderr)
    assert all(step["done"] for step in steps)
    told = {step["step"]: step["look"] for step in steps}
    assert "5.7.1" in told["an unlisted domain is refused"]
    assert len(steps) >= 13
