"""The migrations build exactly the schema that the code declares, on both databases."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from mailserver.store.database import Database
from mailserver.store.migrations import configuration, is_current, upgrade
from mailserver.store.schema import metadata


def test_migrations_equal_the_metadata(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        found = inspect(connection)
        for table in metadata.tables.values():
            assert set(found.get_pk_constraint(table.name)["constrained_columns"]) == set(
                table.primary_key.columns.keys()
            )
            assert found.get_pk_constraint(table.name)["name"] == f"pk_{table.name}"
    database.close()


def test_per_account_tables_have_the_account_first(database_url: str) -> None:
    shared = {"address", "identity", "job", "attempt", "lease", "log_tile", "log_checkpoint"}
    for table in metadata.tables.values():
        first = next(iter(table.primary_key.columns)).name
        assert (first == "account_id") != (table.name in shared), table.name


def test_a_store_of_the_first_release_is_upgraded(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        command.downgrade(configuration(connection), "0001")
        assert not inspect(connection).has_table("text_segment")
    upgrade(database)
    with database.read() as connection:
        assert is_current(connection)
        assert inspect(connection).has_table("text_segment")
        assert inspect(connection).has_table("sent")
        assert inspect(connection).has_table("sent_recipient")
    database.close()


def test_upgrade_may_run_again(database_url: str) -> None:
    database = Database(database_url)
    upgrade(database)
    upgrade(database)
    database.close()


def test_sqlite_is_durable_and_shreds(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'pli.sqlite'}")
    for opened in (database.read, database.write):
        with opened() as connection:
            values = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "secure_delete", "temp_store")
            }
        assert values == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "temp_store": 2}
    database.close()
