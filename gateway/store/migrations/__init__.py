"""The history of the schema, applied by alembic through ``Database.migrate``."""
