"""What of a row is sealed: its columns as stored, read alike for sealing and for verifying.

Left out is what work in progress moves (attempts, leases, times of the next try), and what follows from the rest
(states and owners of tickets, the search index, message ids).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Connection, LargeBinary, Text
from sqlalchemy.dialects import postgresql, sqlite

from gateway import seal
from gateway.seal import FactKey
from gateway.store.columns import Json, Moment
from gateway.store.schema import deliveries, erasures, events, journal

_AT_ONCE = 400
_ONE_BY_ONE = 20  # SQLite: so few rows are read sooner by a statement that it has parsed already
_OPEN = {
    seal.DECIDED: frozenset({"received", "waiting"}),
    seal.ENDED: frozenset({"queued", "transmitting", "deferred", "held"}),
}
"""States in which nothing is decided or ended: they all seal alike, so that work in progress seals nothing."""

_COLUMNS: dict[str, tuple[sa.Column[Any], ...]] = {
    seal.RECEIVED: (
        journal.c.id,
        *(journal.c[name] for name in ("sha256", "recipient_key", "recipient", "reverse_path", "inbox", "source")),
        *(journal.c[name] for name in ("received_at", "client_address", "helo", "trusted", "queue_id", "submitter")),
        journal.c.position,
    ),
    seal.DECIDED: (
        journal.c.id,
        *(journal.c[name] for name in ("state", "outcome", "reason", "ticket", "event", "opened", "author", "proof")),
        *(journal.c[name] for name in ("message_id", "date", "body_sha256", "story")),
    ),
    seal.EVENT: (
        events.c.ticket,
        events.c.number,
        *(events.c[name] for name in ("kind", "at", "party", "public", "text", "message_id", "reason", "answers")),
        *(events.c[name] for name in ("attachments", "journal", "data")),
    ),
    seal.QUEUED: (
        deliveries.c.id,
        *(deliveries.c[name] for name in ("ticket", "event", "party", "kind", "message_id", "reverse_path")),
        *(deliveries.c[name] for name in ("recipient", "content", "automatic", "public", "author", "queued_at")),
        deliveries.c.cause,
    ),
    seal.ENDED: (deliveries.c.id, *(deliveries.c[name] for name in ("state", "attempt", "ended_at", "reply"))),
    seal.ERASURE: (erasures.c.id, *(erasures.c[name] for name in ("at", "why", "facts", "counts", "rows_gone"))),
}


def _as_stored(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Times as numbers and JSON as its text: nothing is converted that might be converted otherwise tomorrow."""
    if isinstance(column.type, Moment):
        return sa.type_coerce(column, BigInteger)
    return sa.type_coerce(column, Text) if isinstance(column.type, Json) else column


_SELECT = {kind: sa.select(*map(_as_stored, columns)) for kind, columns in _COLUMNS.items()}
_ALL = {
    kind: _SELECT[kind].order_by(*_COLUMNS[kind][: 2 if kind == seal.EVENT else 1]).execution_options(yield_per=500)
    for kind in seal.KINDS
}


@cache
def _sql(dialect: str, kind: str) -> str:
    spoken = postgresql.dialect() if dialect == "postgresql" else sqlite.dialect()  # type: ignore[no-untyped-call]
    return str(_SELECT[kind].compile(dialect=spoken))


@cache
def _one(kind: str) -> str:
    condition = "ticket = ? AND number = ?" if kind == seal.EVENT else "id = ?"
    return f"{_sql('sqlite', kind)} WHERE {condition}"


def read_facts(tx: Connection, kind: str, keys: Collection[tuple[int, int]]) -> Mapping[tuple[int, int], list[Any]]:
    """The sealed values of these rows; a row that is not there is left out."""
    found: dict[tuple[int, int], list[Any]] = {}
    if tx.dialect.name == "sqlite" and len(keys) <= _ONE_BY_ONE:
        driver = tx.connection.driver_connection
        assert driver is not None
        statement = _one(kind)
        for key in keys:
            found.update(_values(kind, driver.execute(statement, key if kind == seal.EVENT else key[:1]).fetchall()))
        return found
    # Numbers of our own, written into the statement: to bind hundreds of them takes longer than to read the rows.
    names = "(ticket, number)" if kind == seal.EVENT else "id"
    wanted = [f"({a:d}, {b:d})" if kind == seal.EVENT else f"{a:d}" for a, b in keys]
    values = "VALUES " if kind == seal.EVENT else ""
    for start in range(0, len(wanted), _AT_ONCE):
        some = ", ".join(wanted[start : start + _AT_ONCE])
        rows = tx.exec_driver_sql(f"{_sql(tx.dialect.name, kind)} WHERE {names} IN ({values}{some})").all()
        found.update(_values(kind, rows))
    return found


def read_all(tx: Connection, kind: str) -> Iterator[tuple[tuple[int, int], list[Any]]]:
    """Every row of a kind with its sealed values, in the order of their keys; not all in memory at once."""
    return _values(kind, tx.execute(_ALL[kind]))


def is_open(kind: str, values: list[Any]) -> bool:
    """Whether nothing was decided or nothing ended yet: such a row needs no leaf."""
    return values == ["open"]


@cache
def _positions(kind: str, wanted: type[Any], numbers: int) -> tuple[int, ...]:
    """Where values of this type stand among the sealed ones, behind the numbers of the row."""
    columns = _COLUMNS[kind][numbers:]
    return tuple(position for position, column in enumerate(columns) if isinstance(column.type, wanted))


def _values(kind: str, rows: Iterable[Any]) -> Iterator[tuple[tuple[int, int], list[Any]]]:
    numbers = 2 if kind == seal.EVENT else 1
    unfinished = _OPEN.get(kind)
    booleans, blobs = _positions(kind, Boolean, numbers), _positions(kind, LargeBinary, numbers)
    for row in rows:
        key = (int(row[0]), int(row[1]) if numbers == 2 else 0)
        values = list(row[numbers:])
        if unfinished is not None and values[0] in unfinished:
            values = ["open"]
        else:
            for position in booleans:  # by position: to ask each value what it is was a third of the cost of sealing
                if values[position] is not None:
                    values[position] = int(values[position])
            for position in blobs:
                if values[position] is not None:
                    values[position] = hashlib.sha256(values[position]).hexdigest()
        yield key, values


def name_of(fact: FactKey) -> str:
    """A row as people would name it."""
    kind, a, b = fact
    words = {
        seal.RECEIVED: f"mail received {a}",
        seal.DECIDED: f"the decision about mail {a}",
        seal.EVENT: f"event {b} of ticket {a}",
        seal.QUEUED: f"outgoing mail {a}",
        seal.ENDED: f"the end of outgoing mail {a}",
        seal.ERASURE: f"erasure {a}",
    }
    return words.get(kind, f"{kind} {a}")
