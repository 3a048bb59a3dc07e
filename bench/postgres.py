"""A PostgreSQL server for one measurement: durable as in production, a temporary folder, a Unix socket, no TCP."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

OWNERS = ("postgres", "nobody")


def find_programs() -> Path | None:
    """The newest folder of Debian's PostgreSQL programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextlib.contextmanager
def running_postgres(programs: Path) -> Iterator[str]:
    """The URL of an empty database; the server stops on the way out."""
    folder = Path(tempfile.mkdtemp(prefix="pli-pg-"))  # a short path: a socket's name ends at 107 bytes
    account: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = next(
            pwd.getpwnam(name) for name in OWNERS if name in {each.pw_name for each in pwd.getpwall()}
        )
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        account = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}

    def run(*command: str) -> None:
        # A server started by pg_ctl would keep a pipe open: its output goes to a file.
        with tempfile.TemporaryFile() as output:
            subprocess.run(command, check=True, stdout=output, stderr=output, cwd="/", timeout=90, **account)  # type: ignore[call-overload] # user and group

    control = [str(programs / "pg_ctl"), "-D", str(folder / "data"), "-s", "-w"]
    try:
        initdb = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "pli", "-A", "trust"]
        run(*initdb, "-E", "UTF8", "--locale=C", "--no-sync")
        with (folder / "data" / "postgresql.conf").open("a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\n")
        run(*control, "-l", str(folder / "log"), "-t", "60", "start")
        try:
            yield f"postgresql+psycopg://pli@/postgres?host={folder}"
        finally:
            run(*control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
