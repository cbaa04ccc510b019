"""Facts that wait for their seal. Every function that writes a fact calls :func:`mark` in the same transaction.

The key comes with the connection (``Database.mark_with``). A store that is opened without one writes no marks:
what it writes is found by ``ticketgate verify`` as written by somebody without the key.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from gateway.seal import mark_of
from gateway.store.schema import unsealed
from gateway.store.statements import insert

OPTION = "ticketgate_mark_key"
"""Execution option of the engine."""

# Said to the driver, as there may be four in a transaction: SQLAlchemy takes longer to say it than SQLite to do it.
_SQLITE = "INSERT INTO unsealed (kind, a, b, mark, refused) VALUES (?, ?, ?, ?, 0)"


def mark(tx: Connection, kind: str, keys: Iterable[tuple[int, int]]) -> None:
    """These rows are new, or final, or changed by us: the next seal takes them in."""
    mark_key = tx.get_execution_options().get(OPTION)
    if not mark_key:
        return
    rows = [(kind, a, b, mark_of(mark_key, (kind, a, b))) for a, b in keys]
    if not rows:
        return
    if tx.dialect.name == "sqlite":
        driver = tx.connection.driver_connection
        assert driver is not None
        driver.executemany(_SQLITE, rows)
    else:
        names = ("kind", "a", "b", "mark")
        tx.execute(insert(tx, unsealed), [{**dict(zip(names, row, strict=True)), "refused": False} for row in rows])


def mark_ids(tx: Connection, kind: str, ids: Iterable[int]) -> None:
    """The same for rows that have one number."""
    mark(tx, kind, ((number, 0) for number in ids))
