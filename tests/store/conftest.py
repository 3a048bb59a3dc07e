"""One suite, two databases: every test that takes ``store`` or ``database_url`` runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import PostgresServer
from store.store_rows import ROW_KEY

from mailserver.model.errors import Unavailable
from mailserver.store.database import Database
from mailserver.store.migrations import upgrade
from mailserver.store.store import Store, open_store

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """A database with the newest schema and nothing else, to copy."""
    name = postgres_server.add_database()
    database = Database(postgres_server.url(name))
    upgrade(database)
    database.close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "pli.sqlite"
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    database.close()
    return path


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh store with the newest schema."""
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        path = tmp_path / "pli.sqlite"
        path.write_bytes(template.read_bytes())
        yield f"sqlite:///{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.add_database(request.getfixturevalue("postgres_template"))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def open_another(database_url: str, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens the same store again, as a second process would; all are closed at the end."""
    opened: list[Store] = []

    def another(on_failure: Callable[[Unavailable], None] | None = None) -> Store:
        opened.append(open_store(database_url, tmp_path, ROW_KEY, on_failure))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_another: Callable[..., Store]) -> Store:
    return open_another()
