"""How the gateway is, for whoever asks by machine: the gauges filled, and whether all is well (ops.md 13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway import maillog, metrics
from gateway.clock import clock
from gateway.errors import TemporaryError
from gateway.model import Plan, State
from gateway.outbound.refusals import speaks_of_us
from gateway.settings import Settings
from gateway.store.database import Database
from gateway.store.gate import held_since
from gateway.store.gauges import Gauges, find_first_answer, measure
from gateway.store.undelivered import describe_barred

STALE_INTAKE = timedelta(minutes=15)
"""A mail that was taken over and is not decided for longer than this: nobody works."""
_PATIENCE = 10.0  # seconds for the database


@dataclass(frozen=True, slots=True)
class Check:
    """One of the things that must be well."""

    name: str
    well: bool
    words: str


def check_intake(gauges: Gauges) -> Check:
    """Whether mail that was taken over is decided."""
    words = f"{gauges.received} mails wait, the oldest for {gauges.oldest_received.total_seconds():.0f} seconds"
    return Check("intake", gauges.oldest_received < STALE_INTAKE, words)


def check_outbox(gauges: Gauges, settings: Settings, held: datetime | None = None) -> Check:
    """Whether the outbox gets rid of its mail. ``held``: since when the store may have lost something."""
    if held is not None:
        words = f"{gauges.outbox} mails are held since the store was put back (as of {held:%Y-%m-%d %H:%MZ})"
        return Check("outbox", False, f"{words}; look at them: ticketgate queue, then: ticketgate queue release")
    words = f"{gauges.outbox} mails wait, the oldest for {gauges.oldest_outbox.total_seconds():.0f} seconds"
    return Check("outbox", gauges.oldest_outbox < settings.send.warn_after, words)


def check_relay(gauges: Gauges, settings: Settings) -> Check:
    """Whether the server that relays for us takes our mail; its words, and what to do, when it does not.

    What may have been said of us by one recipient's server, at RCPT, is not everybody's trouble: that takes words which
    are not heard there, or a second recipient.
    """
    if not gauges.barred:
        return Check("relay", True, "no mail waits because it refuses us")
    well = gauges.barred_recipients < 2 and speaks_of_us(gauges.barred_reply, "rcpt")
    return Check("relay", well, describe_barred(gauges.barred, gauges.barred_reply, settings.send.host))


class Health:
    """Looks when asked. ``silent``: of each mailbox, seconds since it was last read, and how many are too many."""

    def __init__(self, database: Database, settings: Callable[[], Settings]) -> None:
        self._database, self._settings = database, settings
        self._reasons: set[str] = set()
        self._looking = asyncio.Lock()
        self._counting: set[asyncio.Task[None]] = set()
        self.silent: dict[str, tuple[Callable[[], float], float]] = {}

    async def look(self) -> tuple[Check, ...]:
        """Fill the gauges; the checks. Raises nothing, and takes seconds at most."""
        async with self._looking:
            try:
                async with asyncio.timeout(_PATIENCE):
                    gauges, held = await self._database.read(lambda tx: (measure(tx, clock()), held_since(tx)))
                    self._fill(gauges)
                    # An empty transaction of the writer: on SQLite it takes the lock that every mail needs.
                    await self._database.write(lambda tx: None)
            except TimeoutError:
                return (Check("database", False, f"no answer within {_PATIENCE:.0f} seconds"),)
            except TemporaryError as error:
                return (Check("database", False, str(error)),)
        settings = self._settings()
        checks = self._intake(gauges), check_outbox(gauges, settings, held), check_relay(gauges, settings)
        return *checks, Check("database", True, "can be written")

    def _intake(self, gauges: Gauges) -> Check:
        silent = {name: since() for name, (since, longest) in self.silent.items() if since() > longest}
        if silent:
            words = ", ".join(f"{name} not read for {seconds:.0f} seconds" for name, seconds in sorted(silent.items()))
            return Check("intake", False, words)
        return check_intake(gauges)

    def _fill(self, gauges: Gauges) -> None:
        metrics.outbox(gauges.outbox, gauges.oldest_outbox.total_seconds())
        metrics.db_bytes(gauges.size)
        for state in State:
            metrics.tickets(state.value, gauges.tickets.get(state.value, 0))
        self._reasons |= set(gauges.held)
        for reason in self._reasons:  # one that has gone is 0, not what it was
            metrics.held(reason, gauges.held.get(reason, 0))

    def hear(self, plan: Plan) -> None:
        """A plan was recorded: if it brought a ticket its first answer, the time is counted."""
        if any(event.kind == "answer" and event.public for event in plan.events):
            task = asyncio.create_task(self._count_answer(plan))
            self._counting.add(task)
            task.add_done_callback(self._counting.discard)

    async def _count_answer(self, plan: Plan) -> None:
        try:
            waited = await self._database.read(lambda tx: find_first_answer(tx, plan.ticket))
        except TemporaryError as error:
            maillog.worker_error("metrics", error)
            return
        if waited is not None:
            metrics.first_answer(waited.total_seconds())
