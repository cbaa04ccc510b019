"""A consistent copy of the whole store while it is written to, and putting one back; on both databases.

SQLite: the online backup of the library, in one step: one read transaction, so that a writer neither waits nor spoils
it. PostgreSQL: every table by COPY in one repeatable-read transaction; no program and no version of pg_dump is needed.
Putting back is all or nothing: a new file that is renamed, or one transaction.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import zstandard
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import TemporaryError, TicketgateError
from gateway.store.database import Database
from gateway.store.presence import TABLES, lock_of
from gateway.store.recovery import sent_keys
from gateway.store.revisions import find_revision, migrate
from gateway.store.schema import REVISION, deliveries, journal, metadata, tickets

DATABASE = "ticketgate.db"
"""The file of a SQLite copy."""

_INDEX = "search"  # PostgreSQL: a table, but none of the schema
_INDEX_COLUMNS = ("ticket", "event", "vector")


class CopyError(TicketgateError):
    """A copy cannot be made or put back; says why. Nothing was changed."""

    def __init__(self, cause: str) -> None:
        super().__init__("trouble", cause)


# ------------------------------------------------------------------ out


def copy_out(database: Database, folder: Path, look: Callable[[Connection], None]) -> None:
    """Write a copy of the store into a folder; ``look`` is called inside the snapshot that is copied."""
    if database.sqlite_file is not None:
        _copy_file(database.sqlite_file, folder / DATABASE)
        copy = Database(f"sqlite:{folder / DATABASE}")
        try:
            with copy.begin() as tx:
                look(tx)
        finally:
            copy.close()
        for ending in ("-wal", "-shm"):  # emptied into the file when it was closed
            (folder / f"{DATABASE}{ending}").unlink(missing_ok=True)
        return
    with database.begin() as tx:
        tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        look(tx)
        ours = find_revision(tx) == REVISION
        for name, columns in _tables() if ours else _tables_found(tx):
            _copy_table(tx, name, columns, folder / f"{name}.copy.zst")


def _copy_file(source: Path, target: Path) -> None:
    if not source.exists():
        raise CopyError(f"{source} does not exist")
    try:
        origin = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)
        copy = sqlite3.connect(target)
        try:
            origin.backup(copy, pages=-1)
            (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        finally:
            copy.close()
            origin.close()
    except sqlite3.OperationalError as error:  # locked, no space: later
        place = target if error.sqlite_errorname in ("SQLITE_FULL", "SQLITE_CANTOPEN") else source
        raise TemporaryError(f"{place}: {error}") from error
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        raise CopyError(f"{source} is damaged, there is nothing sound to copy: {verdict}")


def _tables() -> Iterator[tuple[str, tuple[str, ...]]]:
    """PostgreSQL: the tables of this version and their columns, those first that others refer to."""
    for table in metadata.sorted_tables:
        yield table.name, tuple(column.name for column in table.columns)
    yield _INDEX, _INDEX_COLUMNS


def _tables_found(tx: Connection) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The same of a database that has the tables of another version, as they are there."""
    inspector = sa.inspect(tx)
    order = inspector.get_sorted_table_and_fkc_names()
    for name in [name for name, _ in order if name is not None and name != "alembic_version"]:
        yield name, tuple(column["name"] for column in inspector.get_columns(name) if not column.get("computed"))


def _cursor(tx: Connection) -> Any:
    connection = tx.connection.driver_connection
    assert connection is not None
    return connection.cursor()


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _copy_table(tx: Connection, name: str, columns: tuple[str, ...], target: Path) -> None:
    with (
        target.open("wb") as file,
        zstandard.ZstdCompressor(level=3).stream_writer(file) as packed,
        _cursor(tx) as cursor,
        cursor.copy(f'COPY "{name}" ({_quoted(columns)}) TO STDOUT') as rows,
    ):
        for block in rows:
            packed.write(bytes(block))


# ------------------------------------------------------------------ in


@contextmanager
def alone(database: Database) -> Iterator[None]:
    """Nobody else works on the store while this lasts. Raises CopyError when somebody does."""
    path = database.sqlite_file
    if path is None:
        with _alone_on_server(database):
            yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise CopyError(f"a gateway is running on {path}: stop it first") from error
    try:
        yield
    finally:
        os.close(lock)


LINGERING = 3.0
"""Seconds: a server notices a moment later than the service manager that a gateway has ended."""
_OTHERS = sa.text(
    "SELECT coalesce(host(client_addr), 'this host') AS place, count(*) AS n FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = 'ticketgate' AND pid <> pg_backend_pid()"
    " GROUP BY 1 ORDER BY 1"
)


@contextmanager
def _alone_on_server(database: Database) -> Iterator[None]:
    """The lock that keeps gateways out, and no connection of one that lost its own but not the others."""
    database.let_go()
    patience = time.monotonic() + LINGERING
    while (own := _lock_out(database, last=time.monotonic() > patience)) is None:
        time.sleep(0.1)
    try:
        yield
    finally:
        own.close()


