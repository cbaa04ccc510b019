"""Taking responsibility: through the real store, on a real database file."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime

import pytest

from gateway.errors import PermanentError, TemporaryError
from gateway.model import Envelope
from gateway.receive import Receiver
from gateway.store.database import Database
from tests.support.smtp_client import MAIL, edge, session


def envelope(recipient: str = "support@desk.test") -> Envelope:
    return Envelope(
        reverse_path="ann@customer.test",
        recipient=recipient,
        inbox="support",
        source="lmtp",
        received_at=datetime(2026, 3, 2, 9, 0, tzinfo=UTC),
    )


@pytest.fixture
def database(tmp_path):
    store = Database(f"sqlite:{tmp_path}/desk.db")
    store.migrate()
    yield store
    store.close()


def rows(tmp_path) -> list[tuple[int, str]]:
    with sqlite3.connect(tmp_path / "desk.db") as connection:
        return connection.execute("SELECT id, recipient FROM journal ORDER BY id").fetchall()


async def test_a_mail_that_was_taken_is_on_disk_and_the_workers_are_woken(tmp_path, database):
    woken = []
    receiver = Receiver(database, wake=lambda: woken.append(rows(tmp_path)))
    receipt = await receiver.receive(envelope(), MAIL)
    assert not receipt.duplicate
    assert woken == [[(receipt.journal_id, "support@desk.test")]]


@pytest.mark.parametrize("size", [10, 300_000])
async def test_the_same_bytes_for_the_same_recipient_are_the_same_row(tmp_path, database, size):
    receiver = Receiver(database)
    mail = MAIL + b"x" * size + b"\r\n"
    first = await receiver.receive(envelope(), mail)
    again = await receiver.receive(envelope("Support@DESK.test"), mail)
    other = await receiver.receive(envelope("sales@desk.test"), mail)
    assert (again.journal_id, again.duplicate) == (first.journal_id, True)
    assert not other.duplicate
    assert len(rows(tmp_path)) == 2


async def test_the_same_mail_arriving_twice_in_parallel_is_one_row(tmp_path, database):
    receiver = Receiver(database)
    receipts = await asyncio.gather(*(receiver.receive(envelope(), MAIL) for _ in range(10)))
    assert len({receipt.journal_id for receipt in receipts}) == 1
    assert sum(not receipt.duplicate for receipt in receipts) == 1
    assert len(rows(tmp_path)) == 1


async def test_a_mail_over_the_limit_is_refused_for_good(tmp_path, database):
    with pytest.raises(PermanentError) as refusal:
        await Receiver(database, max_size=100).receive(envelope(), MAIL * 10)
    assert refusal.value.name == "too-large"
    assert rows(tmp_path) == []


async def test_a_store_that_is_closed_or_broken_is_temporary_trouble(tmp_path, database):
    receiver = Receiver(database)
    with sqlite3.connect(tmp_path / "desk.db") as connection:
        connection.execute("DROP TABLE journal")
    with pytest.raises(TemporaryError):
        await receiver.receive(envelope(), MAIL)
    database.close()
    with pytest.raises(TemporaryError):
        await receiver.receive(envelope(), MAIL)


async def test_a_worker_that_cannot_be_woken_does_not_turn_250_into_451(database):
    def fail() -> None:
        raise RuntimeError("no worker")

    assert (await Receiver(database, wake=fail).receive(envelope(), MAIL)).journal_id == 1


async def test_a_caller_that_is_cancelled_does_not_stop_the_commit(tmp_path, database):
    receiver = Receiver(database)
    task = asyncio.create_task(receiver.receive(envelope(), MAIL))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    database.close()
    assert len(rows(tmp_path)) == 1


async def test_what_the_listener_acknowledges_is_in_the_journal_byte_for_byte(tmp_path, database):
    receiver = Receiver(database)
    mail = MAIL + b"\xff\0bare\nfeed\rreturn\r\n.dot\r\n" + b"long" * 50_000 + b"\r\n"
    async with edge(tmp_path) as running:
        running.receive = receiver.receive  # type: ignore[method-assign]
        async with session(running) as client:
            assert (await client.deliver(mail, "support+x@desk.test")).text == "2.0.0 Taken as 1"
            assert (await client.deliver(mail, "Support+X@desk.test")).text == "2.0.0 Taken as 1"
            with sqlite3.connect(tmp_path / "desk.db") as connection:
                connection.execute("ALTER TABLE journal RENAME TO elsewhere")
            reply = await client.deliver(mail + b"more\r\n")
            assert (reply.code, reply.enhanced) == (451, "4.3.0")
            assert "journal" not in reply.text
    import zstandard

    with sqlite3.connect(tmp_path / "desk.db") as connection:
        (content,) = connection.execute("SELECT content FROM raw").fetchone()
    assert zstandard.ZstdDecompressor().decompress(content) == mail
