"""The database as it lies there, read with plain SQL and nothing of the gateway's."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import Any, Protocol
from urllib.parse import quote

import psycopg
import zstandard
from psycopg.rows import dict_row

TABLES = ("journal", "raw", "tickets", "persons", "events", "deliveries", "timers", "held", "imap_positions")


class Rows(Protocol):
    """Questions to a database."""

    def ask(self, statement: str) -> list[dict[str, Any]]:
        """Rows of a SELECT."""

    def execute(self, statement: str) -> None:
        """Change something: tests that harm a database on purpose, or let time pass."""


class SqliteRows:
    """A file; opened for each question only, so that nobody is kept from anything."""

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self, statement: str) -> list[dict[str, Any]]:
        with closing(sqlite3.connect(f"file:{quote(self._path)}?mode=ro", uri=True, timeout=20)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(statement)]

    def execute(self, statement: str) -> None:
        with closing(sqlite3.connect(self._path, timeout=20)) as connection, connection:
            connection.execute(statement)


class PostgresRows:
    """A server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, statement: str) -> list[dict[str, Any]]:
        with psycopg.connect(self._url, row_factory=dict_row) as connection:
            return connection.execute(statement).fetchall()

    def execute(self, statement: str) -> None:
        with psycopg.connect(self._url) as connection:
            connection.execute(statement)


def connect(url: str) -> Rows:
    """``url`` as in [storage]."""
    return SqliteRows(url.removeprefix("sqlite:")) if url.startswith("sqlite:") else PostgresRows(url)


_WAITING = {
    "journal": ("id, state, outcome, attempts, due_at, lease_owner", "state IN ('received', 'waiting')"),
    "deliveries": (
        "id, ticket, kind, recipient, automatic, state, attempt, due_at, lease_owner, reply",
        "state IN ('queued', 'transmitting', 'deferred')",
    ),
    "timers": ("id, kind, ticket, party, due_at, claim_at, lease_owner", "due_at <= {until}"),
    "sent_copies": ("delivery, account, attempts, due_at, reply", "due_at IS NOT NULL"),
}
"""What is not done yet: the columns that say why, and which rows."""


def is_at_rest(rows: Rows) -> bool:
    """Nothing is left to decide, to send, to copy, or due."""
    until = int(time.time() * 1_000_000)
    counts = [
        f"(SELECT count(*) FROM {table} WHERE {which.format(until=until)})" for table, (_, which) in _WAITING.items()
    ]
    (row,) = rows.ask(f"SELECT {' + '.join(counts)} AS n")
    return not row["n"]


def find_waiting(rows: Rows, within: float = 0.0) -> list[str]:
    """Each row left to decide, to send, to copy, or due within so many seconds, as a line for whoever asks why."""
    now = time.time()
    found = []
    for table, (columns, which) in _WAITING.items():
        where = which.format(until=int((now + within) * 1_000_000))
        for row in rows.ask(f"SELECT {columns} FROM {table} WHERE {where} ORDER BY 1"):
            words = [f"{name}={_when(value, now) if name.endswith('_at') else value}" for name, value in row.items()]
            found.append(f"{table}: {' '.join(words)}")
    return found


def _when(moment: int | None, now: float) -> str:
    return "never" if moment is None else f"{moment / 1_000_000 - now:+.1f}s"


def dump(rows: Rows) -> dict[str, list[dict[str, Any]]]:
    """Every row of the tables that matter; raw mails unpacked, JSON read."""
    found = {table: rows.ask(f"SELECT * FROM {table} ORDER BY 1") for table in TABLES}
    for row in found["raw"]:
        row["content"] = zstandard.ZstdDecompressor().decompress(bytes(row["content"]), max_output_size=row["size"])
    for row in found["deliveries"]:
        row["content"] = bytes(row["content"])
    for row in found["tickets"]:
        row["tags"] = json.loads(row["tags"]) if isinstance(row["tags"], str) else row["tags"]
    return found
