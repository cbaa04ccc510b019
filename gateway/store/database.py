"""One database, SQLite or PostgreSQL: transactions, demanded settings, group commit (security.md 14.1, libraries.md 8).

A function that touches the database takes a ``Connection`` and is given to :meth:`Database.write` or
:meth:`Database.read`. On SQLite one thread writes: it runs the jobs that wait in one transaction, each in its own
savepoint, and reports them done after the commit, so one fsync serves many mails. On PostgreSQL each job has its own
transaction in one of a few threads. Jobs may be run again (PostgreSQL deadlocks) and must do nothing but SQL.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.errors import TemporaryError, TicketgateError
from gateway.store import revisions
from gateway.store.engines import READERS, WRITERS, postgresql_engine, sqlite_engine, sqlite_path
from gateway.store.engines import UnsafeStorageError as UnsafeStorageError
from gateway.store.marks import OPTION
from gateway.store.revisions import SchemaError as SchemaError
from gateway.store.schema import REVISION

T = TypeVar("T")

BATCH = 64
"""Most jobs that share one SQLite transaction."""

_TRIES = 3
_RETRIED_STATES = ("40001", "40P01")  # serialization_failure, deadlock_detected
_SQLITE_ERROR = 1  # a statement that cannot be right, e.g. an unknown column
_SQLITE_FULL = 13
_SQLITE_UNREADABLE = (11, 26)  # CORRUPT, NOTADB
_SQLITE_FSYNC = (1034, 1290)  # IOERR_FSYNC, IOERR_DIR_FSYNC


class ContentionError(TemporaryError):
    """PostgreSQL chose our transaction as a victim each time it was tried: a row that meets this again is held."""


class _Job(Generic[T]):
    """One function that waits for a connection, and the future of who asked.

    The asker may be cancelled at any time; the job is run all the same, because it may be in a transaction already.
    """

    __slots__ = ("error", "fn", "future", "loop", "result")

    def __init__(self, fn: Callable[[Connection], T]) -> None:
        self.fn = fn
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self.loop.create_future()
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self, tx: Connection) -> None:
        self.result = self.fn(tx)

    def settle(self) -> None:
        """Hand result or error to the asker (in the asker's loop)."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


def _report(jobs: list[_Job[Any]]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[_Job[Any]]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, mine in loops.items():
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, mine)


def _settle(jobs: list[_Job[Any]]) -> None:
    for job in jobs:
        job.settle()


class Database:
    """The store. ``url``: ``sqlite:/path/to/file`` or ``postgresql://…``.

    Threads are daemons: a crash of the interpreter never waits for them; what was not committed was not promised.
    """

    def __init__(self, url: str) -> None:
        self.broken = ""
        """Why nothing may be written any more (a failed fsync): the daemon ends at once. "" while all is well.

        Nothing is closed in good order then: SQLite would sync again, succeed, and prove nothing.
        """
        self.on_broken: Callable[[], object] = lambda: None
        """Called in the thread that found it, once."""
        self.on_trouble: Callable[[str], object] = lambda cause: None
        """Called in the thread that met it: why a transaction failed for want of a database; "": they go well again."""
        self._in_trouble = False
        self.withheld = ""
        """Why :meth:`write` and :meth:`read` are refused for now, e.g. tables that wait to be migrated; "": not."""
        self.sqlite_file: Path | None = None
        if url.startswith("sqlite:"):
            self.sqlite_file = sqlite_path(url)
            self._engine = sqlite_engine(self.sqlite_file, readonly=False)
            self._reading = sqlite_engine(self.sqlite_file, readonly=True)
        elif url.startswith(("postgresql:", "postgres:")):
            self._engine = self._reading = postgresql_engine(url)
        else:
            raise UnsafeStorageError(f"storage url {url.partition(':')[0]!r}: only sqlite: and postgresql: are known")
        self._writes: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._reads: SimpleQueue[_Job[Any] | None] = SimpleQueue()
        self._threads: list[tuple[threading.Thread, SimpleQueue[_Job[Any] | None]]] = []
        self._starting = threading.Lock()
        self._closed = False

    def mark_with(self, mark_key: bytes) -> None:
        """Mark what is written from now on as written by the installation (``SealKey.mark_key``)."""
        self._engine.update_execution_options(**{OPTION: mark_key})

    @property
    def is_sqlite(self) -> bool:
        return self.sqlite_file is not None

    # -------------------------------------------------------------- asking

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` in a writing transaction and return its result after the commit.

        Raises TemporaryError when the database cannot do it now, or what ``fn`` raised. Cancelling the caller does not
        stop the job.
        """
        if self.broken:
            raise TemporaryError(self.broken)
        return await self._ask(self._writes, fn)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run ``fn`` on a reading connection: one consistent snapshot on SQLite, read committed on PostgreSQL."""
        return await self._ask(self._reads, fn)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A writing transaction in the calling thread: for commands and tests, never on the event loop."""
        if self.broken:
            raise TemporaryError(self.broken)
        try:
            with self._engine.begin() as tx:
                if not self.is_sqlite:  # a command may reckon, or ask a person, for longer than a frozen gateway may
                    tx.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                yield tx
        except (DBAPIError, PoolTimeout) as error:
            raise self._meaning(error) from error

    def connection_of_its_own(self) -> Connection:
        """PostgreSQL: one more connection, outside the pool, each statement its own transaction; who asked closes it.

        Raises TemporaryError.
        """
        try:
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()
            return connection
        except (DBAPIError, PoolTimeout) as error:
            raise self._meaning(error) from error

    def close(self) -> None:
        """Finish the jobs that wait, then close all connections. Later jobs are refused."""
        with self._starting:
            self._closed = True
            threads = list(self._threads)
        for _, queue in threads:
            queue.put(None)
        for thread, _ in threads:
            thread.join()
        self._engine.dispose()
        self._reading.dispose()

    async def _ask(self, queue: SimpleQueue[_Job[Any] | None], fn: Callable[[Connection], T]) -> T:
        if self.withheld:
            raise TemporaryError(self.withheld)
        job = _Job(fn)
        with self._starting:
            if self._closed:
                raise TemporaryError("the database is closed")
            if not self._threads:
                self._start()
            queue.put(job)
        return await job.future

    def _start(self) -> None:
        # Threads start with the first job, not in __init__: a command that only uses begin() has none.
        writers = 1 if self.is_sqlite else WRITERS
        for n in range(writers):
            work = self._work_in_batches if self.is_sqlite else self._work_on_writes
            self._threads.append((threading.Thread(target=work, name=f"store-write-{n}", daemon=True), self._writes))
        for n in range(READERS):
            reader = threading.Thread(target=self._work_on_reads, name=f"store-read-{n}", daemon=True)
            self._threads.append((reader, self._reads))
        for thread, _ in self._threads:
            thread.start()

    # -------------------------------------------------------------- the threads

    def _work_in_batches(self) -> None:
        """SQLite: group commit."""
        while (first := self._writes.get()) is not None:
            jobs, last = [first], False
            while len(jobs) < BATCH and not last:
                try:
                    job = self._writes.get_nowait()
                except Empty:
                    break
                if job is None:
                    last = True
                else:
                    jobs.append(job)
            self._run_batch(jobs)
            _report(jobs)
            if last:
                return

    def _run_batch(self, jobs: list[_Job[Any]]) -> None:
        try:
            with self.begin() as tx:
                for job in jobs:
                    self._run_in_savepoint(tx, job)
            self._tell()
        except Exception as error:  # noqa: BLE001  (as below; a writer that dies would keep everybody waiting)
            # Nothing was committed, so nobody may be told that it was, whatever became of his own savepoint.
            cause = self._meaning(error)
            if not isinstance(cause, TemporaryError):
                cause = TemporaryError(f"database: {cause}")
            for job in jobs:
                job.error = cause
            self._tell(str(cause))

    def _run_in_savepoint(self, tx: Connection, job: _Job[Any]) -> None:
        # Said to the driver: SQLAlchemy compiles a savepoint anew each time, a third of the cost of taking in a mail.
        driver = tx.connection.driver_connection
        assert driver is not None
        driver.execute("SAVEPOINT job")
        try:
            job.run(tx)
            driver.execute("RELEASE job")
        except Exception as error:
            if isinstance(error, OperationalError) and _sqlite_code(error) & 0xFF != _SQLITE_ERROR:
                # Disk full, I/O error, locked: SQLite may have rolled back everything, so the batch fails together.
                raise
            driver.execute("ROLLBACK TO job")
            driver.execute("RELEASE job")
            job.error = self._meaning(error) if isinstance(error, DBAPIError) else error

    def _tell(self, trouble: str = "") -> None:
        if trouble or self._in_trouble:
            self._in_trouble = bool(trouble)
            self.on_trouble(trouble)

    def _work_on_writes(self) -> None:
        """PostgreSQL: one transaction a job."""
        while (job := self._writes.get()) is not None:
            for tries_left in reversed(range(_TRIES)):
                try:
                    job.error = None
                    with self._engine.begin() as tx:
                        job.run(tx)
                    self._tell()
                    break
                except Exception as error:  # noqa: BLE001  (a worker: the job's error belongs to its asker)
                    job.error = self._meaning(error) if isinstance(error, SQLAlchemyError) else error
                    if _sqlstate(error) not in _RETRIED_STATES:
                        if job.error is not error and isinstance(job.error, TemporaryError):
                            self._tell(str(job.error))
                        break
                    if not tries_left:
                        job.error = ContentionError(str(job.error))
                        break
                    time.sleep(random.uniform(0.01, 0.05) * 4 ** (_TRIES - 1 - tries_left))
            _report([job])

    def _work_on_reads(self) -> None:
        while (job := self._reads.get()) is not None:
            try:
                with self._reading.begin() as tx:
                    job.run(tx)
            except Exception as error:  # noqa: BLE001  (as above)
                job.error = self._meaning(error) if isinstance(error, SQLAlchemyError) else error
            _report([job])

    def _meaning(self, error: BaseException) -> Exception:
        """Trouble of the database is temporary; a violated constraint or a wrong statement is a fault of ours."""
        cause = " ".join(str(getattr(error, "orig", None) or error).split())[:300]
        if isinstance(error, TicketgateError):
            return error
        if isinstance(error, PoolTimeout):
            return TemporaryError(f"no connection free: {cause}")
        if isinstance(error, DBAPIError):
            code, state = _sqlite_code(error), _sqlstate(error)
            if code in _SQLITE_FSYNC:
                # The kernel may have dropped the dirty pages: a second fsync would succeed and prove nothing.
                fresh, self.broken = not self.broken, f"fsync failed: {cause}"
                if fresh:
                    self.on_broken()
            if code & 0xFF == _SQLITE_FULL or state == "53100":
                return TemporaryError(f"database: {cause}", "no-space")
            unreadable = code & 0xFF in _SQLITE_UNREADABLE  # a person puts a good file there, and everything goes on
            if isinstance(error, OperationalError) or error.connection_invalidated or unreadable:
                return TemporaryError(f"database: {cause}")
        return error if isinstance(error, Exception) else TemporaryError(cause)

    # -------------------------------------------------------------- settings and schema

    def check(self) -> None:
        """Verify that the demanded settings hold and the tables are those of this version.

        Raises UnsafeStorageError, SchemaError, or TemporaryError when the database cannot be reached.
        """
        revisions.demand(self.find_revision())

    def find_revision(self) -> str:
        """The revision of the tables; "" where there are none. Raises as :meth:`check`, but no SchemaError."""
        try:
            with self._reading.begin() as tx:
                return revisions.find_revision(tx)
        except (DBAPIError, PoolTimeout) as error:
            raise self._meaning(error) from error

    def migrate(self) -> None:
        """Bring the tables to this version's schema in one transaction; two hosts may call it at the same time.

        Raises SchemaError for a database from the future. What must have been done before: safekeeping/upgrade.
        """
        if self.find_revision() == REVISION:
            return
        try:
            with self._engine.connect() as connection, self._without_foreign_keys(connection), connection.begin():
                revisions.migrate(connection)
                if self.is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise SchemaError("the migration would leave rows that refer to nothing: it was not done")
        except (DBAPIError, PoolTimeout) as error:
            raise self._meaning(error) from error

    @contextmanager
    def _without_foreign_keys(self, connection: Connection) -> Iterator[None]:
        """SQLite changes a table by making another and dropping it, and a table that others refer to cannot be dropped.

        The setting does nothing inside a transaction (sqlite.org/lang_altertable.html, section 7).
        """
        driver: Any = connection.connection.driver_connection
        if not self.is_sqlite:
            yield
            return
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            yield
        finally:
            driver.execute("PRAGMA foreign_keys=ON")

    def pin(self) -> None:
        """Open no connection to other tables than this version's from now on (PostgreSQL): SchemaError instead.

        A gateway that was cut off from its server, and so lost its lock, may come back to tables that were migrated.
        """

        if not self.is_sqlite and not sa.event.contains(self._engine, "connect", _demand_revision):
            sa.event.listen(self._engine, "connect", _demand_revision)

    def let_go(self) -> None:
        """Close the connections that nobody uses now; the next job opens others."""
        self._engine.dispose()
        self._reading.dispose()


def _demand_revision(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT version_num FROM alembic_version")
        found = cursor.fetchone()
    connection.rollback()
    revisions.demand(found[0] if found else "")


def _sqlite_code(error: BaseException) -> int:
    return int(getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", 0) or 0)


def _sqlstate(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", "") or "")
