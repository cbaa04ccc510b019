"""Rows that wait by a clock that was ahead: when it is set back they would wait for as long again (fault 62)."""

from __future__ import annotations

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Table

from gateway.store.deliveries import DeliveryState
from gateway.store.schema import deliveries, journal, timers
from gateway.store.statements import claimable

_LIMIT = 10_000  # rows of a table in one transaction; an outbox that is longer has other worries


def bring_forward(tx: Connection, by: timedelta, worker: str, now: datetime) -> int:
    """Let what waits for a retry or for a lease wait ``by`` less, but not into the past; how many rows.

    Of timers only leases: what they ask for is a time of the calendar. Rows of other gateways stay.
    """
    waits = (DeliveryState.QUEUED, DeliveryState.DEFERRED, DeliveryState.TRANSMITTING)
    return (
        _move(tx, journal, journal.c.due_at, claimable(journal.c.lease_owner, worker), by, now)
        + _move(
            tx,
            deliveries,
            deliveries.c.due_at,
            deliveries.c.state.in_(waits) & claimable(deliveries.c.lease_owner, worker),
            by,
            now,
        )
        + _move(tx, timers, timers.c.claim_at, timers.c.lease_owner == worker, by, now)
    )


def _move(
    tx: Connection, table: Table, column: Column[datetime], which: sa.ColumnElement[bool], by: timedelta, now: datetime
) -> int:
    found = tx.execute(
        sa.select(table.c.id, column).where(column > now, which).order_by(column).limit(_LIMIT).with_for_update()
    ).all()
    for number, due in found:
        earlier = max(now, due - by)
        tx.execute(sa.update(table).where(table.c.id == number, column == due).values({column.name: earlier}))
    return len(found)
