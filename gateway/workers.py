"""The loops: journal -> process, due timers -> remind, deliveries -> attempt. Retry, then hold, never lose.

Each loop claims rows with a lease, works on them, and records the outcome in one transaction. It wakes when somebody
says there is work, when the scheduler ticks, and after each batch of its own: nothing depends on a tick alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from gateway import clockwork, deliver, maillog, pipeline, unpacking
from gateway.analysis.cage import Cage, Resolver
from gateway.clock import clock
from gateway.errors import TemporaryError
from gateway.model import Delivery, InboundMail, OutboundMail, Plan, Timer
from gateway.outbound.alerts import compose_alert
from gateway.outbound.breaker import REPLY, Breaker
from gateway.outbound.transport import Attempt, Transport
from gateway.settings import Settings
from gateway.store import deliveries, journal, timers
from gateway.store.database import ContentionError, Database
from gateway.store.recovery import sent_keys

LEASE = timedelta(minutes=5)
"""After this a row that its worker lost sight of is claimed again; a dead gateway's rows are taken back at once."""
IN_FLIGHT = 96
"""Mails between claim and commit: enough to keep the children busy and the commits large."""
IN_FLIGHT_OCTETS = 64 * 1024 * 1024
"""With this many octets of them in memory no more are claimed; one claim may go over it by its own mails."""
CLAIM = 16
"""Mails in one claim, whose sizes are known only afterwards."""
FAILURES = 3
"""Failures of our own code on one mail before it is held and reported (security.md 14.4)."""
_PAUSE = timedelta(seconds=20)


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

    def overdue(self, now: float) -> float:
        """For the watchdog: seconds at this monotonic time since it came round; it does every thirty."""
        return now - self.progress

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping

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
        self._flying: dict[asyncio.Task[None], InboundMail] = {}
        self._more = False  # the last claim was full: there may be mail that nobody rings for
        self._unsure = False  # a claim, or the end of one, may be committed although we were not told
        self.worker = Worker("intake", self._round)
        self.after: Callable[[Plan], None] = lambda plan: None
        """Called after each commit: wakes the outbox."""

    async def _round(self) -> bool:
        """One claim, when there is room. A slow mail keeps nobody waiting: bells and landings come here again."""
        if not self._has_room():
            self._more = True
            return False
        now = clock()
        mine = {mail.id for mail in self._flying.values()}
        unsure, self._unsure = self._unsure, True

        def claim(tx: Connection) -> list[InboundMail]:
            if unsure:
                journal.expire_leases(tx, now, self._host, mine)
            return journal.claim(tx, CLAIM, self._host, now, LEASE, mine)

        mails = await self._database.write(claim)
        self._unsure = False
        for mail in mails:
            task = asyncio.create_task(self._one(mail))
            self._flying[task] = mail
            task.add_done_callback(self._landed)
        self._more = len(mails) == CLAIM
        return self._more

    def _has_room(self) -> bool:
        # By thirds, or each mail that lands would have a claim of its own.
        return len(self._flying) <= IN_FLIGHT * 2 // 3 and self._octets() < IN_FLIGHT_OCTETS

    def _octets(self) -> int:
        return sum(len(mail.raw) for mail in self._flying.values())

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._flying[task]
        if self._more and self._has_room():
            self.worker.wake()

    async def drain(self) -> None:
        """Wait for the mails in hand."""
        if self._flying:
            await asyncio.wait(self._flying)

    async def _one(self, mail: InboundMail) -> None:
        try:
            findings = await pipeline.read(mail, self._cage, self._resolver)
            settings = self._settings()
            findings = await pipeline.compare(mail, findings, self._cage, self._database, settings)
            findings = await unpacking.unpack(mail, findings, self._cage, self._database, settings)
            plan = await self._database.write(lambda tx: pipeline.process(tx, mail, findings, settings, clock()))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  one mail must not stop the others
            await self._trouble(mail, error)
            return
        ids = {"message_id": findings.message.message_id, "queue_id": mail.envelope.queue_id}
        maillog.decided(mail.id, plan, rule=plan.ground, **ids)
        for verb in plan.commanded:
            maillog.commanded("", verb, "held" if plan.outcome == "hold" else "done", ticket=plan.ticket)
        if findings.body.source == "unreadable":
            maillog.unreadable(mail.id, findings.message.unreadable)
        self.after(plan)

    async def _trouble(self, mail: InboundMail, error: Exception) -> None:
        """Try again later; after the third failure of our own code hold the mail where people see it."""
        maillog.worker_error("intake", error, journal_id=mail.id)
        now, cause = clock(), maillog.describe(error)
        try:
            ours = not isinstance(error, TemporaryError) or isinstance(error, ContentionError)
            if ours and mail.attempts + 1 >= FAILURES:
                await self._database.write(lambda tx: journal.hold(tx, mail.id, f"our-failure: {cause}"))
                maillog.held(mail.id, "our-failure")
            else:
                later = now + _PAUSE * (mail.attempts + 1)
                await self._database.write(lambda tx: journal.retry(tx, mail.id, cause, later))
                maillog.postponed(mail.id, cause, attempt=mail.attempts + 1)
        except TemporaryError as again:
            maillog.worker_error("intake", again, journal_id=mail.id)
            self._unsure = True


