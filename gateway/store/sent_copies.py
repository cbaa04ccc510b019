"""Answers of which a copy is due in the Sent folder of a mailbox: noted with the delivery that ended as sent.

The row is there before anybody asks the mailbox's server, so that no crash loses the copy; whoever makes it looks for
the Message-ID first, so that none makes it twice.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.clock import clock
from gateway.model import Delivery, SentCopy
from gateway.store.database import Database
from gateway.store.schema import deliveries, sent_copies
from gateway.store.statements import insert_once

PAUSES = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60, 240, 720, 1440))
"""Between attempts; after the last one a copy is given up, some two days after its mail was sent."""
_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class OpenCopy:
    """A copy that is not in its folder, as operators see it. ``due_at`` None: given up."""

    ticket: int
    event: int
    account: str
    due_at: datetime | None
    reply: str


class SentCopies:
    """What the IMAP edge must find again after a restart; every method returns after its commit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, account: str) -> Sequence[SentCopy]:
        return await self._database.read(lambda tx: find_due(tx, account, clock()))

    async def content(self, copy: SentCopy) -> bytes:
        return await self._database.read(lambda tx: find_content(tx, copy.delivery))

    async def settle(self, copy: SentCopy) -> None:
        await self._database.write(lambda tx: settle(tx, copy.delivery))

    async def put_off(self, copies: Collection[SentCopy], why: str) -> int:
        numbers = [copy.delivery for copy in copies]
        return await self._database.write(lambda tx: put_off(tx, numbers, why, clock()))


def note(tx: Connection, delivery: Delivery, account: str, now: datetime) -> None:
    """This mail was sent: a copy is due. Of an answer to several people the first that leaves is kept, once."""
    mail = delivery.mail
    tx.execute(
        insert_once(tx, sent_copies),
        {
            "ticket": mail.ticket,
            "event": mail.event,
            "delivery": delivery.id,
            "account": account,
            "sent_at": now,
            "attempts": 0,
            "due_at": now,
            "reply": "",
        },
    )


def find_due(tx: Connection, account: str, now: datetime) -> list[SentCopy]:
    """What must go into this mailbox now, the oldest first; at most 50."""
    due = (sent_copies.c.account == account) & (sent_copies.c.due_at <= now)
    rows = tx.execute(
        sa.select(sent_copies.c.delivery, sent_copies.c.sent_at, deliveries.c.message_id)
        .join(deliveries, deliveries.c.id == sent_copies.c.delivery)
        .where(due)
        .order_by(sent_copies.c.due_at, sent_copies.c.delivery)
        .limit(_AT_ONCE)
    )
    return [SentCopy(row.delivery, row.message_id, row.sent_at) for row in rows]


def find_content(tx: Connection, delivery: int) -> bytes:
    """The mail as it was sent; b"" when it was erased meanwhile."""
    content = tx.execute(sa.select(deliveries.c.content).where(deliveries.c.id == delivery)).scalar()
    return bytes(content or b"")


def settle(tx: Connection, delivery: int) -> None:
    """The copy is there, or there is nothing to copy any more."""
    tx.execute(sa.update(sent_copies).where(sent_copies.c.delivery == delivery).values(due_at=None, reply=""))


def put_off(tx: Connection, numbers: Collection[int], why: str, now: datetime) -> int:
    """These could not be made; each is due again after its next pause. How many are given up instead."""
    given_up = 0
    rows = tx.execute(sa.select(sent_copies).where(sent_copies.c.delivery.in_(numbers))).all()
    for row in rows:
        pause = PAUSES[row.attempts] if row.attempts < len(PAUSES) else None
        given_up += pause is None
        due_at = now + pause if pause is not None else None
        tx.execute(
            sa.update(sent_copies)
            .where(sent_copies.c.delivery == row.delivery)
            .values(attempts=row.attempts + 1, due_at=due_at, reply=why)
        )
    return given_up


def list_open(tx: Connection) -> list[OpenCopy]:
    """Copies that wait or were given up, for an operator."""
    c = sent_copies.c
    rows = tx.execute(sa.select(sent_copies).where(c.due_at.is_not(None) | (c.reply != "")).order_by(c.delivery))
    return [OpenCopy(row.ticket, row.event, row.account, row.due_at, row.reply) for row in rows]
