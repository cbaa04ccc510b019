"""The table of periodic jobs: name, interval, function. They only wake workers; what is due is a row.

The one door to APScheduler, wrapped as it must be: no misfire limit (its default of one second silently skips a job
after a blocked loop), one instance, memory store. It reckons by the wall clock: set back by an hour it would call
nothing for an hour, the watchdog included, and set ahead by a year it would count every missed run, for minutes. So a
run is due an interval after the last one, not after the time that one was due, and a clock that was set is noticed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

_LOOK = 1.0  # seconds between two looks at the clocks, and by which they may part


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the table; ``seconds`` between runs."""

    name: str
    seconds: float
    function: Callable[[], object]


class Schedule:
    """A running table."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        for job in jobs:
            self._scheduler.add_job(_on_the_loop(job.function), _Every(job.seconds), id=job.name)
        self._scheduler.start()
        self._ahead = time.time() - time.monotonic()
        self._look = asyncio.get_running_loop().call_later(_LOOK, self._compare)

    def _compare(self) -> None:
        ahead = time.time() - time.monotonic()
        if abs(ahead - self._ahead) > _LOOK:
            for job in self._scheduler.get_jobs():
                job.reschedule(job.trigger)
        self._ahead = ahead
        self._look = asyncio.get_running_loop().call_later(_LOOK, self._compare)

    def stop(self) -> None:
        """No further run; jobs hold no work of their own."""
        self._look.cancel()
        self._scheduler.shutdown(wait=False)


def start_schedule(jobs: Iterable[Job]) -> Schedule:
    """Run the table on the current event loop."""
    return Schedule(jobs)


class _Every(BaseTrigger):  # type: ignore[misc]
    """Due so long after now, whatever was due before."""

    def __init__(self, seconds: float) -> None:
        self._interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        return now + self._interval


def _on_the_loop(function: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """The library runs plain functions in threads, and waking a worker (asyncio.Event) from there is a race."""

    async def run() -> None:
        function()

    return run
