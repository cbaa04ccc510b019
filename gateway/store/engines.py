"""Engines with the settings without which what was answered 250 could be lost (security.md 14.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from gateway.errors import TicketgateError

WRITERS = 4
"""Threads that write, PostgreSQL only."""
READERS = 4
"""Threads that read."""
BUSY_SECONDS = 10
"""How long SQLite waits for another process' lock (backup, a CLI command) before the attempt is a TemporaryError."""

# A host that lost its power says no goodbye: both ends must notice, we for our work, the server for our advisory locks.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
_KEEPALIVE_SERVER = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"


# A gateway that is stopped in the middle of a transaction holds locks that every other one waits for.
_FROZEN = "-c idle_in_transaction_session_timeout=20s"


class UnsafeStorageError(TicketgateError):
    """The database would lose what was answered 250; the daemon must not start on it."""

    def __init__(self, cause: str) -> None:
        super().__init__("trouble", cause)


def sqlite_path(url: str) -> Path:
    """``sqlite:/path`` and ``sqlite:///path`` name the same file."""
    path = url.removeprefix("sqlite:")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    if not path or path == "/" or ":memory:" in path:
        raise UnsafeStorageError("storage url: sqlite: needs the path of a file")
    return Path(path)


def sqlite_engine(path: Path, readonly: bool) -> Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": 256},
        poolclass=sa.QueuePool,
        pool_size=READERS if readonly else 1,
        max_overflow=0 if readonly else 4,
    )

    @sa.event.listens_for(engine, "connect")
    def demand(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves; the driver's own idea of it cannot be IMMEDIATE
        cursor = connection.cursor()
        wanted = {
            "journal_mode": "wal",
            "synchronous": 2,  # FULL: with NORMAL a power cut can take the last commits back
            "foreign_keys": 1,
            "busy_timeout": BUSY_SECONDS * 1000,
        }
        for name, value in wanted.items():
            cursor.execute(f"PRAGMA {name}={value}")
        for name, value in wanted.items():
            (found,) = cursor.execute(f"PRAGMA {name}").fetchone()
            if found != value:
                raise UnsafeStorageError(f"SQLite refuses {name}={value} for {path}: it stays at {found}")
        cursor.execute(f"PRAGMA query_only={int(readonly)}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A deferred BEGIN that writes later fails at once when somebody else wrote meanwhile; IMMEDIATE waits its turn.
        connection.exec_driver_sql("BEGIN" if readonly else "BEGIN IMMEDIATE")

    return engine


def postgresql_engine(url: str) -> Engine:
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": 10,
            "application_name": "ticketgate",
            "options": f"-c lock_timeout=30s {_FROZEN} {_KEEPALIVE_SERVER}",
            **_KEEPALIVE,
        },
        pool_size=WRITERS + READERS,
        max_overflow=2,
        pool_timeout=30,
        pool_pre_ping=True,
    )

    @sa.event.listens_for(engine, "connect")
    def demand(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                cursor.execute(f"SHOW {name}")
                if cursor.fetchone()[0] == "off":
                    raise UnsafeStorageError(f"PostgreSQL has {name}=off: it would lose mail at a power cut")
        connection.rollback()

    return engine
