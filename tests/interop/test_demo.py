"""``pli demo``: the whole main job through real protocols, as a new user runs it, and its end by a signal."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness.processes import list_descendants

STEPS = [
    "two operators serve",
    "a letter leaves operator b",
    "it arrives over mutual TLS and is read by IMAP",
    "the patient is told that something waits",
    "the patient logs in on the web",
    "the document is in the patient's space",
    "the patient reads and answers",
    "the answer is read at operator b",
    "an unlisted domain is refused",
    "the history shows each step",
    "a scan of the folders finds none of the words",
    "the log verifies",
    "the stores are whole",
    "both operators stop in order",
]
SECONDS = 60
"""On two processors, once everything is installed."""


def command(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "mailserver", "demo", "--json", "--dir", str(folder / "demo"), *options]


@pytest.mark.timeout(400)
def test_the_story_plays_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        command(tmp_path, "--once"),
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (steps[-1:], done.stderr)
    assert [step["step"] for step in steps] == STEPS
    assert all(step["done"] for step in steps)
    told = {step["step"]: step["look"] for step in steps}
    assert "5.1.8" in told["an unlisted domain is refused"]
    assert "without a certificate: 530" in told["it arrives over mutual TLS and is read by IMAP"]
    assert steps[-1]["seconds"] < SECONDS * queued()


def queued() -> float:
    """How many processes want each processor: the promise is for a machine that is ours alone."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


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
