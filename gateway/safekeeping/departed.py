"""What this gateway sent, held against an outbox that is held because the store was put back (decision 0015).

Each gateway knows what it sent from a file of its own. While the outbox is held each looks through it, and only when
all have does ``ticketgate queue release`` open it: no mail leaves twice because another host had sent it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from gateway import maillog
from gateway.outbound.sent_copy import choose_mailbox
from gateway.safekeeping.outside import (
    gateway_name,
    read_certain,
    read_gateways,
    read_sent,
    state_folder,
    write_gateways,
)
from gateway.settings import Settings
from gateway.store import deliveries, sent_copies
from gateway.store.gate import held_since
from gateway.store.recovery import (
    find_gateways,
    find_newest_waiting,
    introduce,
    note_compared,
    record_certain,
    record_left,
)

AGAIN = timedelta(hours=1)
"""How often the log says that the outbox is held."""


class Departed:
    """``since``: since when something may be missing, while the outbox is held; None: it is not."""

    def __init__(self, settings: Callable[[], Settings]) -> None:
        self._settings = settings
        self._folder, self._name = state_folder(settings()), gateway_name(settings())
        self._seen = read_gateways(self._folder)
        self._compared = 0
        self._said: datetime | None = None
        self._unwritten = False
        self.since: datetime | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called in any thread when the outbox is held, or is not any more."""

    def begin(self, tx: Connection, now: datetime) -> None:
        """At the start, before anything is claimed: what the relay had when a crash came is not sent again."""
        before = record_certain(tx, read_certain(self._folder), now)
        if before:
            self._copy(tx, before, now)
            maillog.noted("had left before the crash, recorded as sent", mails=len(before))
        self._compared = 0
        self.compare(tx, now)

    def compare(self, tx: Connection, now: datetime) -> None:
        """Every few seconds: whether the outbox is held, and if it is, which of it this gateway had sent."""
        since = held_since(tx)
        shared = tx.dialect.name == "postgresql"  # a SQLite store has one gateway, which has its files beside it
        if shared:
            self._introduce(tx)
        if since is None:
            self._compared = 0
        elif (newest := find_newest_waiting(tx)) > self._compared or not self._compared:
            before = record_left(tx, read_sent(self._folder), now)
            if before:
                self._copy(tx, before, now)
                maillog.noted("had left before the store was put back, recorded as sent", mails=len(before))
            if shared:
                note_compared(tx, self._name, newest)
            self._compared = max(newest, 1)
        self._say(since, now)

    def _copy(self, tx: Connection, numbers: list[int], now: datetime) -> None:
        """What follows a mail that left (deliver.py) follows now: a copy in the Sent folder, looked for first."""
        for number in numbers:
            entry = deliveries.find(tx, number)
            mailbox = choose_mailbox(entry.delivery.mail, self._settings()) if entry else None
            if entry and mailbox:
                sent_copies.note(tx, entry.delivery, mailbox.handle, now)

    def _introduce(self, tx: Connection) -> None:
        known = frozenset(find_gateways(tx))
        if not {self._name, *self._seen} <= known:
            introduce(tx, {self._name, *self._seen})
        if known - self._seen:
            self._seen |= known
            self._unwritten = True

    def note_gateways(self) -> None:
        """Write down outside the database who works on it. Raises OSError."""
        if self._unwritten:
            write_gateways(self._folder, self._seen)
            self._unwritten = False

    def _say(self, since: datetime | None, now: datetime) -> None:
        before, self.since = self.since, since
        if since is not None and (self._said is None or not timedelta() <= now - self._said < AGAIN):
            self._said = now
            maillog.alerted(
                "the outbox is held, nothing is sent",
                f"the store was put back to {since:%Y-%m-%d %H:%MZ}; ticketgate queue, then ticketgate queue release",
            )
        elif since is None:
            self._said = None
        if since != before:
            self.changed()
