"""Mail programs from the command line: one that runs to its end, and one that waits for news on a terminal."""

import contextlib
import os
import subprocess
import termios
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

SECONDS = 60
"""What any of them may take for one step on a loaded machine."""
SIZE = (40, 120)
"""Rows and columns of a screen."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a program is started with: nothing of the person who runs the tests but the PATH."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "dumb", "LC_ALL": "C.UTF-8", **more}


def run(*command: str, cwd: Path, **more: str) -> bytes:
    """Run to the end and give what was printed. ``more`` goes into the environment."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(cwd, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Terminal:
    """A program on a screen that nobody looks at: ``press`` keys, ``wait_for`` what it shows, ``end`` it."""

    def __init__(self, *command: str, cwd: Path, **more: str) -> None:
        self._ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, SIZE)
        self._shown = bytearray()
        self._read_up_to = 0
        self._is_over = False
        self._change = threading.Condition()
        self._process = subprocess.Popen(
            ("setsid", "--ctty", *command),
            cwd=cwd,
            env=environment(cwd, **({"TERM": "vt100"} | more)),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._reader = threading.Thread(target=self._read, name="terminal", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Take what the program writes as it comes: one whose screen is full stands still."""
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while octets := os.read(self._ours, 65536):
                with self._change:
                    self._shown += octets
                    self._change.notify_all()
        with self._change:
            self._is_over = True
            self._change.notify_all()

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str) -> None:
        """Until ``text`` was shown after what the last call waited for."""

        def is_shown() -> bool:
            return self._shown.find(text.encode(), self._read_up_to) >= 0 or self._is_over

        with self._change:
            self._change.wait_for(is_shown, SECONDS)
            found = self._shown.find(text.encode(), self._read_up_to)
            assert found >= 0, (text, bytes(self._shown[-4000:]))
            self._read_up_to = found + len(text)

    def end(self) -> None:
        """Wait for an end in good order. Left without it, the program is killed."""
        code = self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        assert code == 0, (code, bytes(self._shown[-4000:]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(SECONDS)
        self._reader.join(SECONDS)
        os.close(self._ours)
