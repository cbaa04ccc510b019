"""The table of periodic jobs: name, interval, function. They only wake workers; what is due is a row.

The one door to APScheduler, wrapped as it must be: no misfire limit (its default of one second silently skips a job
after a blocked loop), one instance, missed runs as one, memory store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from apscheduler.schedulers.asyncio import AsyncIOScheduler


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the table; ``seconds`` between runs."""

    name: str
    seconds: float
    function: Callable[[], object]


def start_schedule(jobs: Iterable[Job]) -> AsyncIOScheduler:
    """Run the table on the current event loop. ``shutdown(wait=False)`` ends it: jobs hold no work of their own."""
    scheduler = AsyncIOScheduler(
        timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    )
    for job in jobs:
        scheduler.add_job(_on_the_loop(job.function), "interval", seconds=job.seconds, id=job.name)
    scheduler.start()
    return scheduler


def _on_the_loop(function: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    """The library runs plain functions in threads, and waking a worker (asyncio.Event) from there is a race."""

    async def run() -> None:
        function()

    return run
