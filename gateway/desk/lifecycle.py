"""States, transitions, and what a ticket looks like after a plan (mail.md 16)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from gateway.model import EventFact, HeldFact, MessageIdFact, Person, Plan, State, TicketFacts, find_thirds

REOPENED_BY_CUSTOMER = frozenset({State.CLOSED, State.WAITING, State.SNOOZED, State.OPEN})


def after_customer(ticket: TicketFacts) -> State:
    """State after a human mail of a participant: whatever slept wakes up; what nobody has stays new."""
    if ticket.state in REOPENED_BY_CUSTOMER:
        return State.OPEN
    return ticket.state


def may_reopen(ticket: TicketFacts, reopen: object, now: datetime) -> bool:
    """Whether a closed ticket is young enough to continue (``tickets.reopen``)."""
    return ticket.closed_at is None or now - ticket.closed_at <= reopen  # type: ignore[operator]


def apply_plan(ticket: TicketFacts, plan: Plan, persons: Mapping[int, Person], now: datetime) -> TicketFacts:
    """The ticket as it will stand once ``plan`` is recorded: what compose and tests look at."""
    change = plan.change
    state = change.state if change.state is not None else ticket.state
    owner = ticket.owner if change.owner is None else persons.get(change.owner)
    participants = [p for p in ticket.participants if p.party not in change.remove_participants]
    participants += [persons[n] for n in change.add_participants if n in persons and persons[n] not in participants]
    people = {**persons, **{p.party: p for p in ticket.thirds}}
    thirds = find_thirds(plan.events, (p.party for p in ticket.thirds))
    resolutions = dict(plan.resolved)
    return replace(
        ticket,
        state=state,
        owner=owner,
        subject=ticket.subject if change.subject is None else change.subject,
        participants=tuple(participants),
        thirds=tuple(people[party] for party in thirds if party in people),
        closed_at=_closed_at(ticket, state, now),
        snoozed_until=(change.snoozed_until or ticket.snoozed_until) if state is State.SNOOZED else None,
        customer=ticket.customer if change.customer is None else persons.get(change.customer, ticket.customer),
        inbox=change.inbox if change.inbox is not None else ticket.inbox,
        priority=change.priority if change.priority is not None else ticket.priority,
        tags=change.tags if change.tags is not None else ticket.tags,
        watchers=change.watchers if change.watchers is not None else ticket.watchers,
        muted=change.muted if change.muted is not None else ticket.muted,
        title=change.title if change.title is not None else ticket.title,
        merged_into=change.merged_into if change.merged_into is not None else ticket.merged_into,
        last_event=max([ticket.last_event, *(e.number for e in plan.events)]),
        events=(*ticket.events, *_event_facts(plan, now)),
        message_ids=(*ticket.message_ids, *plan.message_ids),
        held=(*(_resolved(h, resolutions) for h in ticket.held), *plan.held),
    )


def _closed_at(ticket: TicketFacts, state: State, now: datetime) -> datetime | None:
    if state not in (State.CLOSED, State.SPAM):
        return None
    return ticket.closed_at or now


def _resolved(held: HeldFact, resolutions: Mapping[int, str]) -> HeldFact:
    return replace(held, resolution=resolutions[held.event]) if held.event in resolutions else held


def _event_facts(plan: Plan, now: datetime) -> tuple[EventFact, ...]:
    return tuple(
        EventFact(
            number=event.number,
            kind=event.kind,
            at=event.at or now,
            party=event.party,
            public=event.public,
            text=event.text,
            message_id=event.message_id,
            reason=event.reason,
            answers=event.answers,
            attachments=event.attachments,
            journal=event.journal,
            data=event.data,
        )
        for event in plan.events
    )


def known_message_ids(ticket: TicketFacts, party: int) -> tuple[MessageIdFact, ...]:
    """Ids this party has seen: issued to it, or received in public."""
    return tuple(m for m in ticket.message_ids if m.party == party or (m.party == 0 and m.public))
