"""Column classes (security.md K15): what each stored column may reveal to whoever holds the database.

A column is declared through :func:`clear`, :func:`service_sealed` or :func:`person_sealed`; the registry
``COLUMN_CLASSES`` is filled when the schema is imported, and a column without a class fails at import.
"""

from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Column, LargeBinary, MetaData
from sqlalchemy.types import TypeEngine

T = TypeVar("T")


class ColumnClass(StrEnum):
    CLEAR = "C"
    """Ids, kinds, states, counters, dates, MACs, hashes, system flags, padded sizes, queue routing."""
    SERVICE = "S"
    """Sealed under a service key kept by the custodian."""
    PERSON = "P"
    """Sealed to the person: only an opened account reads it."""


COLUMN_CLASSES: dict[str, dict[str, ColumnClass]] = {}

Id = LargeBinary(16)
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def clear(name: str, kind: TypeEngine[T], *, primary_key: bool = False, nullable: bool = False) -> Column[T]:
    """A class C column."""
    info = {"class": ColumnClass.CLEAR}
    return Column(name, kind, primary_key=primary_key, nullable=nullable, info=info, autoincrement=False)


def key(name: str, kind: TypeEngine[T]) -> Column[T]:
    """A class C column of the primary key."""
    return clear(name, kind, primary_key=True)


def service_sealed(name: str, *, nullable: bool = False) -> Column[bytes]:
    """A class S column: AES-GCM under a service key."""
    return Column(name, LargeBinary, nullable=nullable, info={"class": ColumnClass.SERVICE})


def person_sealed(name: str, *, nullable: bool = False) -> Column[bytes]:
    """A class P column: sealed to the account's own keys."""
    return Column(name, LargeBinary, nullable=nullable, info={"class": ColumnClass.PERSON})


def register(metadata: MetaData) -> None:
    """Fill ``COLUMN_CLASSES``; a column declared without a class raises KeyError."""
    for table in metadata.tables.values():
        COLUMN_CLASSES[table.name] = {column.name: column.info["class"] for column in table.columns}
