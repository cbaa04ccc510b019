"""Rows with a due time (architecture promise 9). Kind, ticket and party identify one: setting it again moves it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from gateway.model import Plan, Timer, TimerSet
from gateway.store.gate import is_held
from gateway.store.schema import timers
from gateway.store.statements import claimable, insert_once, upsert

_CLEAR = sa.delete(timers).where(
    timers.c.ticket == bindparam("of_ticket"), timers.c.kind.in_(bindparam("kinds", expanding=True))
)


def record(tx: Connection, plan: Plan) -> None:
    """Clear what the plan clears on its ticket, then set what it sets."""
    if plan.ticket and plan.clear_timers:
        tx.execute(_CLEAR, {"of_ticket": plan.ticket, "kinds": list(plan.clear_timers)})
    set_timers(tx, plan.timers)


def set_missing(tx: Connection, wanted: Iterable[TimerSet]) -> None:
    """Set those that are not there; what is there keeps its time."""
    rows = [_row(timer) for timer in wanted]
    if rows:
        tx.execute(insert_once(tx, timers), rows)


def set_timers(tx: Connection, wanted: Iterable[TimerSet]) -> None:
    """Set or move timers. One that is claimed and moved meanwhile is due again at the new time."""
    # One row a key: PostgreSQL refuses a statement that would touch a row twice. The later one counts.
    rows = {(timer.kind, timer.ticket, timer.party): _row(timer) for timer in wanted}
    if not rows:
        return
    tx.execute(upsert(tx, timers, "due_at", "claim_at", "lease_owner", "data"), list(rows.values()))


def _row(timer: TimerSet) -> dict[str, Any]:
    return {
        "kind": timer.kind,
        "ticket": timer.ticket,
        "party": timer.party,
        "due_at": timer.due_at,
        "claim_at": timer.due_at,
        "lease_owner": "",
        "data": timer.data,
    }


def clear(tx: Connection, ticket: int, kinds: Sequence[str] = (), party: int | None = None) -> int:
    """Remove a ticket's timers of these kinds (none named: all), of one party when given; how many there were."""
    statement = sa.delete(timers).where(timers.c.ticket == ticket)
    if kinds:
        statement = statement.where(timers.c.kind.in_(kinds))
    if party is not None:
        statement = statement.where(timers.c.party == party)
    return tx.execute(statement).rowcount


def claim_due(tx: Connection, limit: int, worker: str, now: datetime, lease: timedelta) -> list[Timer]:
    """At most ``limit`` due timers, earliest first, for this worker until ``now + lease``."""
    if is_held(tx):
        return []  # the store was put back: nothing that was due meanwhile is made up for
    due = (
        sa.select(timers.c.id)
        .where(timers.c.claim_at <= now, claimable(timers.c.lease_owner, worker))
        .order_by(timers.c.claim_at, timers.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = tx.execute(
        sa.update(timers)
        .where(timers.c.id.in_(due))
        .values(claim_at=now + lease, lease_owner=worker)
        .returning(timers.c.id, timers.c.kind, timers.c.due_at, timers.c.ticket, timers.c.party, timers.c.data)
    ).all()
    return [
        Timer(id=row.id, kind=row.kind, due_at=row.due_at, ticket=row.ticket, party=row.party, data=row.data)
        for row in sorted(rows, key=lambda row: (row.due_at, row.id))
    ]


def expire_leases(tx: Connection, now: datetime, owner: str | None) -> int:
    """Take back at once what ``owner``, who is dead, had claimed; None: whoever had it."""
    theirs = timers.c.lease_owner != "" if owner is None else timers.c.lease_owner == owner
    return tx.execute(sa.update(timers).where(theirs).values(claim_at=now, lease_owner="")).rowcount


def finish(tx: Connection, timer: Timer) -> bool:
    """Remove a claimed timer; call it first in the transaction that records its plan.

    False: another worker did its work, or it was cleared or moved since: then nothing must be recorded.
    """
    done = tx.execute(sa.delete(timers).where(timers.c.id == timer.id, timers.c.due_at == timer.due_at))
    return done.rowcount == 1


def postpone(tx: Connection, timer: Timer, until: datetime) -> None:
    """Its work failed: claimable again at ``until``."""
    tx.execute(
        sa.update(timers)
        .where(timers.c.id == timer.id, timers.c.due_at == timer.due_at)
        .values(claim_at=until, lease_owner="")
    )


def list_timers(tx: Connection, ticket: int) -> list[Timer]:
    """The timers of a ticket, earliest first."""
    rows = tx.execute(sa.select(timers).where(timers.c.ticket == ticket).order_by(timers.c.due_at, timers.c.id))
    return [
        Timer(id=row.id, kind=row.kind, due_at=row.due_at, ticket=row.ticket, party=row.party, data=row.data)
        for row in rows
    ]
