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


def warning_due(queued_at: datetime, now: datetime, send: Send) -> bool:
    """Whether the author of an answer that still waits must know by now that it is late.

    Attempts do not tell: a relay that is repaired, or an operator, has them made out of turn.
    """
    return now - queued_at >= send.warn_after
