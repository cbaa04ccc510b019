"""Outgoing mails, frozen: queued with the decision that caused them, attempted under a lease (security.md 14.5).

A person's answer is sent at least once with the same Message-ID; automatic mail at most once. So a delivery whose
worker was lost in the middle of an attempt is due again in the first case and ends as UNKNOWN in the second.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.model import Delivery, OutboundMail, Plan
from gateway.seal import ENDED, QUEUED
from gateway.store.gate import is_held
from gateway.store.marks import mark_ids
from gateway.store.schema import deliveries, message_ids
from gateway.store.statements import claimable, insert_once


class DeliveryState(StrEnum):
    """States of a delivery; SENT, FAILED and UNKNOWN are final."""

    QUEUED = "queued"
    TRANSMITTING = "transmitting"
    DEFERRED = "deferred"
    HELD = "held"
    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"


OPEN = (DeliveryState.QUEUED, DeliveryState.TRANSMITTING, DeliveryState.DEFERRED, DeliveryState.HELD)
"""States in which something is still to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """A delivery as operators see it."""

    delivery: Delivery
    state: DeliveryState
    due_at: datetime | None  # next attempt, or the end of the lease
    ended_at: datetime | None
    reply: str  # the last thing the other side said


_ENQUEUE = sa.insert(deliveries).returning(deliveries.c.id, sort_by_parameter_order=True)


def enqueue(
    tx: Connection, mails: Sequence[OutboundMail], now: datetime, hold_seconds: int = 0, cause: int = 0
) -> list[int]:
    """Queue frozen mails and remember their Message-IDs as issued to their party; the rows' numbers, in order.

    ``cause`` is the journal row of the mail they were decided with, 0 for a timer or a command.
    ``hold_seconds`` delays answers of people only (#undo, ``[send].hold_seconds``); ``not_before`` of a mail delays it
    until its recipient's quiet hours end.
    """
    if not mails:
        return []
    later = now + timedelta(seconds=hold_seconds)
    rows = tx.execute(
        _ENQUEUE,
        [
            {
                "ticket": mail.ticket,
                "event": mail.event,
                "party": mail.party,
                "kind": mail.kind,
                "message_id": mail.message_id,
                "reverse_path": mail.reverse_path,
                "recipient": mail.recipient,
                "content": mail.content,
                "automatic": mail.automatic,
                "public": mail.public,
                "author": mail.author,
                "state": DeliveryState.QUEUED,
                "attempt": 0,
                "queued_at": now,
                "due_at": max(now if mail.automatic else later, mail.not_before or now),
                "lease_owner": "",
                "reply": "",
                "transmitted": 0,
                "barred": False,
                "cause": cause,
            }
            for mail in mails
        ],
    ).scalars()
    numbers = list(rows)
    mark_ids(tx, QUEUED, numbers)
    tx.execute(
        insert_once(tx, message_ids),
        [
            {
                "message_id": mail.message_id,
                "ticket": mail.ticket,
                "event": mail.event,
                "party": mail.party,
                "public": mail.public,
                "at": now,
            }
            for mail in mails
        ],
    )
    return numbers


