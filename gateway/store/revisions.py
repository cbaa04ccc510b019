"""The schema's revisions: which one a database has, and the way from there to ours, forward only (alembic).

What one version made is known to every later one. A migration is one transaction on both databases: killed in its
middle, it has not been. alembic is loaded only where there is something to do: it takes half a second.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.errors import TicketgateError
from gateway.store.schema import REVISION

_MIGRATION_LOCK = 0x7467  # any number, the same on every host
_SCRIPTS = Path(__file__).parent / "migrations"


class SchemaError(TicketgateError):
    """The database has other tables than this version needs; says what to do. Not worth a retry."""

    def __init__(self, cause: str) -> None:
        super().__init__("trouble", cause)


def find_revision(tx: Connection) -> str:
    """The revision of a database; "" where there are no tables of ours."""
    if not sa.inspect(tx).has_table("alembic_version"):
        return ""
    return str(tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or "")


def is_known(revision: str) -> bool:
    """Whether it is ours or an earlier one, from which there is a way to ours."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    return revision in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def demand(found: str) -> None:
    """Nothing when the revision is ours. Raises SchemaError, which says what to type."""
    if found == REVISION:
        return
    if not found:
        raise SchemaError("the database has no tables yet: run `ticketgate db migrate`")
    if is_known(found):
        raise SchemaError(f"database schema is {found}, this version needs {REVISION}: run `ticketgate db migrate`")
    raise SchemaError(
        f"database schema is {found}, made by a newer ticketgate; this version knows {REVISION} at most. Install the"
        " newer one again, or go back to the backup made before the migration: `ticketgate restore DIR --force`"
    )


def migrate(tx: Connection, revision: str = REVISION) -> None:
    """Bring the tables to a revision of ours, forward only. Raises SchemaError for a database from the future."""
    from alembic import command
    from alembic.config import Config

    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    found = find_revision(tx)
    if found and not is_known(found):
        demand(found)
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = tx
    command.upgrade(config, revision)
