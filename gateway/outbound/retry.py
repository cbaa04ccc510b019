"""When a delivery is tried again, when its author is warned, when it is given up (security.md 14.5, ops.md 7). Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.settings import Send


def _delay(attempt: int, send: Send) -> timedelta:
    """How long to wait after attempt number ``attempt`` (from 1); the last delay repeats."""
    if not send.retry:
        return timedelta(minutes=1)
    return send.retry[min(max(attempt, 1), len(send.retry)) - 1]


def next_due(attempt: int, queued_at: datetime, now: datetime, send: Send) -> datetime | None:
    """When to try again after ``attempt`` failed for now; None when ``give_up`` has passed since it was queued.

    The last try is made at the very end of the period, however long the last delay is.
    """
    end = queued_at + send.give_up
    if now >= end:
        return None
    return min(now + _delay(attempt, send), end)


def warning_due(attempt: int, queued_at: datetime, now: datetime, send: Send) -> bool:
    """Whether this is the attempt after which the author of an answer is told that it is late.

    It is the first one made after ``warn_after``, counted by the schedule: the attempt before it was due earlier. Where
    attempts themselves came late (a host that slept), telling twice is possible and telling never is not.
    """
    if now - queued_at < send.warn_after:
        return False
    before = sum((_delay(n, send) for n in range(1, attempt - 1)), timedelta())
    return attempt <= 1 or before < send.warn_after
