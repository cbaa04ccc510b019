"""The circuit breaker on automatic mail: a real outbox, a real server, and more notices than are allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gateway.model import Delivery, OutboundMail
from gateway.outbound.breaker import Breaker
from gateway.outbound.transport import Transport
from gateway.settings import General, Send
from gateway.store import deliveries
from gateway.store.database import Database
from gateway.store.deliveries import DeliveryState
from gateway.workers import Outbox
from tests.support.smtp_sink import Sink, smtp_sink
from tests.support.spine import SETTINGS

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
ADMIN = "root@desk.test"


def notice(number: int, **changes: object) -> OutboundMail:
    values: dict[str, object] = {
        "ticket": number,
        "event": 2,
        "party": 1,
        "kind": "offer",
        "message_id": f"<{number}.2.1@tickets.desk.test>",
        "reverse_path": "support@desk.test",
        "recipient": "alice@corp.test",
        "content": f"Subject: {number}\r\n\r\nhello\r\n".encode(),
        "automatic": True,
    }
    return OutboundMail(**(values | changes))  # type: ignore[arg-type]


def answer(number: int) -> OutboundMail:
    return notice(number, kind="answer", recipient="jane@customer.test", automatic=False)


@asynccontextmanager
async def outbox(database: Database, sink: Sink, limit: int) -> AsyncIterator[Outbox]:
    send = Send(host="127.0.0.1", port=sink.port, tls="none", automatic_per_hour=limit)
    settings = replace(SETTINGS, send=send, ticketgate=General(id_domain="tickets.desk.test", admin=(ADMIN,)))
    transport = Transport(send, "")
    box = Outbox(database, transport, lambda: settings, "here")
    running = asyncio.create_task(box.worker.run())
    try:
        yield box
    finally:
        box.worker.stop()
        await running
        await transport.close()


def queue(database: Database, mails: list[OutboundMail]) -> None:
    with database.begin() as tx:
        deliveries.enqueue(tx, mails, datetime.now(UTC))


def held(database: Database) -> list[int]:
    with database.begin() as tx:
        return [entry.delivery.mail.ticket for entry in deliveries.list_outbox(tx, (DeliveryState.HELD,))]


def recipients(sink: Sink) -> list[str]:
    return sorted(taken.rcpt_to[0].split(">")[0].lstrip("<") for taken in sink.taken)


async def test_above_the_limit_notices_are_held_answers_leave_and_the_admin_is_told_once(
    sqlite_database: Database,
) -> None:
    async with smtp_sink() as sink:
        queue(sqlite_database, [notice(n) for n in range(1, 41)] + [answer(50), answer(51)])
        async with outbox(sqlite_database, sink, 3):
            await sink.until(lambda s: len(s.taken) >= 6, 30)
    assert recipients(sink) == ["alice@corp.test"] * 3 + ["jane@customer.test"] * 2 + [ADMIN]
    assert len(held(sqlite_database)) == 37
    (alarm,) = [t for t in sink.taken if ADMIN in t.rcpt_to[0]]
    assert b"ticketgate queue release" in alarm.content


async def test_what_an_operator_releases_is_not_stopped_again(sqlite_database: Database) -> None:
    async with smtp_sink() as sink:
        queue(sqlite_database, [notice(n) for n in range(1, 6)])
        async with outbox(sqlite_database, sink, 2) as box:
            await sink.until(lambda s: len(s.taken) >= 3, 30)
            with sqlite_database.begin() as tx:
                assert deliveries.release(tx, datetime.now(UTC)) == 3
            box.worker.wake()
            await sink.until(lambda s: len(s.taken) >= 6, 30)
    assert held(sqlite_database) == []


async def test_without_a_limit_everything_leaves(sqlite_database: Database) -> None:
    async with smtp_sink() as sink:
        queue(sqlite_database, [notice(n) for n in range(1, 31)])
        async with outbox(sqlite_database, sink, 0):
            await sink.until(lambda s: len(s.taken) >= 30, 30)


def test_after_an_hour_there_is_room_again() -> None:
    breaker, delivery = Breaker(), Delivery(id=1, mail=notice(1), attempt=1, queued_at=NOW)
    assert [breaker.stops(delivery, 2, NOW + timedelta(minutes=n)) for n in range(3)] == [False, False, True]
    assert not breaker.stops(delivery, 2, NOW + timedelta(minutes=61))
    assert not breaker.stops(replace(delivery, attempt=2), 2, NOW + timedelta(minutes=61))
