"""The gateway's clock: wall time that does not follow a jump before it has stood for a while (promise 9, fault 63).

A clock that is ten years ahead for a minute would fire every timer, end every retry and open the way to erasure. The
wall clock is compared with one that only ever goes on; when they part by more than STEP, time goes on from where it was
until the new time has stood for ``settle``. Smaller steps (NTP, leap seconds) are followed at once: nothing depends on
them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STEP = 60.0
"""Seconds by which the wall clock may be set without being doubted."""
SETTLE = timedelta(minutes=5)
"""How long a new time must stand before it is believed."""


@dataclass(frozen=True, slots=True)
class Jump:
    """The wall clock was set. ``by``: from the gateway's time; ``believed``: it has stood, and is the time now."""

    by: timedelta
    believed: bool


class SteadyClock:
    """One clock; safe to use from any thread. ``wall`` and ``ticks`` give seconds; ``ticks`` never jumps."""

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        ticks: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),  # a suspended machine's time too
    ) -> None:
        self.settle = SETTLE
        self._wall, self._ticks = wall, ticks
        self._offset = wall() - ticks()
        self._doubted: tuple[float, float] | None = None  # the new offset, and since when it stands
        self._jumps: list[Jump] = []
        self._turn = threading.Lock()

    def now(self) -> datetime:
        """The time, in UTC."""
        with self._turn:
            ticks = self._ticks()
            offset = self._wall() - ticks
            if abs(offset - self._offset) <= STEP:
                if self._doubted is not None:  # it was set right again
                    self._jumps.append(Jump(timedelta(), believed=True))
                self._offset, self._doubted = offset, None
            elif self._doubted is None or abs(offset - self._doubted[0]) > STEP:
                self._doubted = (offset, ticks)
                self._jumps.append(Jump(timedelta(seconds=offset - self._offset), believed=False))
            elif ticks - self._doubted[1] >= self.settle.total_seconds():
                self._jumps.append(Jump(timedelta(seconds=offset - self._offset), believed=True))
                self._offset, self._doubted = offset, None
            return datetime.fromtimestamp(ticks + self._offset, UTC)

    def take_jumps(self) -> list[Jump]:
        """What happened to the wall clock since this was asked last; to be asked every few seconds."""
        self.now()
        with self._turn:
            jumps, self._jumps = self._jumps, []
        return jumps


steady = SteadyClock()
"""The clock of this process."""


def clock() -> datetime:
    """Now, in UTC. The only clock of edges and workers."""
    return steady.now()
