"""Tickets out of the database, whole: a fixed number of statements however many are asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, bindparam

from gateway.model import EventFact, HeldFact, MessageIdFact, Person, State, TicketFacts, find_thirds
from gateway.store.people import find_persons
from gateway.store.schema import events, held, message_ids, participants, tickets

MAX_NUMBER = 99_999_999
"""Tokens give a ticket number eight digits; what is larger came from a stranger's text."""

_MAX_MERGES = 10  # a chain of merges that is longer is a mistake, or a circle

_numbers: sa.BindParameter[int] = bindparam("numbers", expanding=True)
_TICKETS = sa.select(tickets).where(tickets.c.number.in_(_numbers)).order_by(tickets.c.number)
_TICKETS_LOCKED = _TICKETS.with_for_update()
_EVENTS = sa.select(events).where(events.c.ticket.in_(_numbers)).order_by(events.c.ticket, events.c.number)
_MESSAGE_IDS = sa.select(message_ids).where(message_ids.c.ticket.in_(_numbers)).order_by(message_ids.c.id)
_HELD = sa.select(held).where(held.c.ticket.in_(_numbers)).order_by(held.c.event)
_PARTICIPANTS = sa.select(participants).where(participants.c.ticket.in_(_numbers)).order_by(participants.c.position)


def load_tickets(tx: Connection, numbers: Collection[int], lock: bool = False) -> dict[int, TicketFacts]:
    """The tickets with these numbers, and those they were merged into, each under its own number.

    With ``lock`` the rows are locked until the transaction ends, in the order of their numbers, so that two mails of
    one conversation meet here and not in a deadlock (PostgreSQL; SQLite has one writer).
    """
    rows: dict[int, Any] = {}
    wanted = {number for number in numbers if 0 < number <= MAX_NUMBER}
    for _ in range(_MAX_MERGES):
        if not wanted:
            break
        found = tx.execute(_TICKETS_LOCKED if lock else _TICKETS, {"numbers": list(wanted)}).all()
        rows.update((row.number, row) for row in found)
        wanted = {row.merged_into for row in found if row.merged_into and row.merged_into not in rows}
    return _load_whole(tx, rows) if rows else {}


def load_ticket(tx: Connection, number: int, lock: bool = False) -> TicketFacts | None:
    """One ticket with everything that happened to it; None when there is none."""
    return load_tickets(tx, [number], lock).get(number)


def list_tickets(
    tx: Connection, state: State | None = None, owner: int | None = None, inbox: str | None = None, limit: int = 1000
) -> list[TicketFacts]:
    """Tickets in a state, of an owner (party; 0: nobody's) or an inbox, newest first; without events, ids and held."""
    statement = sa.select(tickets).order_by(tickets.c.number.desc()).limit(limit)
    if state is not None:
        statement = statement.where(tickets.c.state == state)
    if owner is not None:
        statement = statement.where(tickets.c.owner == owner if owner else tickets.c.owner.is_(None))
    if inbox is not None:
        statement = statement.where(tickets.c.inbox == inbox)
    rows = tx.execute(statement).all()
    parties = {party for row in rows for party in (row.owner, row.customer) if party}
    people = {person.party: person for person in find_persons(tx, parties=parties)}
    return [_to_ticket(row, people) for row in rows]


def to_message_id(row: Any) -> MessageIdFact:
    """A row of message_ids as a value."""
    return MessageIdFact(
        message_id=row.message_id, ticket=row.ticket, event=row.event, party=row.party, at=row.at, public=row.public
    )


