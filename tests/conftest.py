"""What every test folder relies on: hypothesis profiles, no sockets in pure tests, tools that must be there, and a
PostgreSQL server of our own."""

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import HealthCheck, settings
from postgres_server import PostgresServer

TESTS = Path(__file__).parent
PURE_FOLDERS = (TESTS / "unit", TESTS / "properties", TESTS / "vectors")
UNDER_CI = os.environ.get("CI") == "true"

# The same examples on every run under CI, so that a red build can be had again; fresh ones elsewhere.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("dev", deadline=None, max_examples=60)
settings.register_profile("long", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if UNDER_CI else "dev"))


def _refuse(*_args: object, **_options: object) -> None:
    raise AssertionError("sockets are off in tests/unit, tests/properties and tests/vectors")


@contextlib.contextmanager
def _sockets_off() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex", "bind", "sendto"):
            patch.setattr(socket.socket, method, _refuse)
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if not any(folder in item.path.parents for folder in PURE_FOLDERS):
        return (yield)
    with _sockets_off():
        return (yield)


@pytest.fixture(scope="session")
def do_without() -> Callable[[str], NoReturn]:
    """``do_without("why")`` skips the test that cannot run here, and fails it under CI=true."""

    def end(reason: str) -> NoReturn:
        if UNDER_CI:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    return end


@pytest.fixture(scope="session")
def require_tool(do_without: Callable[[str], NoReturn]) -> Callable[[str], str]:
    """``require_tool("mbsync")`` → its path. A missing tool skips the test, and fails it under CI=true."""

    def require(name: str) -> str:
        found = find_tool(name)
        if found is None:
            do_without(f"{name} is not installed; scripts/debian-packages test installs it")
        return found

    return require


def find_tool(name: str) -> str | None:
    """The path of a command, also where Debian keeps what is not on an ordinary user's PATH."""
    folders = [
        *os.get_exec_path(),
        "/usr/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
    return shutil.which(name, path=os.pathsep.join(folders))


@pytest.fixture(scope="session")
def postgres_server(require_tool: Callable[[str], str]) -> Iterator[PostgresServer]:
    """One PostgreSQL server for this test process, on a Unix socket only, gone at the end."""
    programs = Path(require_tool("initdb")).parent
    with PostgresServer.running(programs) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """SQLAlchemy URL of the server's maintenance database. Tests that write take ``postgres_database``."""
    return postgres_server.url("postgres")


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy URL of an empty database for this test alone."""
    name = postgres_server.add_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
