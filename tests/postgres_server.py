"""A PostgreSQL server for tests: Debian's programs, a temporary folder, an ordinary user, a Unix socket, no TCP.

Durability is off, so it proves what SQL does, never what survives a crash.
"""

import contextlib
import os
import pwd
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "log_min_messages": "warning",
}


class PostgresServer:
    """A running server. ``folder`` holds its data, its log and its socket."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count(1)
        self._control = psycopg.connect(host=str(folder), user="pli", dbname="postgres", autocommit=True)

    @classmethod
    @contextlib.contextmanager
    def running(cls, programs: Path) -> Iterator["PostgresServer"]:
        """Start a server from ``programs`` (the folder that holds initdb) and stop it on the way out."""
        folder = Path(tempfile.mkdtemp(prefix="pli-pg-"))  # a short path: a socket's name ends at 107 bytes
        try:
            owner = _ordinary_user()
            if owner is not None:
                os.chown(folder, owner.pw_uid, owner.pw_gid)
            _start(programs, folder, owner)
            server = cls(folder)
            try:
                yield server
            finally:
                server.stop()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """SQLAlchemy URL of one database."""
        return f"postgresql+psycopg://pli@/{database}?host={self.folder}"

    def add_database(self, template: str = "template1") -> str:
        """Create a database, by a copy of ``template`` (which nobody may be connected to); returns its name."""
        name = f"pli_{next(self._numbers)}"
        self._control.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, ending the connections that a test left open."""
        self._control.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def stop(self) -> None:
        """Stop the server by its process id and wait until it is gone."""
        self._control.close()
        process = int((self.folder / "data" / "postmaster.pid").read_text(encoding="ascii").splitlines()[0])
        descriptor = os.pidfd_open(process)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGQUIT)
            with contextlib.suppress(TimeoutError):
                _wait_readable(descriptor, seconds=10)
        finally:
            os.close(descriptor)


def _start(programs: Path, folder: Path, owner: pwd.struct_passwd | None) -> None:
    data = folder / "data"
    _run(
        owner,
        programs / "initdb",
        "-D",
        data,
        "-U",
        "pli",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    )
    lines = [f"{name} = '{value}'" for name, value in SETTINGS.items()]
    with (data / "postgresql.conf").open("a", encoding="ascii") as conf:
        conf.write("\n".join([*lines, f"unix_socket_directories = '{folder}'", ""]))
    # pg_ctl returns once the server answers.
    _run(owner, programs / "pg_ctl", "-D", data, "-l", folder / "log", "-s", "-w", "-t", "60", "start")


def _run(owner: pwd.struct_passwd | None, *command: str | Path) -> None:
    # Its output goes to a file: a server started by pg_ctl would keep a pipe open.
    with tempfile.TemporaryFile() as output:
        account = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", check=False, **account
        )
        if done.returncode != 0:
            output.seek(0)
            raise RuntimeError(f"{command[0]} failed: {output.read().decode(errors='replace')}")


def _ordinary_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: Debian's postgres account then, or nobody; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("root needs an account named postgres or nobody to run PostgreSQL for the tests")


def _wait_readable(descriptor: int, *, seconds: float) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(seconds * 1000):
        raise TimeoutError
