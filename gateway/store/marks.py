"""Facts that wait for their seal. Every function that writes a fact calls :func:`mark` in the same transaction.

What waits is the leaf itself, made of the row as this transaction leaves it, so that nobody can put other contents
under a mark. The number of the waiting row is the mark's serial: the database gives none twice, and as whoever writes a
row holds it until the commit, those of one fact grow in the order of its versions, whatever the clocks of the gateways
say.

The key comes with the connection (``Database.mark_with``). A store that is opened without one writes no marks:
what it writes is found by ``ticketgate verify`` as written by somebody without the key.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.seal import SALT_OCTETS, leaf_of, mark_of
from gateway.store.facts import read_facts
from gateway.store.schema import leaves, unsealed

OPTION = "ticketgate_mark_key"
"""Execution option of the engine."""

_LOCK = 0x7468  # PostgreSQL
_AT_ONCE = 400
_NAMES = ("id", "kind", "a", "b", "salt", "digest", "mark")
# Said to the driver, as there may be four in a transaction: SQLAlchemy takes longer to say it than SQLite to do it.
_SQLITE = f"INSERT INTO unsealed ({', '.join(_NAMES)}, refused) VALUES (?, ?, ?, ?, ?, ?, ?, 0)"
_LAST_SERIAL = "SELECT seq FROM sqlite_sequence WHERE name = 'unsealed'"
_SEQUENCE = "pg_get_serial_sequence('unsealed', 'id')"


def mark(tx: Connection, kind: str, keys: Iterable[tuple[int, int]]) -> None:
    """These rows are new, or final, or changed by us: the next seal takes them in, as they are now."""
    mark_key = tx.get_execution_options().get(OPTION)
    if not mark_key or not (wanted := list(keys)):
        return
    rows = []
    facts = read_facts(tx, kind, wanted)
    for (key, values), serial in zip(facts.items(), _take_serials(tx, len(facts)), strict=True):
        fact, salt = (kind, *key), os.urandom(SALT_OCTETS)
        leaf = leaf_of(kind, salt, values)
        rows.append((serial, *fact, salt, leaf, mark_of(mark_key, fact, serial, salt, leaf)))
    if not rows:
        return
    if tx.dialect.name == "sqlite":
        driver = tx.connection.driver_connection
        assert driver is not None
        driver.executemany(_SQLITE, rows)
    else:
        tx.execute(sa.insert(unsealed), [{**dict(zip(_NAMES, row, strict=True)), "refused": False} for row in rows])


def mark_ids(tx: Connection, kind: str, ids: Iterable[int]) -> None:
    """The same for rows that have one number."""
    mark(tx, kind, ((number, 0) for number in ids))


def unmark(tx: Connection, kind: str, keys: Collection[tuple[int, int]]) -> None:
    """What waited of these rows never will be sealed."""
    wanted = list(keys)
    for start in range(0, len(wanted), _AT_ONCE):
        some = sa.or_(*((unsealed.c.a == a) & (unsealed.c.b == b) for a, b in wanted[start : start + _AT_ONCE]))
        tx.execute(sa.delete(unsealed).where(unsealed.c.kind == kind, some))


def hold_sealing(tx: Connection) -> None:
    """Until this transaction ends nobody else seals or takes leaves back. SQLite has one writer anyway."""
    if tx.dialect.name == "postgresql":
        tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def go_on_behind(tx: Connection) -> None:
    """Serials go on behind all that were used: a sequence may have been put back without them."""
    used = sa.select(sa.func.max(leaves.c.serial)).scalar_subquery()
    waits = sa.select(sa.func.max(unsealed.c.id)).scalar_subquery()
    row = tx.execute(sa.select(used.label("used"), waits.label("waits"))).one()
    highest = max(row.used or 0, row.waits or 0)
    if tx.dialect.name == "postgresql":
        text = f"SELECT setval({_SEQUENCE}, greatest(nextval({_SEQUENCE}), :highest + 1), false)"
        tx.execute(sa.text(text), {"highest": highest})
    elif (tx.exec_driver_sql(_LAST_SERIAL).scalar() or 0) < highest:
        tx.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = 'unsealed'")
        tx.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES ('unsealed', ?)", (highest,))


def _take_serials(tx: Connection, count: int) -> Iterable[int]:
    if tx.dialect.name == "sqlite":
        driver = tx.connection.driver_connection
        assert driver is not None
        row = driver.execute(_LAST_SERIAL).fetchone()
        first = (row[0] if row else 0) + 1
        return range(first, first + count)
    text = f"SELECT nextval({_SEQUENCE}) FROM generate_series(1, {count:d})"
    return [int(row[0]) for row in tx.exec_driver_sql(text)]
