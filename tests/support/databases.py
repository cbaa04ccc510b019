"""The ``database`` fixture: every store test runs on SQLite and on a private PostgreSQL."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from gateway.store.database import Database
from tests.support.real import need

SQLITE_AND_POSTGRESQL = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]


@dataclass(frozen=True)
class PostgresServer:
    """A private server that listens on a socket in ``folder`` only."""

    folder: Path

    def url(self, name: str) -> str:
        return f"postgresql://ticketgate@/{name}?host={self.folder}"

    def create_database(self, template: str = "template0") -> str:
        """The url of a fresh database: empty, or a copy of another."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        return self.url(name)

    def run(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self.folder), user="ticketgate", dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)


@contextmanager
def start_postgresql(**options: str) -> Iterator[PostgresServer]:
    """Run a server with further options (``fsync="off"``) until the block ends."""
    programs = need("initdb", "pg_ctl")
    folder = Path(tempfile.mkdtemp(prefix="tg-pg-", dir="/tmp"))  # short: a socket path has at most 107 octets
    data = folder / "data"
    as_owner: list[str] = []
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        owner = pwd.getpwnam("postgres")
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        as_owner = [need("runuser")["runuser"], "-u", "postgres", "--"]
    folder.chmod(0o755)

    def run(*arguments: str) -> None:
        subprocess.run([*as_owner, *arguments], check=True, capture_output=True, cwd=folder)

    try:
        run(programs["initdb"], "-D", str(data), "-U", "ticketgate", "-A", "trust", "-E", "UTF8", "--no-sync")
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "shared_buffers": "16MB",
            "max_connections": "60",
        } | options
        words = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        run(programs["pg_ctl"], "-D", str(data), "-l", str(folder / "log"), "-w", "-t", "60", "-o", words, "start")
        try:
            yield PostgresServer(folder)
        finally:
            run(programs["pg_ctl"], "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server a session, started by the first test that needs it."""
    with start_postgresql() as server:
        yield server


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The url of an empty database, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path}/ticketgate.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy: a migration a test would take most of its time."""
    path = tmp_path_factory.mktemp("store") / "migrated.db"
    store = Database(f"sqlite:{path}")
    store.migrate()
    store.close()
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgres_server: PostgresServer) -> str:
    """The name of a migrated PostgreSQL database to copy."""
    url = postgres_server.create_database()
    store = Database(url)
    store.migrate()
    store.close()
    return str(sa.make_url(url).database)


@pytest.fixture
def sqlite_database(tmp_path: Path, migrated_sqlite: Path) -> Iterator[Database]:
    """A migrated SQLite database, for tests that need a store but do not test it."""
    path = tmp_path / "ticketgate.db"
    shutil.copy(migrated_sqlite, path)
    store = Database(f"sqlite:{path}")
    yield store
    store.close()


@pytest.fixture
def postgresql_database(postgres_server: PostgresServer, migrated_postgresql: str) -> Iterator[Database]:
    """A migrated PostgreSQL database, for tests of what only it can do."""
    url = postgres_server.create_database(template=migrated_postgresql)
    store = Database(url)
    yield store
    store.close()
    # Eight megabytes and three hundred files each: a session of many tests would take minutes to clear them away.
    postgres_server.run(f"DROP DATABASE IF EXISTS {sa.make_url(url).database} WITH (FORCE)")


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def database(request: pytest.FixtureRequest) -> Database:
    """A migrated database, once on SQLite and once on PostgreSQL."""
    store: Database = request.getfixturevalue(f"{request.param}_database")
    return store
