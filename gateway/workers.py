"""The loops: journal -> process, due timers -> remind, deliveries -> attempt. Retry, then hold, never lose.

Each loop claims rows with a lease, works on them, and records the outcome in one transaction. It wakes when somebody
says there is work, when the scheduler ticks, and after each batch of its own: nothing depends on a tick alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway import clockwork, deliver, maillog, pipeline
from gateway.analysis.cage import Cage, Resolver
from gateway.errors import TemporaryError
from gateway.model import Delivery, InboundMail, Plan, Timer
from gateway.outbound.transport import Transport
from gateway.settings import Settings
from gateway.store import deliveries, journal, timers
from gateway.store.database import Database

LEASE = timedelta(minutes=5)
"""How long a claimed row is ours; a crash gives it back when this has passed (at once on SQLite: one daemon)."""
IN_FLIGHT = 96
"""Mails between claim and commit: enough to keep the children busy and the commits large."""
FAILURES = 3
"""Failures of our own code on one mail before it is held and reported (security.md 14.4)."""
_PAUSE = timedelta(seconds=20)


def clock() -> datetime:
    """Now, in UTC. The only clock of the workers."""
    return datetime.now(UTC)


class Worker:
    """One loop with a bell. ``progress`` is the monotonic time it last came round (watchdog)."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self.name = name
        self.progress = time.monotonic()
        self._work = work
        self._bell = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """There may be work."""
        self._bell.set()

    def stop(self) -> None:
        """Finish the batch in hand and end."""
        self._stopping = True
        self._bell.set()

    async def run(self) -> None:
        """Work until stopped. An error of the database or of ours costs a pause, not the loop."""
        while not self._stopping:
            self._bell.clear()
            try:
                again = await self._work()
            except Exception as error:  # noqa: BLE001  the loop is the last line of defence
                maillog.worker_error(self.name, error)
                again = False
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), 2.0)
            self.progress = time.monotonic()
            if not again and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), 30.0)


class Intake:
    """Journalled mail -> recorded plan. Reading runs in the children, many at a time; commits are shared."""

    def __init__(
        self, database: Database, cage: Cage, resolver: Resolver, settings: Callable[[], Settings], host: str
    ) -> None:
        self._database, self._cage, self._resolver, self._settings, self._host = (
            database,
            cage,
            resolver,
            settings,
            host,
        )
        self._flying: set[asyncio.Task[None]] = set()
        self.worker = Worker("intake", self._round)
        self.after: Callable[[Plan], None] = lambda plan: None
        """Called after each commit: wakes the outbox."""

    async def _round(self) -> bool:
        room = IN_FLIGHT - len(self._flying)
        mails: list[InboundMail] = []
        if room >= IN_FLIGHT // 3:
            now = clock()
            mails = await self._database.write(lambda tx: journal.claim(tx, room, self._host, now, LEASE))
        for mail in mails:
            task = asyncio.create_task(self._one(mail))
            self._flying.add(task)
            task.add_done_callback(self._landed)
        if not mails and not self._flying:
            return False
        if self._flying and (len(self._flying) > IN_FLIGHT * 2 // 3 or not mails):
            await asyncio.wait(self._flying, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        return True

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._flying.discard(task)

    async def drain(self) -> None:
        """Wait for the mails in hand."""
        if self._flying:
            await asyncio.wait(self._flying)

    async def _one(self, mail: InboundMail) -> None:
        try:
            findings = await pipeline.read(mail, self._cage, self._resolver)
            settings = self._settings()
            plan = await self._database.write(lambda tx: pipeline.process(tx, mail, findings, settings, clock()))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  one mail must not stop the others
            await self._trouble(mail, error)
            return
        maillog.decided(mail.id, plan, message_id=findings.message.message_id, queue_id=mail.envelope.queue_id)
        if findings.body.source == "unreadable":
            maillog.unreadable(mail.id, findings.message.unreadable)
        self.after(plan)

    async def _trouble(self, mail: InboundMail, error: Exception) -> None:
        """Try again later; after the third failure of our own code hold the mail where people see it."""
        maillog.worker_error("intake", error, journal_id=mail.id)
        now, cause = clock(), maillog.describe(error)
        try:
            if not isinstance(error, TemporaryError) and mail.attempts + 1 >= FAILURES:
                await self._database.write(lambda tx: journal.hold(tx, mail.id, f"our-failure: {cause}"))
                maillog.held(mail.id, "our-failure")
            else:
                later = now + _PAUSE * (mail.attempts + 1)
                await self._database.write(lambda tx: journal.retry(tx, mail.id, cause, later))
                maillog.postponed(mail.id, cause, attempt=mail.attempts + 1)
        except TemporaryError as again:
            maillog.worker_error("intake", again, journal_id=mail.id)  # its lease runs out by itself


class Outbox:
    """Deliveries -> attempts, a few at a time."""

    def __init__(self, database: Database, transport: Transport, settings: Callable[[], Settings], host: str) -> None:
        self._database, self._transport, self._settings, self._host = database, transport, settings, host
        self.worker = Worker("outbox", self._round)

    async def _round(self) -> bool:
        limit = max(1, self._settings().send.max_connections) * 8
        now = clock()
        claimed = await self._database.write(lambda tx: deliveries.claim_due(tx, limit, self._host, now, LEASE))
        if not claimed:
            return False
        await asyncio.gather(*(self._one(delivery) for delivery in claimed))
        return True

    async def _one(self, delivery: Delivery) -> None:
        attempt = await self._transport.attempt(delivery.mail)
        settings = self._settings()
        outcome = await self._database.write(lambda tx: deliver.record(tx, delivery, attempt, settings, clock()))
        mail, reply = delivery.mail, attempt.reply
        if outcome.state == "sent":
            maillog.sent(mail, delivery.id, delivery.attempt, reply)
        elif outcome.state == "deferred":
            maillog.deferred(mail, delivery.id, delivery.attempt, reply)
        elif outcome.state == "failed":
            maillog.failed(mail, delivery.id, delivery.attempt, reply)
        else:
            maillog.unknown(mail, delivery.id, delivery.attempt, reply)
        if outcome.warn:
            self.worker.wake()


class Reminders:
    """Due timers -> recorded plans."""

    def __init__(self, database: Database, settings: Callable[[], Settings], host: str) -> None:
        self._database, self._settings, self._host = database, settings, host
        self.worker = Worker("reminders", self._round)
        self.after: Callable[[Plan], None] = lambda plan: None

    async def _round(self) -> bool:
        now = clock()
        due = await self._database.write(lambda tx: timers.claim_due(tx, 50, self._host, now, LEASE))
        for timer in due:
            await self._one(timer)
        return bool(due)

    async def _one(self, timer: Timer) -> None:
        settings = self._settings()
        try:
            plan = await self._database.write(lambda tx: clockwork.remind(tx, timer, settings, clock()))
        except Exception as error:  # noqa: BLE001  its lease runs out and it is tried again
            maillog.worker_error("reminders", error, ticket=timer.ticket)
            return
        if plan is not None:
            maillog.reminded(timer.kind, ticket=timer.ticket)
            self.after(plan)
