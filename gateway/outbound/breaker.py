"""The circuit breaker on automatic mail: the brake that holds when every other has failed (security.md 8.4).

It counts what leaves, not why. Mail of people is never stopped and never counted, nor is the alarm itself. What it
stops stays in the outbox, held, until a person looks: ``ticketgate queue`` shows it, ``release`` lets it go.
"""

from __future__ import annotations

import socket
from collections import deque
from datetime import datetime, timedelta

from gateway.model import Delivery, Notice, OutboundMail, Person, Plan
from gateway.outbound.compose import compose_all
from gateway.settings import Settings

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


def write_alarm(settings: Settings, now: datetime) -> tuple[OutboundMail, ...]:
    """The mail to the admins; none when nobody is named."""
    text = (
        f"More than {settings.send.automatic_per_hour} automatic mails would have left within an hour."
        " The rest is held. Answers of agents to customers go out as always.\n\n"
        "Look at what is held, and at where it would go:\n"
        "    ticketgate queue\n"
        "If it is a loop, find the sender in the log and add it to sender_block in [security],\n"
        "or correct agents.toml.\n"
        "If it is a busy day, raise automatic_per_hour in [send]. Then:\n"
        "    ticketgate queue release\n"
    )
    notice = Notice(
        kind="alert",
        # A number that is another one every hour: it makes the Message-ID.
        event=int(now.timestamp() // 3600) % 100_000,
        recipients=tuple(Person(party=0, address=address) for address in settings.ticketgate.admin),
        text=text,
        data={"host": socket.gethostname(), "problem": "automatic mail is held, perhaps a loop"},
    )
    return compose_all(Plan(outcome="alert", notices=(notice,)), None, settings, now) if notice.recipients else ()
