"""A bench a database, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.stepping import Bench, open_bench
from tests.support.databases import SQLITE_AND_POSTGRESQL, PostgresServer
from tests.support.dovecot import DovecotServer
from tests.system.conftest import resolver

__all__ = ["resolver"]


@pytest.fixture(scope="session")
def sqlite_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Runs on SQLite; all mail comes over LMTP."""
    with open_bench(tmp_path_factory.mktemp("f") / "s") as bench:
        yield bench


@pytest.fixture(scope="session")
def mailbox_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Runs on SQLite with a mailbox in a real Dovecot: some mail comes from there, copies of answers go there."""
    server = DovecotServer(["support@desk.test"])
    try:
        server.start()
        with open_bench(tmp_path_factory.mktemp("f") / "m", dovecot=server) as bench:
            yield bench
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgresql_bench(tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer) -> Iterator[Bench]:
    """Runs on PostgreSQL."""
    with open_bench(tmp_path_factory.mktemp("f") / "p", postgres=postgres_server) as bench:
        yield bench


@pytest.fixture(params=SQLITE_AND_POSTGRESQL)
def bench(request: pytest.FixtureRequest) -> Bench:
    """Runs on one and on the other."""
    found: Bench = request.getfixturevalue(f"{request.param}_bench")
    return found
