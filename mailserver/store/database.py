"""Connections: one engine for reads, one for the writer, on SQLite or PostgreSQL.

SQLite runs in WAL with full synchronisation; processes that write queue on a file lock before BEGIN IMMEDIATE,
because SQLite's own busy handler is unfair under load. Database errors leave here as Unavailable.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
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
        self._reading = _Kept(self.reader, READ_CONNECTIONS)
        self._writing = _Kept(self.writer, 1)

    @property
    def readers(self) -> int:
        """Connections that are being read from on SQLite."""
        return self._reading.used

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
        with translated(), self._connected(self._reading) as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Connection]:
        """The write transaction of this process; commit is durable on return (R1)."""
        with translated(), self._turn(), self._connected(self._writing) as connection, connection.begin():
            yield connection

    def _connected(self, kept: "_Kept") -> contextlib.AbstractContextManager[Connection]:
        """PostgreSQL's connections are tried each time they are taken: its server may have been started again."""
        return kept.lent() if self.is_sqlite else kept.engine.connect()

    def truncate_log(self) -> bool:
        """SQLite's write-ahead log is copied into the database and emptied, so that what was deleted is in neither
        (``secure_delete`` zeroes it there, K18); False when a reader still needs the log. PostgreSQL: nothing.
        """
        if not self.is_sqlite:
            return True
        with self._turn(), self._connected(self._writing) as connection:
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
        for kept in (self._reading, self._writing):
            kept.close()
            kept.engine.dispose()
        if self._lock_descriptor is not None:
            os.close(self._lock_descriptor)
            self._lock_descriptor = None


class _Kept:
    """Connections that stay open between their uses: the pool's care for each costs as much as a small read."""

    def __init__(self, engine: Engine, most: int) -> None:
        self.engine = engine
        self._turns = threading.Semaphore(most)
        self._resting: list[Connection] = []
        self._lent: set[Connection] = set()

    @property
    def used(self) -> int:
        return len(self._lent)

    @contextlib.contextmanager
    def lent(self) -> Iterator[Connection]:
        """One that nobody else uses; it is closed after a failure. Unavailable("database-busy") when none gets free."""
        if not self._turns.acquire(timeout=_BUSY_SECONDS):
            raise Unavailable("database-busy")
        try:
            connection = self._take()
            self._lent.add(connection)
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            else:
                self._resting.append(connection)
            finally:
                self._lent.discard(connection)
        finally:
            self._turns.release()

    def _take(self) -> Connection:
        try:
            return self._resting.pop()
        except IndexError:
            return self.engine.connect()

    def close(self) -> None:
        while self._resting:
            self._resting.pop().close()


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
    _run_raw(connection, "BEGIN IMMEDIATE")


def _begin_reading(connection: Connection) -> None:
    """A deferred BEGIN touches no file."""
    _run_raw(connection, "BEGIN")


def _run_raw(connection: Connection, statement: str) -> None:
    """On the driver, for SQLAlchemy's way costs a third of a small read."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    raw.execute(statement).close()


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
