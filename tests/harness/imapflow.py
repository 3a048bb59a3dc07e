"""imapflow, which runs under Node.js: tests/interop/imap/imapflow/client.mjs at a test's command."""

import json
import subprocess
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.programs import SECONDS, environment

FOLDER = Path(__file__).parents[1] / "interop" / "imap" / "imapflow"
NODE_VERSION = 20
"""The oldest that imapflow runs on."""
MOST_EVENTS = 20


class ImapFlow:
    """One process with one connection at a time. ``ask`` is answered; ``wait_for_event`` is for what comes unasked."""

    def __init__(self, node: str, home: Path) -> None:
        self._process = subprocess.Popen(
            (node, str(FOLDER / "client.mjs")),
            cwd=home,
            env=environment(home),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._events: deque[dict[str, object]] = deque()

    def open(self, port: int, address: str, password: str, authority: str) -> dict[str, object]:
        """Log in and select INBOX."""
        return self.ask(
            "open", port=port, user=address, **{"pass": password, "ca": Path(authority).read_text()}
        )

    def ask(self, act: str, **needs: object) -> object:
        self._process.stdin.write(json.dumps({"act": act, **needs}) + "\n")
        self._process.stdin.flush()
        while True:
            line = self._read()
            if "answer" in line:
                return line["answer"]
            self._events.append(line)

    def wait_for_event(self, kind: str, **facts: object) -> None:
        """Until the server has told this; what it told before is passed over."""
        wanted = {"event": kind, **facts}
        passed = []
        while (event := self._events.popleft() if self._events else self._read()) != wanted:
            passed.append(event)
            assert len(passed) < MOST_EVENTS, (wanted, passed)

    def _read(self) -> dict[str, object]:
        line = self._process.stdout.readline()
        assert line, f"imapflow ended: {self._process.wait(SECONDS)}"
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        self._process.stdin.close()
        code = self._process.wait(SECONDS)
        self._process.stdout.close()
        assert kind is not None or code == 0, code
