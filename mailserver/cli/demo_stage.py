"""The demonstration's stage: two operators in folders of their own, one demo authority, one trust list, a few people.

Everything is made with the ``pli`` command itself, as an operator would; every name is invented.
"""

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from mailserver.model.errors import Conflict, Unavailable

PASSWORD = "trois chats gris sur un toit"  # noqa: S105 # of an invented patient, printed by the demonstration
PATIENT_INS = "1.2.250.1.213.1.4.10|279035121518989"
PATIENT_CONTACT = "dominique@courriel.example"
PORT_NAMES = {"mx": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "web": 443}
START_SECONDS = 60
COMMAND_SECONDS = 120
STOP_SECONDS = 35


@dataclass(frozen=True, slots=True)
class Person:
    """Someone of the demonstration: address, name and the secret of their mail client."""

    address: str
    name: str
    app_password: str


@dataclass(slots=True)
class Operator:
    """One running server."""

    name: str
    folder: Path
    ports: "PortBlock"
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def base_port(self) -> int:
        return self.ports.base

    @property
    def domain(self) -> str:
        return f"{self.name}.localhost"

    @property
    def config(self) -> Path:
        return self.folder / "pli.toml"

    def port(self, service: str) -> int:
        return self.base_port + PORT_NAMES[service]

    def start(self, workers: int = 1) -> None:
        """``pli serve`` until it says ready. Raises Unavailable("demo-start")."""
        command = [
            sys.executable,
            "-m",
            "mailserver",
            "serve",
            "-c",
            str(self.config),
            "--workers",
            str(workers),
        ]
        log = (self.folder / "serve.log").open("wb")
        self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603 # ourselves
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if '"what": "ready"' in (self.folder / "serve.log").read_text():
                return
            threading.Event().wait(0.05)
        self.stop()
        raise Unavailable("demo-start", f"operator {self.name} did not start; see serve.log in its folder")

    def stop(self) -> int:
        """SIGTERM and wait; the exit code. Once more changes nothing."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


Facts = dict[str, str | int | None]


def run_pli(*arguments: str, secret: str | None = None) -> Facts:
    """One ``pli`` command with ``--json``; its facts. Raises Unavailable with the command's own code and sentence,
    or "demo-command" when it has none.
    """
    done = subprocess.run(  # noqa: S603 # ourselves
        [sys.executable, "-m", "mailserver", *arguments, "--json"],
        input=None if secret is None else secret + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_SECONDS,
    )
    facts: Facts = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    if done.returncode != 0:
        words = str(facts.get("sentence") or done.stderr.strip()[:300])
        raise Unavailable(str(facts.get("error") or "demo-command"), f"pli {arguments[0]}: {words}")
    return facts


@dataclass(frozen=True, slots=True)
class Stage:
    """Both operators and the people on them."""

    folder: Path
    a: Operator
    b: Operator
    cardiologist: Person
    patient: Person
    doctor: Person

    @property
    def authority(self) -> Path:
        return self.folder / "authority"

    def client_context(self) -> ssl.SSLContext:
        """A mail client's view: the demo authority is trusted, host names are checked."""
        return ssl.create_default_context(cafile=str(self.authority / "demo-ca.pem"))

    def stop(self) -> list[int]:
        return stop_both(self.a, self.b)


def stop_both(a: Operator, b: Operator) -> list[int]:
    """Both stop at the same time; their exit codes."""
    with ThreadPoolExecutor(2) as pool:
        codes = list(pool.map(Operator.stop, (a, b)))
    a.ports.release()
    b.ports.release()
    return codes


MARK = "MADE-BY-PLI-DEMO"
"""A file that says whose the folder is: no other folder is ever removed."""


def set_up(folder: Path, relay_port: int, at_end: ExitStack) -> Stage:
    """Make both operators' folders and people anew, and start both servers; ``at_end`` stops what has started,
    also when the rest fails or is interrupted. Raises Conflict("demo-folder") when something else lies in ``folder``.
    """
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / MARK).exists()):
            raise Conflict("demo-folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / MARK).write_text("pli demo removes this folder and makes it anew each time.\n")
    a, b = (Operator(name, folder / name, block) for name, block in zip("ab", reserve_ports(2), strict=True))
    at_end.callback(stop_both, a, b)
    for operator in (a, b):
        run_pli(
            "init",
            str(operator.folder),
            "--domain",
            operator.domain,
            "--base-port",
            str(operator.base_port),
            "--demo-authority",
            str(folder / "authority"),
            "--relay-port",
            str(relay_port),
        )
    with ThreadPoolExecutor(2) as pool:
        of_a, of_b = pool.submit(_people_of_a, a), pool.submit(_people_of_b, b)
        (cardiologist, patient), doctor = of_a.result(), of_b.result()
    return Stage(folder, a, b, cardiologist, patient, doctor)


def _people_of_a(a: Operator) -> tuple[Person, Person]:
    cardiologist = add_account(a, "PER", f"cardio.test@{a.domain}", "Dr Alix CARDIO-FICTIF")
    options = ("--ins", PATIENT_INS, "--contact-email", PATIENT_CONTACT, "--password-stdin")
    patient = add_account(a, "PATIENT", f"279035121518989@{a.domain}", "Dominique PAT-TROIS", *options)
    a.start()
    return cardiologist, patient


def _people_of_b(b: Operator) -> Person:
    doctor = add_account(b, "PER", f"camille.fictif@{b.domain}", "Dr Camille FICTIF")
    b.start()
    return doctor


def add_account(operator: Operator, kind: str, address: str, name: str, *options: str) -> Person:
    """``pli account add``; with ``--password-stdin`` the demonstration's password."""
    base = (
        "account",
        "add",
        "-c",
        str(operator.config),
        "--kind",
        kind,
        "--address",
        address,
        "--name",
        name,
    )
    facts = run_pli(*base, *options, secret=PASSWORD if "--password-stdin" in options else None)
    return Person(address, name, str(facts["app_password"] or ""))


@dataclass(frozen=True, slots=True)
class PortBlock:
    """Six free ports from ``base`` on, kept for us by a socket bound to ``base`` itself until ``release``."""

    base: int
    guard: socket.socket

    def release(self) -> None:
        self.guard.close()


def reserve_ports(count: int) -> list[PortBlock]:
    """Blocks of free ports on 127.0.0.1, none shared with another demonstration that starts at the same moment."""
    blocks: list[PortBlock] = []
    for base in range(20000, 32000, 1000):
        block = _reserve(base)
        if block is not None:
            blocks.append(block)
        if len(blocks) == count:
            return blocks
    for block in blocks:
        block.release()
    raise Unavailable("demo-ports", "no free ports between 20000 and 32000")


def _reserve(base: int) -> PortBlock | None:
    guard = socket.socket()
    try:
        guard.bind(("127.0.0.1", base))
    except OSError:
        guard.close()
        return None
    if all(_is_free(base + offset) for offset in PORT_NAMES.values()):
        return PortBlock(base, guard)
    guard.close()
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
