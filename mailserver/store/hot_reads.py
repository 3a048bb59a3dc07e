"""HotRead: a SELECT that clients wait for, one after another.

On SQLite its text is made once and the driver runs it: for a row or two SQLAlchemy's own way costs four times what
SQLite's does. PostgreSQL's round trip hides that, and keeps the usual way.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from itertools import starmap
from typing import Generic, TypeVar

from sqlalchemy import Connection, Select

T = TypeVar("T")


class HotRead(Generic[T]):
    """``query`` has bound parameters only, and columns of plain types; ``make`` takes a row's values, in their order."""

    def __init__(self, query: Select[tuple[object, ...]], make: Callable[..., T]) -> None:
        self._query = query
        self._make = make
        self._text = ""
        self._names: tuple[str, ...] = ()

    def all(self, connection: Connection, parameters: Mapping[str, object]) -> list[T]:
        """Every row, in the transaction of ``connection``."""
        raw = connection.connection.driver_connection
        found: Iterable[Iterable[object]]
        if isinstance(raw, sqlite3.Connection):
            self._compile(connection)
            found = raw.execute(self._text, [parameters[name] for name in self._names]).fetchall()
        else:
            found = connection.execute(self._query, dict(parameters)).all()
        return list(starmap(self._make, found))

    def _compile(self, connection: Connection) -> None:
        if not self._text:
            compiled = self._query.compile(dialect=connection.dialect)
            self._names, self._text = tuple(compiled.positiontup or ()), str(compiled)
