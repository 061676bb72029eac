"""Run by alembic: migrate over the connection that the journal hands in."""

from alembic import context

from orchestrator.adapters.sql.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
