"""How many fsync and fdatasync calls a server makes for a message: strace on its processes while messages come in."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.meter import tree_of

ATTACH_SECONDS = 15.0
_ATTACHED = re.compile(r"Process (\d+) attached")
_CALL = re.compile(r"\b(?:fsync|fdatasync)\(")


def syncs_during(pids: tuple[int, ...], folder: Path, work: Callable[[], int]) -> float | None:
    """Calls a message while ``work`` sends as many messages as it says; None when strace cannot be used."""
    if shutil.which("strace") is None:
        return None
    lines, notes = folder / "syncs.trace", folder / "syncs.notes"
    targets = tree_of(pids)
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(lines)]
    for pid in targets:
        command += ["-p", str(pid)]
    with notes.open("wb") as stream:
        tracer = subprocess.Popen(command, stderr=stream, stdout=subprocess.DEVNULL)
    try:
        if not _await_attached(tracer, notes, set(targets)):
            return None
        count = work()
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(30)
    return round(len(_CALL.findall(lines.read_text(errors="replace"))) / max(count, 1), 2)


def _await_attached(tracer: "subprocess.Popen[bytes]", notes: Path, wanted: set[int]) -> bool:
    end = time.monotonic() + ATTACH_SECONDS
    while time.monotonic() < end and tracer.poll() is None:
        if wanted <= {int(found) for found in _ATTACHED.findall(notes.read_text())}:
            return True
        time.sleep(0.05)
    return False