def claim_due(
    tx: Connection, limit: int, worker: str, now: datetime, lease: timedelta, but_not: Collection[int] = ()
) -> list[Delivery]:
    """At most ``limit`` due mails, each marked TRANSMITTING with its attempt counted.

    Commit before connecting: what happens after is then known to have been possible. Attempts whose lease ended are
    taken up again for a person's answer; automatic ones become UNKNOWN and are never sent again. ``but_not``: what the
    worker is sending now, though the clock may say that its lease is over.
    """
    free = claimable(deliveries.c.lease_owner, worker) & deliveries.c.id.not_in(but_not)
    lost = (deliveries.c.state == DeliveryState.TRANSMITTING) & (deliveries.c.due_at <= now) & free
    ended = tx.execute(
        sa.update(deliveries)
        .where(lost, deliveries.c.automatic.is_(True))
        .values(
            state=DeliveryState.UNKNOWN,
            due_at=None,
            ended_at=now,
            lease_owner="",
            reply="the worker was lost during the attempt",
        )
        .returning(deliveries.c.id)
    )
    mark_ids(tx, ENDED, list(ended.scalars()))
    wanted = deliveries.c.due_at <= now
    if is_held(tx):  # the store was put back: nothing but the alarm leaves until an operator says so
        wanted = wanted & (deliveries.c.kind == "alert")
    due = (
        sa.select(deliveries.c.id)
        .where(wanted, free)
        .order_by(deliveries.c.due_at, deliveries.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = tx.execute(
        sa.update(deliveries)
        .where(deliveries.c.id.in_(due))
        .values(
            state=DeliveryState.TRANSMITTING,
            attempt=deliveries.c.attempt + 1,
            due_at=now + lease,
            lease_owner=worker,
        )
        .returning(deliveries)
    ).all()
    return [_to_delivery(row) for row in sorted(rows, key=lambda row: row.id)]


def expire_leases(tx: Connection, now: datetime, owner: str | None) -> int:
    """Treat every attempt of ``owner``, who is dead, as lost; None: of anybody."""
    lost = deliveries.c.state == DeliveryState.TRANSMITTING
    if owner is not None:
        lost = lost & (deliveries.c.lease_owner == owner)
    return tx.execute(sa.update(deliveries).where(lost).values(due_at=now)).rowcount


def put_back_untried(tx: Connection, now: datetime, owner: str, but_not: Collection[int]) -> int:
    """Queue again what ``owner`` claimed without being told that it had; ``but_not``: what it did try."""
    unseen = (deliveries.c.state == DeliveryState.TRANSMITTING) & (deliveries.c.lease_owner == owner)
    unseen = unseen & deliveries.c.id.not_in(but_not)
    again = {"state": DeliveryState.QUEUED, "due_at": now, "lease_owner": ""}
    return tx.execute(sa.update(deliveries).where(unseen).values(**again)).rowcount


def record_attempt(
    tx: Connection,
    delivery: Delivery,
    outcome: str,
    reply: str,
    next_due: datetime | None,
    now: datetime,
    *,
    left: bool = False,
    barred: bool = False,
) -> DeliveryState | None:
    """What an attempt came to; the new state, None when the attempt is not the current one any more.

    ``outcome``: ``sent``, ``failed``; ``deferred`` is due again at ``next_due`` (None: given up, FAILED); ``unknown``
    is due again for a person's answer (None: UNKNOWN), final for automatic mail. ``left``: the whole mail was
    transmitted, and nobody knows whether it was taken. ``barred``: the relay refused us, not this mail.
    """
    if outcome == "sent":
        state = DeliveryState.SENT
    elif outcome == "failed":
        state = DeliveryState.FAILED
    elif outcome == "deferred":
        state = DeliveryState.DEFERRED if next_due else DeliveryState.FAILED
    elif outcome == "unknown":
        again = next_due is not None and not delivery.mail.automatic
        state = DeliveryState.DEFERRED if again else DeliveryState.UNKNOWN
    else:
        raise ValueError(f"no outcome of an attempt: {outcome!r}")
    ended = state is not DeliveryState.DEFERRED
    result = tx.execute(
        sa.update(deliveries)
        .where(
            deliveries.c.id == delivery.id,
            deliveries.c.attempt == delivery.attempt,
            deliveries.c.state == DeliveryState.TRANSMITTING,
        )
        .values(
            state=state,
            due_at=None if ended else next_due,
            ended_at=now if ended else None,
            lease_owner="",
            reply=reply,
            transmitted=deliveries.c.transmitted + int(left),
            barred=barred,
        )
    )
    if result.rowcount != 1:
        return None
    if ended:
        mark_ids(tx, ENDED, [delivery.id])
    return state


def hold_back(tx: Connection, delivery: Delivery, reply: str) -> bool:
    """Hold a claimed mail that was not tried, until an operator releases it; False when the claim is not ours any more.

    Its attempt stays counted, so that a released mail is not taken for a first attempt.
    """
    claimed = (deliveries.c.id == delivery.id) & (deliveries.c.attempt == delivery.attempt)
    result = tx.execute(
        sa.update(deliveries)
        .where(claimed, deliveries.c.state == DeliveryState.TRANSMITTING)
        .values(state=DeliveryState.HELD, due_at=None, lease_owner="", reply=reply)
    )
    return result.rowcount == 1


def report_failed(tx: Connection, delivery_id: int, reply: str, now: datetime) -> bool:
    """A delivery report says that a mail that was sent did not arrive; False when it was not SENT or UNKNOWN."""
    return _move(
        tx,
        delivery_id,
        (DeliveryState.SENT, DeliveryState.UNKNOWN),
        state=DeliveryState.FAILED,
        reply=reply,
        ended_at=now,
    )


def record_reports(tx: Connection, plan: Plan, now: datetime) -> list[tuple[str, str]]:
    """What delivery reports say of mails of the plan's ticket: each concerns exactly one delivery (security.md 9).

    Returns (recipient, words) of those that had not been known to have failed.
    """
    return [
        (entry.delivery.mail.recipient, words)
        for ticket, event, party, words in plan.undelivered
        for entry in find_of_event(tx, ticket, event, party)
        if report_failed(tx, entry.delivery.id, words, now)
    ]


def is_queued(tx: Connection, message_id: str) -> bool:
    """Whether a mail with this Message-ID was queued, whatever became of it."""
    named = sa.select(deliveries.c.id).where(deliveries.c.message_id == message_id).limit(1)
    return tx.execute(named).first() is not None


# ------------------------------------------------------------------ looking


def list_outbox(tx: Connection, states: Sequence[DeliveryState] = OPEN, limit: int = 1000) -> list[OutboxEntry]:
    """Deliveries in these states, oldest first, without their content."""
    columns = [column for column in deliveries.c if column is not deliveries.c.content]
    rows = tx.execute(
        sa.select(*columns, sa.literal(b"", sa.LargeBinary).label("content"))
        .where(deliveries.c.state.in_(states))
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    return [_to_entry(row) for row in rows]


def find(tx: Connection, delivery_id: int) -> OutboxEntry | None:
    """One delivery with its content."""
    row = tx.execute(sa.select(deliveries).where(deliveries.c.id == delivery_id)).first()
    return _to_entry(row) if row else None


def find_of_event(tx: Connection, ticket: int, event: int, party: int = 0) -> list[OutboxEntry]:
    """The deliveries of an event (to one party), as a bounce token or the history names them."""
    statement = sa.select(deliveries).where(deliveries.c.ticket == ticket, deliveries.c.event == event)
    if party:
        statement = statement.where(deliveries.c.party == party)
    return [_to_entry(row) for row in tx.execute(statement.order_by(deliveries.c.id))]


def pending(tx: Connection) -> int:
    """How many deliveries are not final."""
    return tx.execute(sa.select(sa.func.count()).where(deliveries.c.state.in_(OPEN))).scalar_one()


# ------------------------------------------------------------------ by an operator


def hold(tx: Connection, delivery_id: int | None = None) -> int:
    """Stop one delivery, or (None) all that wait; one in transmission is not touched. How many were stopped."""
    return _move_all(
        tx, delivery_id, (DeliveryState.QUEUED, DeliveryState.DEFERRED), state=DeliveryState.HELD, due_at=None
    )


def release(tx: Connection, now: datetime, delivery_id: int | None = None) -> int:
    """Let one held delivery, or (None) all, go on. How many were released."""
    return _move_all(tx, delivery_id, (DeliveryState.HELD,), state=DeliveryState.QUEUED, due_at=now)


def flush(tx: Connection, now: datetime, delivery_id: int | None = None) -> int:
    """Make one waiting delivery, or (None) all, due now. How many."""
    return _move_all(tx, delivery_id, (DeliveryState.QUEUED, DeliveryState.DEFERRED), due_at=now)


def drop(tx: Connection, delivery_id: int, reason: str, now: datetime) -> bool:
    """Give up a delivery that waits or is held; False when it is in transmission or final."""
    return _move(
        tx,
        delivery_id,
        (DeliveryState.QUEUED, DeliveryState.DEFERRED, DeliveryState.HELD),
        state=DeliveryState.FAILED,
        due_at=None,
        ended_at=now,
        reply=f"dropped: {reason}",
    )


def _move(tx: Connection, delivery_id: int, states: Sequence[DeliveryState], **values: Any) -> bool:
    return _move_all(tx, delivery_id, states, **values) == 1


def _move_all(tx: Connection, delivery_id: int | None, states: Sequence[DeliveryState], **values: Any) -> int:
    statement = sa.update(deliveries).where(deliveries.c.state.in_(states)).values(**values)
    if delivery_id is not None:
        statement = statement.where(deliveries.c.id == delivery_id)
    moved = list(tx.execute(statement.returning(deliveries.c.id)).scalars())
    if "ended_at" in values:
        mark_ids(tx, ENDED, moved)
    return len(moved)


def _to_delivery(row: Any) -> Delivery:
    return Delivery(
        id=row.id,
        mail=OutboundMail(
            ticket=row.ticket,
            event=row.event,
            party=row.party,
            kind=row.kind,
            message_id=row.message_id,
            reverse_path=row.reverse_path,
            recipient=row.recipient,
            content=row.content,
            automatic=row.automatic,
            public=row.public,
            author=row.author,
        ),
        attempt=row.attempt,
        queued_at=row.again_at or row.queued_at,
        transmitted=row.transmitted,
    )


def _to_entry(row: Any) -> OutboxEntry:
    return OutboxEntry(
        delivery=_to_delivery(row),
        state=DeliveryState(row.state),
        due_at=row.due_at,
        ended_at=row.ended_at,
        reply=row.reply,
    )