def _load_whole(tx: Connection, rows: Mapping[int, Any]) -> dict[int, TicketFacts]:
    asked = {"numbers": list(rows)}
    happened: dict[int, list[EventFact]] = defaultdict(list)
    for row in tx.execute(_EVENTS, asked):
        happened[row.ticket].append(_to_event(row))
    ids: dict[int, list[MessageIdFact]] = defaultdict(list)
    for row in tx.execute(_MESSAGE_IDS, asked):
        ids[row.ticket].append(to_message_id(row))
    waiting: dict[int, list[HeldFact]] = defaultdict(list)
    for row in tx.execute(_HELD, asked):
        waiting[row.ticket].append(_to_held(row))
    taking_part: dict[int, list[int]] = defaultdict(list)
    for row in tx.execute(_PARTICIPANTS, asked):
        taking_part[row.ticket].append(row.party)
    parties = {party for row in rows.values() for party in (row.owner, row.customer) if party}
    parties.update(party for several in taking_part.values() for party in several)
    happened_so = {number: as_it_stands(lines) for number, lines in happened.items()}
    parties.update(party for lines in happened_so.values() for party in find_thirds(lines))
    parties.update(event.party for lines in happened_so.values() for event in lines if event.party)
    people = {person.party: person for person in find_persons(tx, parties=parties)}
    return {
        number: _to_ticket(
            row,
            people,
            _customer_first(taking_part[number], row.customer),
            happened_so.get(number, ()),
            ids[number],
            waiting[number],
        )
        for number, row in rows.items()
    }


def _customer_first(parties: Sequence[int], customer: int | None) -> list[int]:
    # Whoever it is now: a correction (#from) does not renumber the others.
    return sorted(parties, key=lambda party: party != customer)


def _to_ticket(
    row: Any,
    people: Mapping[int, Person],
    taking_part: Sequence[int] = (),
    happened: Sequence[EventFact] = (),
    ids: Sequence[MessageIdFact] = (),
    waiting: Sequence[HeldFact] = (),
) -> TicketFacts:
    return TicketFacts(
        number=row.number,
        uuid=row.uuid,
        inbox=row.inbox,
        subject=row.subject,
        state=State(row.state),
        created_at=row.created_at,
        owner=people.get(row.owner),
        customer=people.get(row.customer),
        participants=tuple(people[party] for party in taking_part),
        thirds=tuple(people[party] for party in find_thirds(happened) if party in people),
        authors=tuple(people[party] for party in dict.fromkeys(e.party for e in happened) if party in people),
        last_event=row.last_event,
        root=row.root,
        closed_at=row.closed_at,
        snoozed_until=row.snoozed_until,
        events=tuple(happened),
        message_ids=tuple(ids),
        held=tuple(waiting),
        merged_into=row.merged_into,
        priority=row.priority,
        tags=tuple(row.tags),
        watchers=tuple(row.watchers),
        muted=tuple(row.muted),
        title=row.title,
    )


def as_it_stands(happened: Sequence[EventFact]) -> tuple[EventFact, ...]:
    """A ticket's history less what was taken back: nothing is deleted, but an answer that was withdrawn before it was
    sent is no answer, and what a merge copied here is not shown once the merge was undone.
    """
    withdrawn = {event.answers for event in happened if event.kind == "withdraw"}
    parted = {event.data.get("from", ""): event.number for event in happened if event.kind == "unmerge"}
    if not withdrawn and not parted:
        return tuple(happened)
    shown = []
    for event in happened:
        source = event.data.get("from", "").partition(".")[0] if event.kind not in ("merge", "unmerge") else ""
        if source and event.number < parted.get(source, 0):
            continue
        if event.number in withdrawn or (event.kind == "relayed" and event.answers in withdrawn):
            event = replace(event, kind="withdrawn", public=False)
        shown.append(event)
    return tuple(shown)


def _to_event(row: Any) -> EventFact:
    return EventFact(
        number=row.number,
        kind=row.kind,
        at=row.at,
        party=row.party,
        public=row.public,
        text=row.text,
        message_id=row.message_id,
        reason=row.reason,
        answers=row.answers,
        attachments=tuple(row.attachments),
        journal=row.journal,
        data=row.data,
    )


def _to_held(row: Any) -> HeldFact:
    return HeldFact(
        ticket=row.ticket,
        event=row.event,
        party=row.party,
        reason=row.reason,
        text=row.text,
        commands=tuple((verb, argument) for verb, argument in row.commands),
        answered=row.answered,
        journal=row.journal,
        resolution=row.resolution,
        internal=row.internal,
        bad_line=row.bad_line,
        attachments=tuple(row.attachments),
    )
