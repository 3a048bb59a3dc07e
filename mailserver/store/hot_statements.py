"""HotRead and HotInsert: the statements that clients wait for, one after another.

On SQLite their text is made once and the driver runs it: for a row or two SQLAlchemy's own way costs four times what
SQLite's does. PostgreSQL's round trip hides that, and keeps the usual way.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import starmap
from operator import attrgetter
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection, Select, Table, insert
from sqlalchemy.sql.dml import ReturningUpdate

T = TypeVar("T")


class HotRead(Generic[T]):
    """``query`` has bound parameters only, and columns of plain types; ``make`` takes a row's values, in their order.

    An UPDATE with RETURNING is one too.
    """

    def __init__(
        self,
        query: Select[tuple[object, ...]] | ReturningUpdate[tuple[object, ...]],
        make: Callable[..., T],
    ) -> None:
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

    def first(self, connection: Connection, parameters: Mapping[str, object]) -> T | None:
        """The first row, of a query that gives few."""
        found = self.all(connection, parameters)
        return found[0] if found else None

    def _compile(self, connection: Connection) -> None:
        if not self._text:
            compiled = self._query.compile(dialect=connection.dialect)
            self._names, self._text = tuple(compiled.positiontup or ()), str(compiled)


class HotInsert(Generic[T]):
    """Rows into ``table``, each from the attributes of one value that are named as the columns are; ``by`` is itemgetter
    where the values are mappings.
    """

    def __init__(self, table: Table, by: Callable[..., Any] = attrgetter) -> None:
        self._insert = insert(table)
        self._names = tuple(column.name for column in table.c)
        self._values_of: Callable[[T], Any] = by(*self._names)
        self._text = ""

    def run(self, connection: Connection, rows: Sequence[T]) -> None:
        """Insert in the transaction of ``connection``. A constraint's error is the same as SQLAlchemy's."""
        raw = connection.connection.driver_connection
        if isinstance(raw, sqlite3.Connection):
            if not self._text:
                self._text = str(self._insert.compile(dialect=connection.dialect))
            raw.executemany(self._text, map(self._values_of, rows)).close()
        else:
            values = [dict(zip(self._names, self._values_of(row), strict=True)) for row in rows]
            connection.execute(self._insert, values)
