"""Connections: one engine for reads, one for the writer, on SQLite or PostgreSQL.

SQLite runs in WAL with full synchronisation; processes that write queue on a file lock before BEGIN IMMEDIATE,
because SQLite's own busy handler is unfair under load. Database errors leave here as Unavailable.
"""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from mailserver.model.errors import Conflict, PliError, Unavailable

__all__ = ["Connection", "Database", "translated"]
READ_CONNECTIONS = 8
_BUSY_SECONDS = 30
_TRUNCATE_BUSY_MILLISECONDS = 100


class Database:
    """One store. ``url`` is ``sqlite:///path`` or ``postgresql+psycopg://…``."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._lock_descriptor: int | None = None
        self._keep_private()
        self.reader = self._engine(READ_CONNECTIONS, writes=False)
        self.writer = self._engine(1, writes=True)

    def _keep_private(self) -> None:
        """SQLite gives its log the mode of the database's file, which nobody else may read whatever the umask."""
        if self.is_sqlite and self.url.database:
            os.close(os.open(self.url.database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            Path(self.url.database).chmod(0o600)

    def _engine(self, connections: int, *, writes: bool) -> Engine:
        if not self.is_sqlite:
            isolation = "READ COMMITTED" if writes else "REPEATABLE READ"
            return create_engine(
                self.url, pool_size=connections, max_overflow=0, pool_pre_ping=True, isolation_level=isolation
            )
        engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=connections,
            max_overflow=0,
            connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_writing if writes else _begin_reading)
        return engine

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        """A short read transaction: one snapshot, never held across a socket write.

        Results are fetched whole (``all``, ``first``) before anything may raise: on SQLite a cursor left half
        read by an exception that somebody keeps would hold its old snapshot for the connection's next users.
        """
        with translated(), self.reader.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """The write transaction of this process; commit is durable on return (R1)."""
        with translated(), self._turn(), self.writer.connect() as connection, connection.begin():
            yield connection

    def truncate_log(self) -> bool:
        """SQLite's write-ahead log is copied into the database and emptied, so that what was deleted is in neither
        (``secure_delete`` zeroes it there, K18); False when a reader still needs the log. PostgreSQL: nothing.
        """
        if not self.is_sqlite:
            return True
        with self._turn(), self.writer.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            try:  # on the driver: SQLAlchemy would begin a transaction first
                raw.execute(f"PRAGMA busy_timeout={_TRUNCATE_BUSY_MILLISECONDS}").close()
                busy, _frames, _copied = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            except sqlite3.OperationalError as error:
                code = _operational_code(error)
                if code == "disk-io":
                    raise Unavailable(code) from error
                return False
            finally:
                raw.execute(f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}").close()
        return not busy

    def vacuum(self, tables: Sequence[str]) -> None:
        """PostgreSQL forgets the rows that were deleted from these tables (K18); a table that is being vacuumed already
        is passed over. SQLite zeroes what it deletes: nothing.
        """
        if self.is_sqlite:
            return
        with translated(), self.writer.connect() as connection:
            plain = connection.execution_options(isolation_level="AUTOCOMMIT")
            plain.exec_driver_sql(f"VACUUM (SKIP_LOCKED) {', '.join(tables)}")

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        if not self.is_sqlite or not self.url.database:
            yield
            return
        if self._lock_descriptor is None:
            path = Path(self.url.database).with_suffix(".lock")
            self._lock_descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock_descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock_descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of every connection and of the write lock."""
        self.reader.dispose()
        self.writer.dispose()
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # we emit BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "cache_size=-32768",
        "mmap_size=268435456",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    """On the driver, for SQLAlchemy's way costs a third of a small read; a deferred BEGIN touches no file."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute("BEGIN").close()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Database exceptions → the error tree: a constraint is a Conflict, anything else is Unavailable."""
    try:
        yield
    except PliError:
        raise
    except IntegrityError as error:
        raise Conflict("constraint") from error
    except PoolTimeoutError as error:
        raise Unavailable("database-busy") from error
    except OperationalError as error:
        raise Unavailable(_operational_code(error.orig)) from error
    except DBAPIError as error:
        raise Unavailable("database") from error
    except sqlite3.IntegrityError as error:  # of what runs on the driver
        raise Conflict("constraint") from error
    except sqlite3.Error as error:
        raise Unavailable(_operational_code(error)) from error


def _operational_code(error: BaseException | None) -> str:
    """Tell a full disk (R4) and a failed fsync (R5) from the rest; the driver's text stays in the chain."""
    text = str(error).lower()
    if "full" in text or "no space left" in text:
        return "disk-full"
    if "disk i/o error" in text:
        return "disk-io"
    return "database"
