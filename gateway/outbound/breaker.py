"""The circuit breaker on automatic mail: the brake that holds when every other has failed (security.md 8.4).

It counts what leaves, not why. Mail of people is never stopped and never counted, nor is the alarm itself. What it
stops stays in the outbox, held, until a person looks: ``ticketgate queue`` shows it, ``release`` lets it go.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from gateway.model import Delivery

HOUR = timedelta(hours=1)
REPLY = "held: too much automatic mail within the hour, perhaps a loop"


class Breaker:
    """Counts the automatic mails of the last hour, all inboxes together. One in each process; a restart begins anew."""

    def __init__(self) -> None:
        self._sent: deque[datetime] = deque()
        self._alarm: datetime | None = None

    def stops(self, delivery: Delivery, limit: int, now: datetime) -> bool:
        """Whether this mail must be held; counts it when it may go. ``limit`` is per hour, 0 means none."""
        mail = delivery.mail
        # A second attempt was counted at the first, or a person has released the mail.
        if not limit or not mail.automatic or mail.kind == "alert" or delivery.attempt > 1:
            return False
        while self._sent and self._sent[0] <= now - HOUR:
            self._sent.popleft()
        if len(self._sent) >= limit:
            return True
        self._sent.append(now)
        return False

    def alarm_due(self, quiet: timedelta, now: datetime) -> bool:
        """Whether the admins must be told now; true once within ``quiet``."""
        if self._alarm is not None and now - self._alarm < quiet:
            return False
        self._alarm = now
        return True
