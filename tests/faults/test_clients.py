"""Rows fault-14 to fault-17 and fault-68: what clients do while a mail is being taken, on a real journal."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.demo.mail_client import write_mail
from gateway.ingest.intake import Rules
from gateway.receive import Receiver
from gateway.store.database import Database
from tests.support.databases import PostgresServer
from tests.support.gateway import Gateway, in_background, wait_for
from tests.support.site import INBOX, signed
from tests.support.smtp_client import MAIL, Client, Edge, Gone, connect, edge, session
from tests.support.smtp_sink import smtp_sink

JANE, ALICE = "jane@customer.test", "alice@corp.test"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Database]:
    store = Database(f"sqlite:{tmp_path}/desk.db")
    store.migrate()
    yield store
    store.close()


def rows(folder: Path) -> list[bytes]:
    with sqlite3.connect(folder / "desk.db") as connection:
        return [row[0] for row in connection.execute("SELECT sha256 FROM journal")]


@contextlib.contextmanager
def slow_commit(folder: Path) -> Iterator[Callable[[], None]]:
    """Nobody can write to the journal until the function is called."""
    other = sqlite3.connect(folder / "desk.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield lambda: other.execute("ROLLBACK") and None
    finally:
        other.close()


@contextlib.asynccontextmanager
async def taking(folder: Path, journal: Database, **rules: object) -> AsyncIterator[Edge]:
    """A listener that answers 250 only after the real commit; over TCP, where a reset is one."""
    receiver = Receiver(journal)
    async with edge(folder, unix=False, **rules) as running:
        running.receive = receiver.receive  # type: ignore[method-assign, assignment]
        yield running


async def comes(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  it looks at a file
            await asyncio.sleep(0.01)


async def send_mail(client: Client) -> None:
    await client.open_data()
    await client.send(MAIL + b".\r\n")


async def joins_the_row(running: Edge, folder: Path) -> None:
    """The commit has finished, and the repeated delivery gets 250 for the same row."""
    await comes(lambda: rows(folder))
    async with session(running) as client:
        reply = await client.deliver()
        assert (reply.code, reply.text) == (250, "2.0.0 Taken as 1")
    assert len(rows(folder)) == 1


async def test_fault_14_a_client_that_resets_during_the_commit_does_not_stop_it(
    tmp_path: Path, journal: Database
) -> None:
    async with taking(tmp_path, journal) as running:
        with slow_commit(tmp_path) as go_on:
            async with session(running) as client:
                await send_mail(client)
                await comes(lambda: running.listener.intake.commits)
                client.reset()
            await comes(lambda: not running.listener.intake.sessions)
            assert rows(tmp_path) == []
            go_on()
            await joins_the_row(running, tmp_path)


async def test_fault_15_a_client_that_half_closes_still_gets_its_250(tmp_path: Path, journal: Database) -> None:
    async with taking(tmp_path, journal) as running:
        with slow_commit(tmp_path) as go_on:
            async with session(running) as client:
                await send_mail(client)
                client.writer.write_eof()
                await comes(lambda: running.listener.intake.commits)
                assert rows(tmp_path) == []
                go_on()
                assert (await client.reply()).code == 250
        await joins_the_row(running, tmp_path)


async def test_fault_16_slow_clients_are_closed_in_time_and_keep_nobody_out(tmp_path: Path, journal: Database) -> None:
    assert Rules(protocol="smtp", hostname="mx").data_timeout == 600  # ten minutes; here it is two seconds
    settings = {"protocol": "smtp", "data_timeout": 2.0, "max_sessions_per_client": 3}
    async with taking(tmp_path, journal, **settings) as running, contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(session(running, "EHLO")) for _ in range(3)]
        for client in slow:
            await client.open_data()
        dripping = [asyncio.create_task(_drip(client)) for client in slow]
        async with connect(running.place) as one_too_many:
            assert (await one_too_many.reply()).code == 421
        async with _from_elsewhere(running) as other:
            assert (await other.deliver()).code == 250
        for client in slow:
            assert (await client.reply()).code == 451
            with pytest.raises(Gone):
                await client.reply()
        for task in dripping:
            task.cancel()
    assert len(rows(tmp_path)) == 1


async def test_fault_16_who_drips_from_as_many_addresses_as_it_takes_makes_room_for_others(
    tmp_path: Path, journal: Database
) -> None:
    assert Rules(protocol="smtp", hostname="mx").slow_after <= 30  # others' mail is accepted within a minute
    settings = {"protocol": "smtp", "slow_after": 5.0, "max_sessions": 3}
    async with taking(tmp_path, journal, **settings) as running, contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(session(running, "EHLO")) for _ in range(3)]
        for client in slow[:2]:
            await client.open_data()
        dripping = [asyncio.create_task(_drip(client)) for client in slow[:2]]
        async with connect(running.place) as one_too_many:
            assert (await one_too_many.reply()).code == 421, "nobody is slow yet"
        await comes(lambda: all(one.idled > 5.0 for one in running.listener.intake.sessions))
        for _ in range(2):
            async with _from_elsewhere(running) as other:
                assert (await other.deliver()).code == 250
        gone = [client for client in slow if (await _hears(client)) == 421]
        assert gone, "who was slow made room"
        for task in dripping:
            task.cancel()
    assert len(rows(tmp_path)) == 1  # the same mail twice


async def _hears(client: Client) -> int:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            return (await client.reply()).code
    return 0


async def _drip(client: Client) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            await client.send(b"x")
            await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _from_elsewhere(running: Edge) -> AsyncIterator[Client]:
    """A client with another address of this host."""
    host, _, port = running.place.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=("127.0.0.2", 0))
    client = Client(reader, writer)
    try:
        assert (await client.reply()).code == 220
        await client.hello("EHLO")
        yield client
    finally:
        writer.close()


async def test_fault_17_a_timer_that_runs_out_during_the_commit_does_not_stop_it(
    tmp_path: Path, journal: Database
) -> None:
    async with taking(tmp_path, journal, idle_timeout=0.3) as running:
        with slow_commit(tmp_path) as go_on:
            async with session(running) as client:
                await send_mail(client)
                with pytest.raises(Gone):
                    await client.reply()
            assert rows(tmp_path) == []
            go_on()
            await comes(lambda: rows(tmp_path))
    async with taking(tmp_path, journal) as running:
        await joins_the_row(running, tmp_path)


# ------------------------------------------------------------------ a thousand at once


@pytest.mark.system
@pytest.mark.timeout(300)
@pytest.mark.parametrize("hosts", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_fault_68_a_thousand_deliveries_of_the_same_bytes_are_one_mail(
    tmp_path: Path, resolver: str, hosts: str, request: pytest.FixtureRequest
) -> None:
    storage = ""
    if hosts == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        storage = server.create_database()
    raw = signed(write_mail(JANE, "Jane Doe", INBOX, "Printer", "It does not print.\n"), "customer.test")
    with in_background(smtp_sink()) as sink, contextlib.ExitStack() as stack:
        gateways, places = [], []
        for name in ("a", "b") if storage else ("a",):
            places.append(f"127.0.0.1:{_free_port()}")  # a unix socket's queue is shorter than a thousand
            tables = {"receive.lmtp": f'listen = ["inet:{places[-1]}"]\nmax_sessions = 1100'}
            gateway = Gateway(tmp_path / name, send_port=sink.port, resolver=resolver, storage=storage, tables=tables)
            for key in ("token.key", "seal.key") if gateways else ():  # the hosts of one installation have one key
                (gateway.folder / key).touch(mode=0o600)
                (gateway.folder / key).write_bytes((gateways[0].folder / key).read_bytes())
            gateways.append(stack.enter_context(gateway))
        codes = _deliver_at_once(places, raw, 1000)
        assert codes == Counter({250: 1000})
        gateways[0].settled()
        wait_for(lambda: len(sink.taken) >= 3, "an acknowledgement and two offers")
        (ticket,) = gateways[0].rows("tickets", "--all")
        events = gateways[0].ticket(ticket["ticket"])["events"]
        assert [event["kind"] for event in events].count("mail") == 1
        assert len(sink.taken) == 3
        store = Database(gateways[0].storage)
        try:
            with store.begin() as tx:
                assert tx.scalar(sa.text("SELECT count(*) FROM journal")) == 1
        finally:
            store.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _deliver_at_once(places: list[str], raw: bytes, number: int) -> Counter[int]:
    """So many transactions whose final dots are sent together, over the sockets in turn; the replies."""

    async def one(place: str, few: asyncio.Semaphore, ready: asyncio.Barrier) -> int:
        async with contextlib.AsyncExitStack() as stack:
            async with few:
                client = await stack.enter_async_context(connect(place))
                assert (await client.reply()).code == 220
                await client.hello("LHLO")
                await client.open_data(recipient=INBOX, reverse_path=JANE)
                await client.send(raw)
            await ready.wait()
            await client.send(b".\r\n")
            async with asyncio.timeout(200):
                return int((await client.reader.readline())[:3])

    async def everybody() -> Counter[int]:
        few, ready = asyncio.Semaphore(20), asyncio.Barrier(number)
        return Counter(await asyncio.gather(*(one(places[n % len(places)], few, ready) for n in range(number))))

    found: list[Counter[int]] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(everybody())))
    thread.start()
    thread.join(240)
    return found[0]
