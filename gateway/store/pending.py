"""Notifications of customers' mail that still wait to be sent: what comes next may be told together with them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.model import PendingNotice
from gateway.store.answers import files_of
from gateway.store.deliveries import DeliveryState
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
