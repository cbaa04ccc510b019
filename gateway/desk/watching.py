"""Whoever changes a ticket, somebody stays due to be told of it: the clocks that every plan leaves behind (mail.md 15).

One place for all verbs, so that none can forget: what a plan makes of the ticket decides which clock must run. It
starts with the change (a claim, a release, an answer), goes on while nothing changes, and ends with the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gateway.desk.case import Case
from gateway.desk.draft import step_kinds
from gateway.desk.reminders import steps_of, waiting_of
from gateway.model import Plan, State, TicketChange, TicketFacts, TimerSet

_UNSOLVED = (State.NEW, State.OPEN)
_CLOCKS = {
    "unclaimed": step_kinds("unclaimed"),
    "unanswered": step_kinds("unanswered"),
    "waiting": ("waiting", "autoclose"),
}


def keep_watch(case: Case, plan: Plan) -> Plan:
    """The plan with the clocks its tickets need afterwards, and without those that are over."""
    beside = tuple(_watched(case, one) for one in plan.beside)
    return replace(_watched(case, plan), beside=beside)


def _watched(case: Case, plan: Plan) -> Plan:
    ticket = _ticket_of(case, plan)
    if ticket is None:
        return plan
    before = "" if plan.opens_ticket else _clock(case, ticket, TicketChange())
    after = _clock(case, ticket, plan.change)
    over = [kind for name, kinds in _CLOCKS.items() if name == before != after for kind in kinds]
    if before == "unclaimed" != after:
        over.append("offer")
    if after and _has_to_start(plan, before, after):
        missing = _start(case, ticket, plan, after)
        plan = replace(plan, timers=(*plan.timers, *missing))
    return replace(plan, clear_timers=tuple(dict.fromkeys((*plan.clear_timers, *over))))


def _has_to_start(plan: Plan, before: str, after: str) -> bool:
    set_here = {timer.kind for timer in plan.timers if timer.ticket == plan.ticket}
    if set_here & {*_CLOCKS[after], *(("followup",) if after == "waiting" else ())}:
        return False  # the plan has a time of its own for it
    again = after == "waiting" and any(event.kind == "answer" for event in plan.events)
    return before != after or again or bool({*_CLOCKS[after]} & {*plan.clear_timers})


def _clock(case: Case, ticket: TicketFacts, change: TicketChange) -> str:
    """Which clock runs for a ticket once it is changed; "" none: it is done, hidden, or part of another one."""
    state = change.state if change.state is not None else ticket.state
    merged = change.merged_into if change.merged_into is not None else ticket.merged_into
    if merged or state not in (*_UNSOLVED, State.WAITING):
        return ""
    if state is State.WAITING:
        return "waiting"
    owner = change.owner if change.owner is not None else ticket.owner.party if ticket.owner else 0
    return "unanswered" if owner in _enabled(case) else "unclaimed"


def _enabled(case: Case) -> frozenset[int]:
    agents = case.settings.agents
    return frozenset(p.party for h, p in case.facts.agents.items() if h in agents and agents[h].enabled)


def _start(case: Case, ticket: TicketFacts, plan: Plan, clock: str) -> Iterable[TimerSet]:
    inbox = case.settings.inbox.get(plan.change.inbox or ticket.inbox, case.ticket_inbox)
    if clock == "waiting":
        wanted = waiting_of(case, inbox)
    else:
        wanted = steps_of(case, inbox, owned=clock == "unanswered")
    return tuple(replace(timer, ticket=ticket.number) for timer in wanted)


def _ticket_of(case: Case, plan: Plan) -> TicketFacts | None:
    known = (case.ticket, case.facts.fresh, *case.facts.tickets.values())
    return next((t for t in known if t is not None and plan.ticket and t.number == plan.ticket), None)
