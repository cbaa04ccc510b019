"""What is measured for a monitoring system: a few numbers about the whole store, each by an index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.store.deliveries import OPEN
from gateway.store.schema import deliveries, events, journal, tickets
from gateway.store.undelivered import WEEK, count_barred, count_undelivered, find_barred

_ENDED = ("closed", "spam")
_ANSWERS = (
    sa.select(events.c.at)
    .where(events.c.kind == "answer", events.c.public.is_(True))
    .order_by(events.c.number)
    .limit(2)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """The numbers at one moment. Ages are of the oldest row, 0 without one; ``size`` in bytes."""

    received: int  # mails that are taken over and not decided
    oldest_received: timedelta
    outbox: int  # deliveries that have not ended, held ones too
    oldest_outbox: timedelta  # of those that nobody holds
    tickets: Mapping[str, int]  # by state
    held: Mapping[str, int]  # by reason
    barred: int  # deliveries that wait because the relay refuses us
    barred_reply: str  # in these words
    barred_recipients: int  # different ones of them
    undelivered: int  # that ended within the last week without having arrived
    size: int


def measure(tx: Connection, now: datetime) -> Gauges:
    """The numbers now."""
    received, first_received = _count(tx, journal.c.received_at, journal.c.state == "received")
    outbox, _ = _count(tx, deliveries.c.queued_at, deliveries.c.state.in_(OPEN))
    _, first_queued = _count(tx, deliveries.c.queued_at, deliveries.c.state.in_([s for s in OPEN if s != "held"]))
    by_state = tx.execute(sa.select(tickets.c.state, sa.func.count()).group_by(tickets.c.state))
    by_reason = sa.select(journal.c.reason, sa.func.count()).where(journal.c.state == "held").group_by(journal.c.reason)
    barred, words = count_barred(tx)
    return Gauges(
        received=received,
        oldest_received=_age(first_received, now),
        outbox=outbox,
        oldest_outbox=_age(first_queued, now),
        tickets={str(state): int(number) for state, number in by_state},
        held={str(reason): int(number) for reason, number in tx.execute(by_reason)},
        barred=barred,
        barred_reply=words,
        barred_recipients=len(find_barred(tx)) if barred else 0,
        undelivered=count_undelivered(tx, now - WEEK),
        size=_size(tx),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxGauges:
    """One inbox: tickets that are not closed, those of them that nobody has, and when mail last came and left."""

    open: int
    unowned: int
    last_in: datetime | None
    last_out: datetime | None


_LATELY = 5_000  # rows of mail that are looked at for the last of each inbox: an age beyond them is not told


def measure_inboxes(tx: Connection, inboxes: Iterable[str]) -> dict[str, InboxGauges]:
    """The same for each inbox, for a person at the shell."""
    unowned = sa.func.sum(sa.case((tickets.c.owner.is_(None), 1), else_=0))
    count = sa.select(tickets.c.inbox, sa.func.count(), unowned).where(tickets.c.state.not_in(_ENDED))
    counted = {row[0]: (int(row[1]), int(row[2])) for row in tx.execute(count.group_by(tickets.c.inbox))}
    mails_in = sa.select(journal.c.inbox, journal.c.received_at).order_by(journal.c.id.desc()).limit(_LATELY)
    mails_out = (
        sa.select(tickets.c.inbox, deliveries.c.ended_at)
        .join(tickets, tickets.c.number == deliveries.c.ticket)
        .where(deliveries.c.state == "sent")
        .order_by(deliveries.c.id.desc())
        .limit(_LATELY)
    )
    last_in, last_out = _latest(tx, mails_in), _latest(tx, mails_out)
    return {
        name: InboxGauges(
            open=counted.get(name, (0, 0))[0],
            unowned=counted.get(name, (0, 0))[1],
            last_in=last_in.get(name),
            last_out=last_out.get(name),
        )
        for name in inboxes
    }


def _latest(tx: Connection, rows: sa.Select[Any]) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for name, moment in tx.execute(rows).all():
        found[name] = max(moment, found.get(name, moment))
    return found


def find_first_answer(tx: Connection, ticket: int) -> timedelta | None:
    """How long its customer waited for the only answer there is; None when there is none, or more than one."""
    opened = tx.execute(sa.select(tickets.c.created_at).where(tickets.c.number == ticket)).scalar()
    answers = tx.execute(_ANSWERS.where(events.c.ticket == ticket)).scalars().all()
    return answers[0] - opened if opened is not None and len(answers) == 1 else None


def _age(first: datetime | None, now: datetime) -> timedelta:
    return max(now - first, timedelta()) if first else timedelta()


def _count(
    tx: Connection, column: sa.Column[datetime], condition: sa.ColumnElement[bool]
) -> tuple[int, datetime | None]:
    row = tx.execute(sa.select(sa.func.count(), sa.func.min(column)).where(condition)).one()
    return int(row[0]), row[1]


def _size(tx: Connection) -> int:
    if tx.dialect.name == "postgresql":
        return int(tx.execute(sa.select(sa.func.pg_database_size(sa.func.current_database()))).scalar_one())
    pages = tx.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages) * int(tx.exec_driver_sql("PRAGMA page_size").scalar_one())
