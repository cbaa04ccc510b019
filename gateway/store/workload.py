"""Who has how much, who knows whom, and which tickets no clock watches: what offers are decided with (mail.md 15)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.model import State
from gateway.store.schema import events, tickets, timers

_UNSOLVED = (State.NEW, State.OPEN)


def find_loads(tx: Connection) -> dict[int, int]:
    """Party of an owner -> tickets of theirs in which a customer waits. Who has none is not named."""
    rows = tx.execute(
        sa.select(tickets.c.owner, sa.func.count())
        .where(tickets.c.state.in_(_UNSOLVED), tickets.c.owner.is_not(None))
        .group_by(tickets.c.owner)
    )
    return {row[0]: row[1] for row in rows}


def find_last_answerer(tx: Connection, customer: int, since: datetime) -> int:
    """The party who last answered this customer, on any ticket; 0: nobody since then."""
    found = tx.execute(
        sa.select(events.c.party)
        .join(tickets, tickets.c.number == events.c.ticket)
        .where(tickets.c.customer == customer, events.c.kind == "answer", events.c.at > since)
        .order_by(events.c.at.desc(), events.c.ticket.desc(), events.c.number.desc())
        .limit(1)
    ).scalar()
    return found or 0


def find_unwatched(tx: Connection, agents: Collection[int]) -> list[int]:
    """Tickets in which a customer waits and that belong to nobody of ``agents`` (parties) or have no row due."""
    reminders = timers.c.kind.like("unclaimed-%") | timers.c.kind.like("unanswered-%") | (timers.c.kind == "orphan")
    watched = sa.exists().where(timers.c.ticket == tickets.c.number, reminders)
    left = tickets.c.owner.is_not(None) & tickets.c.owner.not_in(list(agents))
    rows = tx.execute(
        sa.select(tickets.c.number)
        .where(tickets.c.state.in_(_UNSOLVED), sa.func.coalesce(tickets.c.merged_into, 0) == 0, left | ~watched)
        .order_by(tickets.c.number)
    )
    return list(rows.scalars())
