"""The two servers under measure, each started in a folder of its own on 127.0.0.1 and ended by its own process ids."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.operators import OURS, SENDER, add_accounts, make_operators

HERE = Path(__file__).parent
PLI, PEER = "Pli", "Postfix + Dovecot"
PLI_PORTS, PEER_PORTS = 24000, 23000
USERS = 100
START_SECONDS = 60.0
PEER_PROGRAMS = ("postfix", "dovecot", "postmap", "doveadm")
PEER_FILES = ("/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp")


class NotStarted(Exception):
    """A server did not come up; the text says where to look."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server, as the load client needs to know it. ``smtp_tls`` are its options for a TLS link."""

    name: str
    smtp: str
    imap: str
    accounts: Path
    """Those that mail is sent to."""
    big: Path
    """The one account whose INBOX is listed."""
    pids: tuple[int, ...]
    smtp_tls: tuple[str, ...]
    sender: str
    folder: Path
    """Where its files lie."""
    submission: str
    """Where its own users hand mail in, over STARTTLS."""

    @property
    def options(self) -> list[str]:
        pids = ",".join(map(str, self.pids))
        return ["--smtp", self.smtp, "--imap", self.imap, "--sender", self.sender, "--pids", pids]


def why_no_peer() -> str | None:
    """Why Postfix and Dovecot cannot be measured here; None when they can."""
    if os.geteuid() != 0:
        return "starting Postfix and Dovecot takes root"
    missing = [name for name in PEER_PROGRAMS if shutil.which(name) is None]
    missing += [name for name in PEER_FILES if not Path(name).exists()]
    return f"not installed: {', '.join(missing)} (scripts/debian-packages bench)" if missing else None


def _write_accounts(folder: Path, passwords: dict[str, str], big: str) -> tuple[Path, Path]:
    paths = folder / "accounts.json", folder / "big.json"
    others = {address: password for address, password in passwords.items() if address != big}
    for path, accounts in zip(paths, (others, {big: passwords[big]}), strict=True):
        path.touch(mode=0o600)
        path.write_text(json.dumps(accounts))
    return paths


def _await_port(port: int, alive: "subprocess.Popen[bytes] | None" = None) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and (alive is None or alive.poll() is None):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as link:
            link.recv(1) if port % 1000 != 993 else None
            return
        time.sleep(0.1)
    raise NotStarted(f"nothing answers on port {port}")


@contextlib.contextmanager
def running_pli(folder: Path, workers: int = 2) -> Iterator[Server]:
    """``pli serve``, the way an operator runs it, with a peer operator's certificate to send with."""
    folder.mkdir()
    operators = make_operators(folder, PLI_PORTS)
    names = [f"u{number:04}" for number in range(USERS)]
    passwords = add_accounts(operators.config, [*names, "b10k"])
    accounts, big = _write_accounts(folder, passwords, f"b10k@{OURS}")
    command = [sys.executable, "-m", "mailserver", "serve", "-c", str(operators.config)]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen([*command, "--workers", str(workers)], stdout=log, stderr=log)
    try:
        for port in (PLI_PORTS + 25, PLI_PORTS + 993):
            _await_port(port, process)
        tls = operators.peer_folder / "tls"
        shown = ("--certificate", str(tls / "operator.pem"), "--key", str(tls / "operator.key"))
        yield Server(
            PLI,
            f"127.0.0.1:{PLI_PORTS + 25}",
            f"127.0.0.1:{PLI_PORTS + 993}",
            accounts,
            big,
            (process.pid,),
            ("--smtp-tls", "starttls", *shown),
            SENDER,
            folder,
            f"127.0.0.1:{PLI_PORTS + 587}",
        )
    except NotStarted as error:
        raise NotStarted(f"{error}: {(folder / 'serve.log').read_text()[-2000:]}") from error
    finally:
        process.terminate()
        process.wait(60)


@contextlib.contextmanager
def running_peer(folder: Path) -> Iterator[Server]:
    """Postfix and Dovecot with mail_crypt, by ``peer.sh``."""
    folder.mkdir()
    passwords = {f"u{number:04}@example.test": "secret" for number in range(USERS)}
    accounts, big = _write_accounts(folder, passwords | {"b10k@example.test": "secret"}, "b10k@example.test")
    command, state = [str(HERE / "peer.sh")], folder / "state"
    where = [str(state), str(PEER_PORTS), str(USERS)]
    try:
        subprocess.run([*command, "start", *where], check=True, timeout=START_SECONDS)
        for port in (PEER_PORTS + 25, PEER_PORTS + 993):
            _await_port(port)
        yield Server(
            PEER,
            f"127.0.0.1:{PEER_PORTS + 25}",
            f"127.0.0.1:{PEER_PORTS + 993}",
            accounts,
            big,
            tuple(int((state / name).read_text()) for name in MASTERS),
            ("--smtp-tls", "starttls"),
            "sender@example.net",
            folder,
            f"127.0.0.1:{PEER_PORTS + 25}",
        )
    except subprocess.CalledProcessError as error:
        raise NotStarted("peer.sh could not start Postfix and Dovecot") from error
    finally:
        subprocess.run([*command, "stop", *where], check=False, timeout=START_SECONDS)


MASTERS = ("postfix/spool/pid/master.pid", "dovecot/run/master.pid")
