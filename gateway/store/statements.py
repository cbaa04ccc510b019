"""Statements that several rooms of the store share: whose claim counts, and never check, then insert (libraries.md Q4).

The statements are built once: SQLAlchemy needs longer to build one than SQLite to run it.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import ColumnElement, Connection, Table, UniqueConstraint, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.schema import gateways


def claimable(owner: ColumnElement[str], worker: str) -> ColumnElement[bool]:
    """Of a row that is due: nobody has it, ``worker`` lost sight of it, or no living gateway has that name."""
    return (owner == "") | (owner == worker) | owner.not_in(select(gateways.c.name))


def insert(tx: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, in the connection's dialect."""
    return _insert(tx.dialect.name, table)


def insert_once(tx: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT … ON CONFLICT DO NOTHING."""
    return _insert_once(tx.dialect.name, table)


def upsert(tx: Connection, table: Table, *columns: str) -> sqlite.Insert | postgresql.Insert:
    """INSERT, or give these columns their new values in the row that has the table's unique key already."""
    return _upsert(tx.dialect.name, table, columns)


@cache
def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _insert_once(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    return _insert(dialect, table).on_conflict_do_nothing()


@cache
def _upsert(dialect: str, table: Table, columns: tuple[str, ...]) -> sqlite.Insert | postgresql.Insert:
    statement = _insert(dialect, table)
    unique = [c for c in table.constraints if isinstance(c, UniqueConstraint)]
    return statement.on_conflict_do_update(
        index_elements=list(unique[0].columns if unique else table.primary_key.columns),
        set_={name: statement.excluded[name] for name in columns},
    )
