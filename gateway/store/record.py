"""A plan into the database: the ticket, its history, its people; all in the transaction that decided it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam
from sqlalchemy.dialects import postgresql, sqlite

from gateway.address import fold_address
from gateway.model import Mailbox, Plan, State, TicketChange, TicketFacts
from gateway.seal import EVENT
from gateway.settings import Settings
from gateway.store import journal as journal_rows
from gateway.store.loading import load_ticket
from gateway.store.marks import mark
from gateway.store.people import ensure_person, set_agent_choice, set_blocked
from gateway.store.schema import (
    acknowledgements,
    counters,
    events,
    held,
    journal,
    message_ids,
    participants,
    replay_keys,
    tickets,
)
from gateway.store.statements import insert_once

_ENDED = (State.CLOSED, State.SPAM)
_BESIDE = ("hold", "agents-only")
"""Outcomes that put a line beside a ticket: a stranger must not make it younger by writing (security.md 5.1)."""
_STATE = sa.select(journal.c.state).where(journal.c.id == bindparam("row")).with_for_update()
_NEW_TICKET = sa.insert(tickets)
_NEW_EVENT = sa.insert(events)
_ACKNOWLEDGED = sa.insert(acknowledgements)
_CHANGE_TICKET = sa.update(tickets).where(tickets.c.number == bindparam("of_ticket"))
_LAST_POSITION = sa.select(sa.func.coalesce(sa.func.max(participants.c.position), 0)).where(
    participants.c.ticket == bindparam("of_ticket")
)
_WITHOUT_EFFECT = ("discarded", "expired")
_JOURNAL_OF_HELD = sa.select(held.c.journal).where(
    held.c.ticket == bindparam("of_ticket"), held.c.event == bindparam("of_event"), held.c.journal != 0
)
_RESOLVE = sa.update(held).where(
    held.c.ticket == bindparam("of_ticket"), held.c.event == bindparam("of_event"), held.c.resolution == ""
)


def open_ticket(
    tx: Connection, number: int, inbox: str, author: Mailbox | None, settings: Settings, now: datetime
) -> TicketFacts:
    """The ticket a plan is about, locked until the transaction ends.

    ``number`` 0 gives out the next number: without gaps, because it goes back when the transaction is rolled back.
    The fresh ticket is inserted by :func:`record` with ``plan.opens_ticket``; its customer is ``author``. Raises
    LookupError for a number that does not exist.
    """
    if number:
        ticket = load_ticket(tx, number, lock=True)
        if ticket is None:
            raise LookupError(f"there is no ticket {number}")
        return ticket
    customer = ensure_person(tx, author.address, author.name) if author and author.address else None
    number = _next_number(tx, settings.tickets.first_number)
    domain = settings.id_domain
    return TicketFacts(
        number=number,
        uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number}.{domain}")),
        inbox=inbox,
        subject="",
        state=State.NEW,
        created_at=now,
        customer=customer,
        participants=(customer,) if customer else (),
        root=settings.keys.make_message_id(number, 0, 0, domain),
    )


def _next_number(tx: Connection, first: int) -> int:
    return int(tx.execute(_count_up(tx.dialect.name), {"name": "ticket", "value": max(first, 1)}).scalar_one())


@cache
def _count_up(dialect: str) -> sa.Executable:
    statement = postgresql.insert(counters) if dialect == "postgresql" else sqlite.insert(counters)
    following = counters.c.value + 1
    # An operator may raise first_number later: numbers continue from there.
    value = sa.case((following < statement.excluded.value, statement.excluded.value), else_=following)
    return statement.on_conflict_do_update(index_elements=["name"], set_={"value": value}).returning(counters.c.value)


def record(tx: Connection, mail_id: int | None, plan: Plan, ticket: TicketFacts | None, now: datetime) -> bool:
    """Carry a plan into the tables; False, and nothing done, when the mail's row was decided before.

    ``ticket`` is what :func:`open_ticket` returned; ``mail_id`` the journal row, None for a timer or a command. A
    plan without a ticket records acknowledgement, replay keys and releases only. Deliveries, timers and the journal
    row itself belong to the same transaction (``deliveries.enqueue``, ``timers.record``, ``journal.finish``).
    """
    if mail_id is not None and not _is_open(tx, mail_id):
        return False
    number = plan.ticket or (ticket.number if ticket else 0)
    if number:
        if plan.opens_ticket and ticket is not None:
            _insert_ticket(tx, plan, ticket, now)
        else:
            _change_ticket(tx, number, plan, ticket, now)
        _insert_history(tx, number, mail_id or 0, plan, now)
        _record_held(tx, number, mail_id or 0, plan)
    if plan.acknowledged:
        tx.execute(_ACKNOWLEDGED, {"address": fold_address(plan.acknowledged), "at": now})
    if plan.replay_keys and mail_id is not None:
        tx.execute(
            insert_once(tx, replay_keys),
            [{"key": key, "journal": mail_id, "at": now} for key in plan.replay_keys],
        )
    for row_id, instruction in plan.releases:
        journal_rows.release(tx, row_id, now, instruction)
    for row_id in plan.dropped:
        drop_row(tx, row_id, "discarded by a lead")
    for handle, name, value in plan.choices:
        set_agent_choice(tx, handle, name, value, now)
    for address, blocked in plan.blocks:
        set_blocked(tx, address, blocked, now)
    return True


def drop_row(tx: Connection, row_id: int, reason: str) -> bool:
    """Close a held row without effect, and whatever waits for it beside a ticket; False when it is not held."""
    if not journal_rows.discard(tx, row_id, reason):
        return False
    tx.execute(sa.update(held).where(held.c.journal == row_id, held.c.resolution == "").values(resolution="discarded"))
    return True


def _is_open(tx: Connection, mail_id: int) -> bool:
    state = tx.execute(_STATE, {"row": mail_id}).scalar()
    return state in (journal_rows.JournalState.RECEIVED, journal_rows.JournalState.WAITING)


def _insert_ticket(tx: Connection, plan: Plan, ticket: TicketFacts, now: datetime) -> None:
    values: dict[str, Any] = {
        "number": ticket.number,
        "uuid": ticket.uuid,
        "inbox": plan.inbox or ticket.inbox,
        "subject": plan.subject or ticket.subject,
        "state": ticket.state,
        "owner": ticket.owner.party if ticket.owner else None,
        "customer": ticket.customer.party if ticket.customer else None,
        "created_at": ticket.created_at,
        "closed_at": None,
        "snoozed_until": None,
        "root": ticket.root,
        "last_event": ticket.last_event,
        "merged_into": 0,
        "follows": plan.follows,
        "priority": ticket.priority,
        "tags": ticket.tags,
        "watchers": ticket.watchers,
        "muted": ticket.muted,
        "title": ticket.title,
    }
    values.update(_changed(plan, ticket, now))
    tx.execute(_NEW_TICKET, values)
    change = plan.change
    joining = [values["customer"]] if values["customer"] else []
    if change.customer is None:
        joining += [person.party for person in ticket.participants]
    joining = list(dict.fromkeys([*joining, *change.add_participants]))
    _join(tx, ticket.number, [party for party in joining if party not in change.remove_participants])


def _change_ticket(tx: Connection, number: int, plan: Plan, ticket: TicketFacts | None, now: datetime) -> None:
    values = _changed(plan, ticket, now)
    if not plan.events and plan.change == TicketChange():
        return
    tx.execute(_CHANGE_TICKET, {"of_ticket": number, **values})
    change = plan.change
    if change.remove_participants:
        tx.execute(
            sa.delete(participants).where(
                participants.c.ticket == number, participants.c.party.in_(change.remove_participants)
            )
        )
    joining = ([change.customer] if change.customer else []) + list(change.add_participants)
    _join(tx, number, list(dict.fromkeys(joining)))


def _join(tx: Connection, number: int, parties: Sequence[int]) -> None:
    if not parties:
        return
    first = tx.execute(_LAST_POSITION, {"of_ticket": number}).scalar_one() + 1
    tx.execute(
        insert_once(tx, participants),
        [{"ticket": number, "party": party, "position": first + n} for n, party in enumerate(parties)],
    )


def _changed(plan: Plan, ticket: TicketFacts | None, now: datetime) -> dict[str, Any]:
    """The columns a plan gives new values to."""
    change = plan.change
    plain = {
        "subject": change.subject,
        "customer": change.customer,
        "inbox": change.inbox,
        "priority": change.priority,
        "tags": change.tags,
        "watchers": change.watchers,
        "muted": change.muted,
        "title": change.title,
        "merged_into": change.merged_into,
        "snoozed_until": change.snoozed_until,
    }
    values: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    if plan.outcome not in _BESIDE:
        values["changed_at"] = now
    if change.owner is not None:
        values["owner"] = change.owner or None
    if change.state is not None:
        values["state"] = change.state
        ended_before = ticket.closed_at if ticket else None  # closing what is closed does not make it younger
        values["closed_at"] = (ended_before or now) if change.state in _ENDED else None
        if change.state is not State.SNOOZED:
            values["snoozed_until"] = None
    if plan.events:
        values["last_event"] = max(event.number for event in plan.events)
    return values


def _insert_history(tx: Connection, number: int, mail_id: int, plan: Plan, now: datetime) -> None:
    if plan.events:
        rows = [
            {
                "ticket": number,
                "number": event.number,
                "kind": event.kind,
                "at": event.at or now,
                "party": event.party,
                "public": event.public,
                "text": event.text,
                "message_id": event.message_id,
                "reason": event.reason,
                "answers": event.answers,
                "attachments": event.attachments,
                "journal": event.journal or (mail_id if event.from_mail else 0),
                "data": event.data,
            }
            for event in plan.events
        ]
        tx.execute(_NEW_EVENT, rows)
        mark(tx, EVENT, ((number, event.number) for event in plan.events))
    if plan.message_ids:
        tx.execute(
            insert_once(tx, message_ids),
            [
                {
                    "message_id": fact.message_id,
                    "ticket": fact.ticket or number,
                    "event": fact.event,
                    "party": fact.party,
                    "public": fact.public,
                    "at": fact.at or now,
                }
                for fact in plan.message_ids
            ],
        )


def _record_held(tx: Connection, number: int, mail_id: int, plan: Plan) -> None:
    if plan.held:
        tx.execute(
            sa.insert(held),
            [
                {
                    "ticket": fact.ticket or number,
                    "event": fact.event,
                    "party": fact.party,
                    "reason": fact.reason,
                    "text": fact.text,
                    "commands": fact.commands,
                    "answered": fact.answered,
                    "journal": fact.journal or mail_id,
                    "resolution": fact.resolution,
                    "internal": fact.internal,
                    "bad_line": fact.bad_line,
                    "attachments": fact.attachments,
                }
                for fact in plan.held
            ],
        )
    for event, resolution in plan.resolved:
        # Only what is still open: a held text is decided once.
        tx.execute(_RESOLVE, {"of_ticket": number, "of_event": event, "resolution": resolution})
        if resolution in _WITHOUT_EFFECT:
            for row_id in tx.execute(_JOURNAL_OF_HELD, {"of_ticket": number, "of_event": event}).scalars():
                journal_rows.discard(tx, row_id, resolution)
