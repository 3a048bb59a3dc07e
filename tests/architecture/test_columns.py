"""K15: every stored column has exactly one class, and only sealed bytes may carry what a person would mind."""

from sqlalchemy import LargeBinary

from mailserver.store.columns import COLUMN_CLASSES, ColumnClass
from mailserver.store.schema import metadata

SEALED = {ColumnClass.SERVICE, ColumnClass.PERSON}


def columns_of_schema() -> set[tuple[str, str]]:
    return {(table.name, column.name) for table in metadata.tables.values() for column in table.columns}


def columns_of_registry() -> set[tuple[str, str]]:
    return {(table, column) for table, columns in COLUMN_CLASSES.items() for column in columns}


def test_no_column_without_a_class() -> None:
    assert columns_of_schema()
    assert not columns_of_schema() - columns_of_registry()


def test_no_class_without_a_column() -> None:
    assert not columns_of_registry() - columns_of_schema()


def test_each_class_is_one_of_three() -> None:
    assert {type(kind) for columns in COLUMN_CLASSES.values() for kind in columns.values()} == {ColumnClass}
    assert {kind.value for kind in ColumnClass} == {"C", "S", "P"}


def test_sealed_columns_hold_bytes() -> None:
    found = [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if COLUMN_CLASSES[table.name][column.name] in SEALED and not isinstance(column.type, LargeBinary)
    ]
    assert not found


def test_sealed_columns_are_never_searched() -> None:
    found = [
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if COLUMN_CLASSES[table.name][column.name] in SEALED
        and (
            column.primary_key
            or column.index
            or column.unique
            or any(column in set(i.columns) for i in table.indexes)
        )
    ]
    assert not found, "a sealed value is random: a key or an index on it finds nothing"
