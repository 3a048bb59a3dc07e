"""Disks that fill up or fail (R4, R5): nothing is acknowledged that is not there, nothing is half there, and what
was acknowledged is there once after a restart.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults.disk_node import (
    count_by_subject,
    deliver_numbered,
    find_problems,
    make_disk_node,
    open_node,
)
from service.delivery_peers import Bench
from sqlalchemy import event

from mailserver.model.errors import Unavailable

HERE = Path(__file__).parent
MESSAGES = 8
SECONDS = 100
UNDER_CI = os.environ.get("CI") == "true"


def _command(script: str, *arguments: object) -> list[str]:
    """The real interpreter, not a shim: what is traced or confined is the process that writes."""
    return [sys._base_executable, str(HERE / script), *map(str, arguments)]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(HERE.parents[1]), *sys.path]))}


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS, check=False, env=_environment()
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A made operator, closed; its pli.toml."""
    bench = make_disk_node(tmp_path)
    bench.node.close()
    return bench.node.folder / "pli.toml"


@pytest.fixture
def require_namespaces(require_tool: Callable[[str], str]) -> list[str]:
    """How to run a command with mounts of its own, or a skip; under CI a failure."""
    command = [
        require_tool("unshare"),
        "--mount",
        *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]),
    ]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        reason = "this kernel gives no mount namespace, so that no small disk can be made"
        if UNDER_CI:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return command


def test_a_full_disk_refuses_and_recovers(require_namespaces: list[str], tmp_path: Path) -> None:
    """R4: 452 while it lasts, no partial state, and mail again once there is room."""
    done = _run([*require_namespaces, *_command("disk_full.py", tmp_path)])
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {tuple(refusal) for refusal in result["refused"]} == {("Unavailable", "disk-full", "")}
    assert len(result["refused"]) >= 10
    assert len(result["acknowledged"]) >= 10
    assert (result["problems while full"], result["problems"]) == ([], [])
    assert result["after"] == [True, True]
    assert set(result["counts"].values()) == {1}
    assert len(result["counts"]) == len(result["acknowledged"]), "what was acknowledged, and nothing else"


def test_a_full_database_refuses_and_recovers(config: Path) -> None:
    """The same without any privilege: SQLite is told that no further page exists."""
    bench = open_node(config)
    limits: list[int] = []

    def limit(connection: object, *_rest: object) -> None:
        if limits:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {limits[-1]}")  # type: ignore[attr-defined]

    event.listen(bench.store.database.writer, "begin", limit)
    deliver_numbered(bench, 0)
    with bench.store.database.read() as connection:
        limits.append(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
    refused = 0
    for number in range(1, 40):
        try:
            deliver_numbered(bench, number)
        except Unavailable as error:
            assert error.code == "disk-full"
            refused += 1
    assert refused >= 10
    placed = count_by_subject(bench)
    assert len(placed) + refused == 40
    limits.append(2**30)
    for number in range(40):
        deliver_numbered(bench, number)
    assert set(count_by_subject(bench).values()) == {1}
    assert len(count_by_subject(bench)) == 40
    assert find_problems(bench) == []
    bench.node.close()


def _acknowledged(output: str) -> list[int]:
    return [int(number) for number in re.findall(r"^acknowledged (\d+) placed$", output, re.MULTILINE)]


@pytest.mark.parametrize(
    ("call", "file", "mode", "when"),
    [
        ("fdatasync", "pli.sqlite-wal", "small", 1),
        ("fdatasync", "pli.sqlite-wal", "small", 5),
        ("fdatasync", "pli.sqlite-wal", "large", 3),
        ("fsync", "blobs", "large", 2),
    ],
)
def test_a_failed_sync_ends_the_process(
    require_tool: Callable[[str], str], config: Path, call: str, file: str, mode: str, when: int
) -> None:
    """R5: 451, stop, exit; the sync is never tried again; after a restart every retry is placed or folded."""
    path = str(config.parent / "data" / file)
    inject = ["-f", "-qq", "-o", "/dev/null", "-P", path, "-e", f"trace={call}"]
    inject.append(f"--inject={call}:error=EIO:when={when}")
    done = _run([require_tool("strace"), *inject, *_command("disk_deliveries.py", config, mode, MESSAGES)])
    assert done.returncode == 70, done.stdout + done.stderr
    assert "told disk-io" in done.stdout.splitlines()
    acknowledged = _acknowledged(done.stdout)
    assert len(acknowledged) < MESSAGES
    bench = open_node(config)
    assert find_problems(bench) == []
    before = count_by_subject(bench)
    assert set(before.values()) <= {1}
    assert {f"Lettre numro {number}" for number in acknowledged} <= set(before)
    for number in range(MESSAGES):
        deliver_numbered(bench, number, is_large=mode == "large")
    assert count_by_subject(bench) == {f"Lettre numro {number}": 1 for number in range(MESSAGES)}
    assert find_problems(bench) == []
    bench.node.close()


@pytest.mark.parametrize(("call", "file"), [("fsync", "blobs"), ("fdatasync", "pli.sqlite-wal")])
def test_no_sync_follows_a_failed_one(
    require_tool: Callable[[str], str], config: Path, tmp_path: Path, call: str, file: str
) -> None:
    trace = tmp_path / "trace"
    inject = ["-f", "-qq", "-o", trace, "-P", config.parent / "data" / file, "-e", f"trace={call}"]
    inject.append(f"--inject={call}:error=EIO:when=2+")
    _run([require_tool("strace"), *map(str, inject), *_command("disk_deliveries.py", config, "large", 6)])
    assert trace.read_text().count("(INJECTED)") == 1


def _syncs(trace: str) -> Iterator[Counter[str]]:
    """Per message: how often the process synced between its mark and the next."""
    _start, *parts = re.split(r'access\("message(?:-\d+|s-end)"', trace)
    for part in parts[:-1]:
        yield Counter(re.findall(r"\b(fsync|fdatasync)\(", part))


@pytest.mark.parametrize(("mode", "files"), [("small", 0), ("large", 1)])
def test_each_message_costs_one_commit(
    require_tool: Callable[[str], str], config: Path, tmp_path: Path, mode: str, files: int
) -> None:
    """R1, counted: one sync of the database for one message; a large one syncs its file and its folders as well."""
    trace = tmp_path / "trace"
    watch = ["-f", "-qq", "-o", str(trace), "-e", "trace=fsync,fdatasync,access,faccessat,faccessat2"]
    done = _run([require_tool("strace"), *watch, *_command("disk_deliveries.py", config, mode, MESSAGES)])
    assert done.returncode == 0, done.stderr
    assert len(_acknowledged(done.stdout)) == MESSAGES
    counts = list(_syncs(trace.read_text()))
    assert len(counts) == MESSAGES
    print(f"\nsyncs for one {mode} message, at most:", dict(max(counts, key=Counter.total)))
    for count in counts:
        assert count["fdatasync"] >= 1
        assert count["fsync"] == 3 * files, "the file, its folder, the folder above"
    # a checkpoint now and then syncs once or twice more
    assert sum(count["fdatasync"] for count in counts) <= MESSAGES + 4


def test_a_message_is_durable_before_its_future_is_done(config: Path) -> None:
    """The database commits with full synchronisation: not a setting that a refactoring may lose."""
    bench: Bench = open_node(config)
    with bench.store.database.write() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    bench.node.close()
