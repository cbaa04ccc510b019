"""Mails that still wait for their first attempt: notifications that may be told together with what comes next, and
answers that their author may take back."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.model import PendingNotice
from gateway.seal import ENDED
from gateway.store.answers import files_of
from gateway.store.deliveries import DeliveryState
from gateway.store.marks import mark_ids
from gateway.store.schema import deliveries

_WAITING = sa.select(deliveries.c.event, deliveries.c.party, deliveries.c.due_at, deliveries.c.content).where(
    deliveries.c.ticket == sa.bindparam("of_ticket"),
    deliveries.c.kind == "customer-reply",
    deliveries.c.state == DeliveryState.QUEUED,
    deliveries.c.attempt == 0,
)


def find_pending(tx: Connection, ticket: int) -> tuple[PendingNotice, ...]:
    """Those of a ticket that nobody tried to send yet, with what is attached; their rows are locked."""
    rows = tx.execute(_WAITING.with_for_update(), {"of_ticket": ticket}).all()
    return tuple(
        PendingNotice(event=row.event, party=row.party, due_at=row.due_at, files=files_of(row.content)) for row in rows
    )


def find_unsent(tx: Connection, ticket: int) -> frozenset[int]:
    """The events of a ticket whose answers all still wait for their first attempt; their rows are locked."""
    rows = tx.execute(
        sa.select(deliveries.c.event, deliveries.c.state, deliveries.c.attempt)
        .where(deliveries.c.ticket == ticket, deliveries.c.automatic.is_(False))
        .with_for_update()
    ).all()
    gone = {row.event for row in rows if row.state != DeliveryState.QUEUED or row.attempt}
    return frozenset(row.event for row in rows) - gone


def withdraw(tx: Connection, ticket: int, event: int, now: datetime) -> int:
    """Never send the waiting mails of this event (``#undo``, gathered notifications); how many there were."""
    waiting = (deliveries.c.state == DeliveryState.QUEUED) & (deliveries.c.attempt == 0)
    ended = tx.execute(
        sa.update(deliveries)
        .where(deliveries.c.ticket == ticket, deliveries.c.event == event, waiting)
        .values(
            state=DeliveryState.FAILED,
            due_at=None,
            ended_at=now,
            # Nobody takes a notification back: the next mail of the customer took its place (desk/gathering.py).
            reply=sa.case(
                (deliveries.c.automatic, "told together with the next mail"), else_="taken back by its author"
            ),
        )
        .returning(deliveries.c.id)
    )
    numbers = list(ended.scalars())
    mark_ids(tx, ENDED, numbers)
    return len(numbers)
