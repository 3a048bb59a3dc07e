"""Alembic's entry: runs migrations on the connection that ``upgrade`` holds."""

from alembic import context

from mailserver.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
