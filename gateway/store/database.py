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
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.errors import TemporaryError, TicketgateError
from gateway.store.marks import OPTION
from gateway.store.schema import REVISION

T = TypeVar("T")

BATCH = 64
"""Most jobs that share one SQLite transaction."""

BUSY_SECONDS = 10
"""How long SQLite waits for another process' lock (backup, a CLI command) before the attempt is a TemporaryError."""

_WRITERS = 4  # PostgreSQL only
_READERS = 4
_TRIES = 3
_MIGRATION_LOCK = 0x7467  # any number, the same on every host
_RETRIED_STATES = ("40001", "40P01")  # serialization_failure, deadlock_detected
# A host that lost its power says no goodbye: both ends must notice, we for our work, the server for our advisory locks.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000}
_KEEPALIVE_SERVER = "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
_SQLITE_ERROR = 1  # a statement that cannot be right, e.g. an unknown column
_SQLITE_FULL = 13
_SQLITE_UNREADABLE = (11, 26)  # CORRUPT, NOTADB
_SQLITE_FSYNC = (1034, 1290)  # IOERR_FSYNC, IOERR_DIR_FSYNC


class SchemaError(TicketgateError):
    """The database has other tables than this version needs; says what to do. Not worth a retry."""

    def __init__(self, cause: str) -> None:
        super().__init__("trouble", cause)


class ContentionError(TemporaryError):
    """PostgreSQL chose our transaction as a victim each time it was tried: a row that meets this again is held."""


class UnsafeStorageError(TicketgateError):
    """The database would lose what was answered 250; the daemon must not start on it."""

    def __init__(self, cause: str) -> None:
        super().__init__("trouble", cause)


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
        self.sqlite_file: Path | None = None
        if url.startswith("sqlite:"):
            self.sqlite_file = _sqlite_path(url)
            self._engine = _sqlite_engine(self.sqlite_file, readonly=False)
            self._reading = _sqlite_engine(self.sqlite_file, readonly=True)
        elif url.startswith(("postgresql:", "postgres:")):
            self._engine = self._reading = _postgresql_engine(url)
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
        writers = 1 if self.is_sqlite else _WRITERS
        for n in range(writers):
            work = self._work_in_batches if self.is_sqlite else self._work_on_writes
            self._threads.append((threading.Thread(target=work, name=f"store-write-{n}", daemon=True), self._writes))
        for n in range(_READERS):
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
        except Exception as error:  # noqa: BLE001  (as below; a writer that dies would keep everybody waiting)
            # Nothing was committed, so nobody may be told that it was, whatever became of his own savepoint.
            cause = self._meaning(error)
            if not isinstance(cause, TemporaryError):
                cause = TemporaryError(f"database: {cause}")
            for job in jobs:
                job.error = cause

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

    def _work_on_writes(self) -> None:
        """PostgreSQL: one transaction a job."""
        while (job := self._writes.get()) is not None:
            for tries_left in reversed(range(_TRIES)):
                try:
                    job.error = None
                    with self._engine.begin() as tx:
                        job.run(tx)
                    break
                except Exception as error:  # noqa: BLE001  (a worker: the job's error belongs to its asker)
                    job.error = self._meaning(error) if isinstance(error, SQLAlchemyError) else error
                    if _sqlstate(error) not in _RETRIED_STATES:
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
        try:
            with self._reading.begin() as tx:
                if sa.inspect(tx).has_table("alembic_version"):
                    found = tx.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() or "nothing"
                else:
                    found = "nothing"
        except (DBAPIError, PoolTimeout) as error:
            raise self._meaning(error) from error
        if found != REVISION:
            raise SchemaError(f"database schema is {found}, this version needs {REVISION}: run `ticketgate db migrate`")

    def migrate(self) -> None:
        """Bring the tables to this version's schema, forward only; two hosts may call it at the same time."""
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        with self.begin() as tx:
            if tx.dialect.name == "postgresql":
                tx.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config.attributes["connection"] = tx
            command.upgrade(config, "head")


def _sqlite_path(url: str) -> Path:
    """``sqlite:/path`` and ``sqlite:///path`` name the same file."""
    path = url.removeprefix("sqlite:")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    if not path or path == "/" or ":memory:" in path:
        raise UnsafeStorageError("storage url: sqlite: needs the path of a file")
    return Path(path)


def _sqlite_engine(path: Path, readonly: bool) -> Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False, "cached_statements": 256},
        poolclass=sa.QueuePool,
        pool_size=_READERS if readonly else 1,
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


def _postgresql_engine(url: str) -> Engine:
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        connect_args={
            "connect_timeout": 10,
            "application_name": "ticketgate",
            "options": f"-c lock_timeout=30s {_KEEPALIVE_SERVER}",
            **_KEEPALIVE,
        },
        pool_size=_WRITERS + _READERS,
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


def _sqlite_code(error: BaseException) -> int:
    return int(getattr(getattr(error, "orig", None) or error, "sqlite_errorcode", 0) or 0)


def _sqlstate(error: BaseException) -> str:
    return str(getattr(getattr(error, "orig", None), "sqlstate", "") or "")
