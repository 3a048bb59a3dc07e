"""Schema migrations (Alembic). ``upgrade`` brings a store to the newest schema; data of every release opens in the
next (R12). ``blob`` is never batch-altered.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, func, select

from mailserver.store.database import Database

HERE = Path(__file__).parent
_LOCK = int.from_bytes(b"pli")


def upgrade(database: Database) -> None:
    """Create or upgrade the schema, in one transaction."""
    with database.write() as connection:
        if not database.is_sqlite:
            connection.execute(
                select(func.pg_advisory_xact_lock(_LOCK))
            )  # nodes that start together take turns
        command.upgrade(configuration(connection), "head")


def configuration(connection: Connection) -> Config:
    """Alembic's configuration over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    return config
