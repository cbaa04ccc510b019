"""A desk for every test, from one cage and one prepared database a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.analysis.cage import Cage
from tests.adversarial.process import Process, running
from tests.support.desk import Desk, copy_database, desk_settings, make_past, start_cage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share one event loop, because they share one cage."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("asyncio"):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cage() -> AsyncIterator[Cage]:
    """Real reader processes."""
    running = await start_cage(desk_settings())
    yield running
    await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def desk_template(cage: Cage, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the past of the cast."""
    folder = tmp_path_factory.mktemp("past")
    desk = Desk(copy_database(migrated_sqlite, folder), desk_settings(), cage, folder)
    await make_past(desk)
    await desk.close()
    return folder / "ticketgate.db"


@pytest_asyncio.fixture(loop_scope="session")
async def desk(desk_template: Path, cage: Cage, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk of its own: support@desk.test and sales@desk.test, tickets 4827 and 4828."""
    one = Desk(copy_database(desk_template, tmp_path), desk_settings(), cage, tmp_path)
    one.mark()
    yield one
    await one.close()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """The daemon as a process."""
    yield from running(tmp_path)