class Outbox:
    """Deliveries -> attempts: as many at a time as there may be connections, each claimed when its turn comes.

    A claimed mail may have been transmitted, and an automatic one is then never sent again: claimed in batches, a crash
    silenced mails that had only stood in line. And a relay that stalled one mail kept back all the others.
    """

    def __init__(self, database: Database, transport: Transport, settings: Callable[[], Settings], host: str) -> None:
        self._database, self._transport, self._settings, self._host = database, transport, settings, host
        self._flying: dict[asyncio.Task[None], int] = {}  # numbers of deliveries
        self._unrecorded: set[int] = set()  # tried, and what came of it could not be written down
        self._more = False  # the last claim was full, or there was no room for one
        self._unsure = False  # a claim may be committed although we were not told
        self._breaker = Breaker()
        self.worker = Worker("outbox", self._round)
        self.tried: Callable[[OutboundMail, Attempt], None] = lambda mail, attempt: None
        """Called with what came of each attempt, when it is recorded."""
        self.left: Callable[[str, Delivery], None] = lambda key, delivery: None
        """Called in a thread with the key (``sent_keys``) of each mail that left, before that is recorded."""

    async def _round(self) -> bool:
        room = max(1, self._settings().send.max_connections) - len(self._flying)
        self._more = True
        if room > 0:
            now = clock()
            mine = set(self._flying.values())
            unsure, self._unsure = self._unsure, True

            def claim(tx: Connection) -> tuple[list[Delivery], list[tuple[Delivery, str]], dict[int, str]]:
                if unsure:
                    deliveries.put_back_untried(tx, now, self._host, mine | self._unrecorded)
                due = deliveries.claim_due(tx, room, self._host, now, LEASE, mine)
                keys = sent_keys(tx, [delivery.id for delivery in due])
                return *deliver.refuse_dead(tx, due, self._settings(), now), keys

            claimed, refused, keys = await self._database.write(claim)
            for delivery, reply in refused:
                maillog.failed(delivery.mail, delivery.id, delivery.attempt, reply)
            leaving = await self._without_surplus(claimed, now)
            self._unsure = False
            for delivery in leaving:
                task = asyncio.create_task(self._one(delivery, keys[delivery.id]))
                self._flying[task] = delivery.id
                task.add_done_callback(self._landed)
            self._more = len(claimed) + len(refused) == room
            if refused or (self._more and not self._flying):
                return True  # their authors are told now; all were held: nothing will land
        return False  # each landing comes here again; nothing is waited for, so the watchdog sees us come round

    async def _without_surplus(self, claimed: list[Delivery], now: datetime) -> list[Delivery]:
        """What may leave; automatic mail above the limit is held for a person, and the admins are told."""
        settings = self._settings()
        limit = settings.send.automatic_per_hour
        surplus = [delivery for delivery in claimed if self._breaker.stops(delivery, limit, now)]
        if not surplus:
            return claimed
        alarm: tuple[OutboundMail, ...] = ()
        if self._breaker.alarm_due(settings.ticketgate.admin_quiet_period, now):
            maillog.alerted("automatic mail is held, perhaps a loop", f"{limit} within an hour")
            # Another number every hour: it makes the Message-ID.
            alarm = compose_alert(settings, "loop", int(now.timestamp() // 3600), now, limit=str(limit))

        def hold(tx: Connection) -> None:
            for delivery in surplus:
                deliveries.hold_back(tx, delivery, REPLY)
            deliveries.enqueue(tx, alarm, now)

        await self._database.write(hold)
        return [delivery for delivery in claimed if delivery not in surplus]

    def _landed(self, task: asyncio.Task[None]) -> None:
        del self._flying[task]
        if self._more:
            self.worker.wake()

    async def drain(self) -> None:
        """Wait for the attempts in hand."""
        if self._flying:
            await asyncio.wait(self._flying)

    async def _one(self, delivery: Delivery, key: str) -> None:
        try:
            attempt = await self._transport.attempt(delivery.mail)
            if attempt.outcome == "sent":
                await asyncio.to_thread(self.left, key, delivery)
            outcome = await self._record(delivery, attempt)
            self.tried(delivery.mail, attempt)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  its lease runs out and what may be sent again is
            self._unrecorded.add(delivery.id)
            maillog.worker_error("outbox", error, ticket=delivery.mail.ticket)
            return
        mail, reply = delivery.mail, attempt.reply
        if outcome.state == "sent":
            maillog.sent(mail, delivery.id, delivery.attempt, reply)
        elif outcome.state == "deferred":
            maillog.deferred(mail, delivery.id, delivery.attempt, reply)
        elif outcome.state == "failed":
            maillog.failed(mail, delivery.id, delivery.attempt, reply)
        else:
            maillog.unknown(mail, delivery.id, delivery.attempt, reply)
        if outcome.untold:
            maillog.alerted(f"nobody was told of ticket {mail.ticket}", reply)
        if outcome.warn or outcome.untold:
            self.worker.wake()

    async def _record(self, delivery: Delivery, attempt: Attempt) -> deliver.Outcome:
        """Write down what came of it, patiently: a mail that left and is not known to have left would leave again."""
        pauses = iter((0.5, 2.0))
        while not self.worker.stopping:
            try:
                return await self._write_down(delivery, attempt)
            except TemporaryError as error:
                maillog.worker_error("outbox", error, ticket=delivery.mail.ticket)
                await asyncio.sleep(next(pauses, 8.0))
        return await self._write_down(delivery, attempt)

    async def _write_down(self, delivery: Delivery, attempt: Attempt) -> deliver.Outcome:
        settings = self._settings()
        return await self._database.write(lambda tx: deliver.record(tx, delivery, attempt, settings, clock()))


class Reminders:
    """Due timers -> recorded plans."""

    def __init__(self, database: Database, settings: Callable[[], Settings], host: str) -> None:
        self._database, self._settings, self._host = database, settings, host
        self._unsure = False  # a claim, or the end of one, may be committed although we were not told
        self.worker = Worker("reminders", self._round)
        self.after: Callable[[Plan], None] = lambda plan: None

    async def _round(self) -> bool:
        now = clock()
        unsure, self._unsure = self._unsure, True

        def claim(tx: Connection) -> list[Timer]:
            if unsure:
                timers.expire_leases(tx, now, self._host)  # none is in hand between two rounds
            return timers.claim_due(tx, 50, self._host, now, LEASE)

        due = await self._database.write(claim)
        self._unsure = False
        for timer in due:
            await self._one(timer)
        return bool(due) and not self._unsure  # what failed waits for the next bell

    async def _one(self, timer: Timer) -> None:
        settings = self._settings()
        try:
            plan = await self._database.write(lambda tx: clockwork.remind(tx, timer, settings, clock()))
        except Exception as error:  # noqa: BLE001  its lease runs out and it is tried again; trouble may be over sooner
            maillog.worker_error("reminders", error, ticket=timer.ticket)
            self._unsure = self._unsure or isinstance(error, TemporaryError)
            return
        if plan is not None:
            maillog.reminded(timer.kind, ticket=timer.ticket)
            self.after(plan)
