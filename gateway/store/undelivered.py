"""Outgoing mails that did not arrive: which, why, and one of them sent again by an operator.

Of a person's answer its author hears; of automatic mail nobody would, were it not for this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.seal import ENDED
from gateway.store.deliveries import OPEN, DeliveryState
from gateway.store.marks import mark_ids
from gateway.store.schema import deliveries

WEEK = timedelta(days=7)
"""How long what did not arrive is pointed at."""
_LOST = (DeliveryState.FAILED, DeliveryState.UNKNOWN)
_TRIED = deliveries.c.attempt > 0  # else taken back by its author, or told together with the next mail
_WAITS_FOR_RELAY = deliveries.c.barred & deliveries.c.state.in_([state for state in OPEN if state != "held"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """One mail that has not arrived, as far as anybody knows; ``state``: unknown when it may have."""

    id: int
    ticket: int
    event: int
    kind: str
    recipient: str
    state: DeliveryState
    ended_at: datetime | None
    reply: str


_SELECT = sa.select(*(deliveries.c[name] for name in Undelivered.__slots__))


def _read(tx: Connection, statement: sa.Select[tuple[object, ...]]) -> tuple[Undelivered, ...]:
    rows = tx.execute(statement.order_by(deliveries.c.id)).all()
    return tuple(Undelivered(**{**row._mapping, "state": DeliveryState(row.state)}) for row in rows)


def list_undelivered(tx: Connection, since: datetime, limit: int = 1000) -> tuple[Undelivered, ...]:
    """What ended since then without having arrived, oldest first."""
    lost = deliveries.c.state.in_(_LOST) & (deliveries.c.ended_at >= since) & _TRIED
    return _read(tx, _SELECT.where(lost).limit(limit))


def count_undelivered(tx: Connection, since: datetime) -> int:
    """How many :func:`list_undelivered` would list, without its limit."""
    lost = deliveries.c.state.in_(_LOST) & (deliveries.c.ended_at >= since) & _TRIED
    return int(tx.execute(sa.select(sa.func.count()).select_from(deliveries).where(lost)).scalar_one())


def list_of_ticket(tx: Connection, ticket: int) -> tuple[Undelivered, ...]:
    """The mails of a ticket that were not sent: those that ended without it, and those that still wait."""
    here = (deliveries.c.ticket == ticket) & deliveries.c.state.in_([*OPEN, *_LOST])
    taken_back = (deliveries.c.state == DeliveryState.FAILED) & ~_TRIED
    return _read(tx, _SELECT.where(here, ~taken_back))


def reached_nobody(tx: Connection, ticket: int, kind: str) -> bool:
    """Whether every mail of this kind about a ticket has ended, and none was taken by the relay."""
    here = sa.select(deliveries.c.state).where(deliveries.c.ticket == ticket, deliveries.c.kind == kind)
    states = set(tx.execute(here).scalars())
    return bool(states) and states <= set(_LOST)


def send_again(tx: Connection, delivery_id: int, now: datetime) -> bool:
    """Queue a mail that did not arrive once more, as it was; False when it did, still waits, or its bytes are gone.

    The same row: the same bytes, Message-ID and bounce address, and another end that is sealed anew.
    """
    kept = sa.func.length(deliveries.c.content) > 0
    again = (
        sa.update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_(_LOST), _TRIED, kept)
        .values(state=DeliveryState.QUEUED, due_at=now, ended_at=None, again_at=now, barred=False)
    )
    if tx.execute(again).rowcount != 1:
        return False
    mark_ids(tx, ENDED, [delivery_id])
    return True


# ------------------------------------------------------------------ a relay that refuses us


def count_barred(tx: Connection) -> tuple[int, str]:
    """How many mails wait because the relay refuses us, and its words to the newest of them."""
    count = tx.execute(sa.select(sa.func.count()).select_from(deliveries).where(_WAITS_FOR_RELAY)).scalar_one()
    if not count:
        return 0, ""
    newest = sa.select(deliveries.c.reply).where(_WAITS_FOR_RELAY).order_by(deliveries.c.id.desc()).limit(1)
    return int(count), str(tx.execute(newest).scalar() or "")


def find_barred(tx: Connection) -> tuple[str, ...]:
    """The recipients of the mails that wait because the relay refuses us."""
    return tuple(tx.execute(sa.select(deliveries.c.recipient).where(_WAITS_FOR_RELAY).distinct()).scalars())


def waits_barred(tx: Connection, kind: str) -> bool:
    """Whether a mail of this kind is among them."""
    return (
        tx.execute(sa.select(deliveries.c.id).where(_WAITS_FOR_RELAY, deliveries.c.kind == kind).limit(1)).first()
        is not None
    )


def try_barred(tx: Connection) -> int:
    """The relay takes mail again: what waits for it is due, the oldest first. How many."""
    waiting = (deliveries.c.state == DeliveryState.DEFERRED) & deliveries.c.barred
    return tx.execute(sa.update(deliveries).where(waiting).values(due_at=deliveries.c.queued_at)).rowcount


def describe_barred(count: int, reply: str, server: str) -> str:
    """For a person at the shell or at a monitoring system: what is wrong, and what to do."""
    mails = "1 mail waits" if count == 1 else f"{count} mails wait"
    return (
        f"{server} refuses our mail, {mails}: {' '.join(reply.split())}; let it relay for this host, or correct "
        "[send]; it is tried again by itself, or at once: ticketgate queue retry"
    )
