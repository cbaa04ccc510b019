"""Run by alembic: apply the versions on the connection that ``Database.migrate`` opened."""

from __future__ import annotations

from alembic import context

from gateway.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