def _lock_out(database: Database, *, last: bool) -> Connection | None:
    """A connection that has the lock alone; None when somebody is there, CopyError when this was the ``last`` try."""
    own = database.connection_of_its_own()
    try:
        free = own.scalar(sa.select(sa.func.pg_try_advisory_lock(lock_of(TABLES))))
        others = own.execute(_OTHERS).all()
    except SQLAlchemyError as error:
        own.close()
        raise TemporaryError(f"database: {error}") from error
    if free and not others:
        return own
    own.close()
    if last:
        count, places = sum(row.n for row in others), ", ".join(row.place for row in others)
        raise CopyError(
            f"{count} connections of ticketgate are open on this database (from {places or 'nowhere'}):"
            " stop every gateway first"
        )
    return None


def is_empty(database: Database) -> bool:
    """Whether there is nothing that could be overwritten. A store that cannot be read is not empty."""
    if database.sqlite_file is not None and not database.sqlite_file.exists():
        return True
    try:
        with database.begin() as tx:
            if not sa.inspect(tx).has_table(journal.name):
                return True
            counted = [tx.execute(sa.select(sa.func.count()).select_from(t)).scalar_one() for t in (journal, tickets)]
            return not any(counted)
    except (TemporaryError, SQLAlchemyError):
        return False


def find_sent(database: Database, since: datetime) -> list[str]:
    """Keys of what the store that is about to be replaced has sent since; nothing when it cannot be read."""
    try:
        with database.begin() as tx:
            gone = (deliveries.c.state == "sent") & (deliveries.c.ended_at >= since)
            return list(sent_keys(tx, list(tx.execute(sa.select(deliveries.c.id).where(gone)).scalars())).values())
    except (TemporaryError, TicketgateError, SQLAlchemyError):
        return []


def put_back_file(database: Database, folder: Path, aside: str, prepare: Callable[[Connection], None]) -> Path | None:
    """SQLite: make the copy the store. What was there stays beside it, under the name that is returned.

    ``prepare`` works on the copy before anybody can see it.
    """
    path = database.sqlite_file
    assert path is not None
    database.close()
    fresh = path.with_name(path.name + ".restoring")
    for ending in ("", "-wal", "-shm"):
        Path(f"{fresh}{ending}").unlink(missing_ok=True)
    try:
        _copy_bytes(folder / DATABASE, fresh)
        copy = Database(f"sqlite:{fresh}")
        try:
            copy.migrate()
            copy.check()
            with copy.begin() as tx:
                prepare(tx)
        finally:
            copy.close()
        _sync(fresh)
    except BaseException as error:
        for ending in ("", "-wal", "-shm"):
            Path(f"{fresh}{ending}").unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CopyError(f"{fresh} cannot be written: {error.strerror}; nothing was changed") from error
        raise
    kept = path.with_name(path.name + aside) if path.exists() else None
    if kept is not None:
        os.link(path, kept)
        for ending in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{path}{ending}").rename(f"{kept}{ending}")
    fresh.rename(path)
    _sync(path.parent)
    return kept


def put_back_tables(
    database: Database, folder: Path, revision: str, aside: str, prepare: Callable[[Connection], None]
) -> str:
    """PostgreSQL: replace everything by the copy in one transaction, and bring its tables to this version's.

    Tables of this version are emptied. Others, which a migration made or has not made yet, are set aside whole, in a
    schema of the database whose name is returned.
    """
    if not database.find_revision():
        database.migrate()
    with database.begin() as tx:
        same = find_revision(tx) == revision == REVISION
        if same:
            names = ", ".join(f'"{name}"' for name, _ in _tables())
            tx.execute(sa.text(f"TRUNCATE {names}"))
        else:
            _set_aside(tx, aside)
            migrate(tx, revision)
        for name, columns in list(_tables() if same else _tables_found(tx)):
            _load_table(tx, name, columns, folder / f"{name}.copy.zst")
        for table in metadata.sorted_tables:
            _go_on_counting(tx, table)
        migrate(tx)
        prepare(tx)
    return "" if same else aside


def _set_aside(tx: Connection, schema: str) -> None:
    """Move all tables, with their indexes and sequences, into a schema that is made for them."""
    tx.execute(sa.text(f'CREATE SCHEMA "{schema}"'))
    for name in sa.inspect(tx).get_table_names():
        tx.execute(sa.text(f'ALTER TABLE "{name}" SET SCHEMA "{schema}"'))


def _load_table(tx: Connection, name: str, columns: tuple[str, ...], source: Path) -> None:
    with (
        source.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as plain,
        _cursor(tx) as cursor,
        cursor.copy(f'COPY "{name}" ({_quoted(columns)}) FROM STDIN') as rows,
    ):
        while block := plain.read(1 << 18):
            rows.write(block)


def _go_on_counting(tx: Connection, table: sa.Table) -> None:
    """Numbers go on behind the highest that was copied: COPY does not move a sequence."""
    column = table.autoincrement_column
    if column is None:
        return
    statement = (
        "SELECT setval(pg_get_serial_sequence(:table, :column), m + 1, false)"
        f' FROM (SELECT coalesce(max("{column.name}"), 0) AS m FROM "{table.name}") AS highest'
        " WHERE pg_get_serial_sequence(:table, :column) IS NOT NULL"
    )
    tx.execute(sa.text(statement), {"table": table.name, "column": column.name})


def _copy_bytes(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with source.open("rb") as origin, os.fdopen(descriptor, "wb") as copy:
        shutil.copyfileobj(origin, copy, 1 << 20)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
