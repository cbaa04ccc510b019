"""Settings, transactions, group commit, migrations."""

import asyncio
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.errors import TemporaryError
from gateway.store import engines
from gateway.store.database import BATCH, Database, SchemaError, UnsafeStorageError
from gateway.store.schema import REVISION, counters, metadata
from tests.support.databases import start_postgresql
from tests.support.real import need, refuse


def _count(tx: sa.Connection) -> int:
    return tx.execute(sa.select(sa.func.count()).select_from(counters)).scalar_one()


def _add(name: str, value: int = 1):
    return lambda tx: tx.execute(sa.insert(counters).values(name=name, value=value))


def test_sqlite_runs_with_the_demanded_settings(sqlite_database: Database) -> None:
    with sqlite_database.begin() as tx:
        found = {
            name: tx.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_both_spellings_of_a_sqlite_url_name_the_same_file(tmp_path: Path) -> None:
    one, other = Database(f"sqlite:{tmp_path}/x.db"), Database(f"sqlite://{tmp_path}/x.db")
    assert one.sqlite_file == other.sqlite_file == tmp_path / "x.db"


@pytest.mark.parametrize("url", ["sqlite:", "sqlite::memory:", "mysql://x/y"])
def test_a_storage_that_cannot_keep_a_promise_is_refused(url: str) -> None:
    with pytest.raises(UnsafeStorageError):
        Database(url)


@pytest.mark.postgresql
def test_a_postgresql_that_does_not_sync_is_refused() -> None:
    with start_postgresql(fsync="off") as server:
        database = Database(server.create_database())
        with pytest.raises(UnsafeStorageError, match="fsync=off"):
            database.check()
        database.close()


@pytest.mark.postgresql
def test_a_postgresql_role_that_commits_asynchronously_is_refused(postgres_server) -> None:
    url = postgres_server.create_database()
    name = sa.make_url(url).database
    postgres_server.run(f"ALTER DATABASE {name} SET synchronous_commit = off")
    database = Database(url)
    with pytest.raises(UnsafeStorageError, match="synchronous_commit=off"):
        database.check()
    database.close()


def test_a_database_without_tables_is_no_store(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(SchemaError, match="db migrate"):
        database.check()
    database.migrate()
    database.check()
    database.migrate()  # twice changes nothing
    database.check()
    database.close()


def test_the_migrations_make_exactly_the_tables_of_the_schema(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    import gateway.store
    from gateway.store import search

    with database.begin() as tx:
        ours = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name not in search.NAMES}
        context = MigrationContext.configure(tx, opts=ours)
        assert compare_metadata(context, metadata) == []
    config = Config()
    config.set_main_option("script_location", str(Path(gateway.store.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


async def test_a_failing_job_loses_only_itself(database: Database) -> None:
    jobs = [database.write(_add(f"n{n}" if n != 5 else "n4")) for n in range(20)]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    failed = [r for r in results if isinstance(r, Exception)]
    assert len(failed) == 1
    assert isinstance(failed[0], sa.exc.IntegrityError)
    assert await database.read(_count) == 19


async def test_a_wrong_statement_loses_only_itself(database: Database) -> None:
    jobs = [database.write(_add(f"n{n}")) for n in range(5)]
    jobs.insert(2, database.write(lambda tx: tx.execute(sa.text("SELECT nothing FROM nowhere"))))
    results = await asyncio.gather(*jobs, return_exceptions=True)
    assert [isinstance(r, Exception) for r in results] == [False, False, True, False, False, False]
    assert await database.read(_count) == 5


async def test_jobs_that_wait_share_one_sqlite_transaction(sqlite_database: Database) -> None:
    begun, gate = [], threading.Event()
    sa.event.listen(sqlite_database._engine, "begin", lambda connection: begun.append(1))
    first = asyncio.ensure_future(sqlite_database.write(lambda tx: gate.wait(30)))
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(sqlite_database.write(_add(f"n{n}"))) for n in range(BATCH)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(first, *others)
    assert len(begun) <= 3


async def test_nobody_is_told_before_the_commit(sqlite_database: Database, tmp_path: Path) -> None:
    def refuse(_connection: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    sa.event.listen(sqlite_database._engine, "commit", refuse)
    results = await asyncio.gather(*(sqlite_database.write(_add(f"n{n}")) for n in range(3)), return_exceptions=True)
    sa.event.remove(sqlite_database._engine, "commit", refuse)
    assert all(isinstance(r, TemporaryError) for r in results)
    assert await sqlite_database.read(_count) == 0
    await sqlite_database.write(_add("after"))
    assert await sqlite_database.read(_count) == 1


async def test_a_full_disk_is_no_space_for_the_whole_batch_and_over_when_there_is_room(
    sqlite_database: Database,
) -> None:
    with sqlite_database.begin() as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()

    def shrink(tx: sa.Connection) -> None:
        tx.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")

    await sqlite_database.write(shrink)
    big = "x" * 100_000
    with pytest.raises(TemporaryError) as caught:
        await sqlite_database.write(_add(big))
    assert caught.value.name == "no-space"
    await sqlite_database.write(lambda tx: tx.exec_driver_sql("PRAGMA max_page_count=100000"))
    await sqlite_database.write(_add(big))


async def test_a_locked_database_is_temporary_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.store.engines.BUSY_SECONDS", 1)
    database = Database(f"sqlite:{tmp_path}/x.db")
    database.migrate()
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(TemporaryError):
        await database.write(_add("n"))
    other.execute("ROLLBACK")
    await database.write(_add("n"))
    other.close()
    database.close()


async def test_a_job_whose_asker_was_cancelled_is_done_all_the_same(database: Database) -> None:
    gate, started = threading.Event(), threading.Event()

    def slow(tx: sa.Connection) -> None:
        started.set()
        gate.wait(30)
        _add("slow")(tx)

    task = asyncio.ensure_future(database.write(slow))
    await asyncio.to_thread(started.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    await asyncio.to_thread(database.close)
    with database.begin() as tx:
        assert _count(tx) == 1


async def test_a_reader_cannot_write(sqlite_database: Database) -> None:
    with pytest.raises(TemporaryError):
        await sqlite_database.read(_add("n"))


async def test_a_closed_database_refuses_work(database: Database) -> None:
    await database.write(_add("n"))
    database.close()
    with pytest.raises(TemporaryError):
        await database.write(_add("m"))


@pytest.mark.postgresql
async def test_a_deadlock_is_tried_again(postgresql_database: Database) -> None:
    database = postgresql_database
    await database.write(_add("a", 0))
    await database.write(_add("b", 0))
    both = threading.Barrier(2)

    def in_order(first: str, second: str):
        tries = []

        def job(tx: sa.Connection) -> None:
            tries.append(1)
            for position, name in enumerate((first, second)):
                if position == 1 and len(tries) == 1:
                    both.wait(30)
                tx.execute(sa.update(counters).where(counters.c.name == name).values(value=counters.c.value + 1))

        return job

    await asyncio.gather(database.write(in_order("a", "b")), database.write(in_order("b", "a")))
    assert await database.read(lambda tx: tx.execute(sa.select(counters.c.value)).scalars().all()) == [2, 2]


@pytest.mark.postgresql
async def test_a_gateway_that_is_frozen_in_a_transaction_does_not_hold_up_the_others(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgresql_database.begin() as tx:
        url = tx.engine.url.render_as_string(hide_password=False)
        assert tx.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "0", "a command has time"
    assert await postgresql_database.read(_limit) == "20s"
    await postgresql_database.write(_add("shared"))
    monkeypatch.setattr(engines, "_FROZEN", "-c idle_in_transaction_session_timeout=1s")
    frozen = Database(url.replace("postgresql+psycopg:", "postgresql:"))
    reached, thaw = threading.Event(), threading.Event()

    def stop_inside(tx: sa.Connection) -> None:
        tx.execute(sa.update(counters).values(value=2))
        reached.set()
        thaw.wait(60)
        tx.execute(sa.update(counters).values(value=3))

    stopped = asyncio.ensure_future(frozen.write(stop_inside))
    await asyncio.to_thread(reached.wait, 60)
    await postgresql_database.write(lambda tx: tx.execute(sa.update(counters).values(value=4)))
    thaw.set()
    with pytest.raises(TemporaryError):
        await stopped
    assert await postgresql_database.read(lambda tx: tx.execute(sa.select(counters.c.value)).scalar_one()) == 4
    frozen.close()


def _limit(tx: sa.Connection) -> str:
    return str(tx.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar_one())


async def test_a_server_that_went_away_is_temporary_trouble() -> None:
    with start_postgresql() as server:
        database = Database(server.create_database())
        database.migrate()
        await database.write(_add("n"))
    with pytest.raises(TemporaryError):
        await database.write(_add("m"))
    database.close()


_WRITE_TWICE = """
import asyncio, sys
from gateway.errors import TemporaryError
from gateway.store import journal
from gateway.store.database import Database
from tests.store.values import RAW, envelope

async def main():
    database = Database(sys.argv[1])
    for _ in range(2):
        try:
            await database.write(lambda tx: journal.append(tx, envelope(), RAW))
        except TemporaryError as error:
            print(type(error).__name__, bool(database.broken), error.reply.code)
        else:
            print("committed")
asyncio.run(main())
"""


def test_after_a_failed_fsync_nothing_is_written_any_more(sqlite_database: Database, tmp_path: Path) -> None:
    strace = need("strace")["strace"]
    trace = tmp_path / "trace"
    inject = ["-f", "-o", str(trace), "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]
    url = f"sqlite:{sqlite_database.sqlite_file}"
    run = subprocess.run(
        [strace, *inject, sys.executable, "-c", _WRITE_TWICE, url], capture_output=True, text=True, timeout=100
    )
    if "PTRACE" in run.stderr or "ptrace" in run.stderr:
        refuse("strace may not trace here")
    assert run.stdout.splitlines() == ["TemporaryError True 451"] * 2, run.stderr
    assert trace.read_text().count("INJECTED") == 1  # a second fsync would succeed and prove nothing
