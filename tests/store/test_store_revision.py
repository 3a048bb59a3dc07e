"""The revision that start-up compares with is the newest one of the versions folder."""

from alembic.script import ScriptDirectory

from mailserver.store import migrations


def test_head_is_the_newest_version() -> None:
    assert ScriptDirectory(str(migrations.HERE)).get_current_head() == migrations.HEAD


def test_an_empty_store_is_not_current_and_then_is(tmp_path) -> None:
    from mailserver.store.database import Database

    database = Database(f"sqlite:///{tmp_path}/pli.sqlite")
    with database.read() as connection:
        assert not migrations.is_current(connection)
    migrations.upgrade(database)
    with database.read() as connection:
        assert migrations.is_current(connection)
    database.close()
