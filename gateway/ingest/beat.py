"""A sign of life of one task, for the watchdog: an error or a pause comes round, a hang does not (security.md 15.3)."""

from __future__ import annotations

import time


class Beat:
    """When the task last came round (monotonic seconds), and how long it meant to wait then."""

    def __init__(self) -> None:
        self._at, self._waits = time.monotonic(), 0.0

    def come_round(self, waits: float = 0.0) -> None:
        """The task is alive; it will be back in about ``waits`` seconds."""
        self._at, self._waits = time.monotonic(), waits

    def overdue(self, now: float) -> float:
        """Seconds since it should have come round; negative while it waits."""
        return now - self._at - self._waits
