"""Schema migrations (Alembic). ``upgrade`` brings a store to the newest schema; data of every release opens in the
next (R12). ``blob`` is never batch-altered.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, inspect, select, text

from mailserver.store.database import Database

if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent
HEAD = "0008"
"""The newest revision; a test holds it to the versions folder."""
_LOCK = int.from_bytes(b"pli")


def upgrade(database: Database) -> None:
    """Create or upgrade the schema, in one transaction. Does nothing, quickly, when it is current."""
    with database.read() as connection:
        if is_current(connection):
            return
    from alembic import command  # a quarter of a second, spared when there is nothing to do

    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(
                select(func.pg_advisory_xact_lock(_LOCK))
            )  # nodes that start together take turns
        command.upgrade(configuration(connection), "head")


def is_current(connection: Connection) -> bool:
    """True when the store is at the newest revision."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == HEAD


def configuration(connection: Connection) -> "Config":
    """Alembic's configuration over an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    return config
