"""One due timer -> one recorded plan. Time is data: a restart, a clock jump or a second host changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from gateway.desk.case import occasion
from gateway.desk.choices import delay_mails, find_absences, with_choices
from gateway.desk.lifecycle import apply_plan
from gateway.desk.reminding import plan_timer
from gateway.desk.rounds import ask_round, first_rounds, plan_round, round_of
from gateway.model import Plan, Timer, TimerSet
from gateway.outbound.compose import compose_all
from gateway.settings import Settings
from gateway.store import answers, deliveries, tickets, timers, workload


def remind(tx: Connection, timer: Timer, settings: Settings, now: datetime) -> Plan | None:
    """Decide one claimed timer and record the decision, in the caller's transaction."""
    if not timers.finish(tx, timer):
        return None  # moved or cleared since it was claimed
    choices = tickets.agent_choices(tx)
    settings = with_choices(settings, choices)
    if not timer.ticket:
        return _go_round(tx, timer, settings, choices, now)
    ticket = tickets.open_ticket(tx, timer.ticket, "", None, settings, now)
    agents = tickets.ensure_agents(tx, settings)
    away = find_absences(choices, settings, now)
    case = occasion(ticket, agents, settings, now, timer.kind, away)
    if timer.kind == "offer":
        case = replace(case, facts=replace(case.facts, loads=workload.find_loads(tx)))
    plan = plan_timer(case, timer)
    after = apply_plan(ticket, plan, {p.party: p for p in (*ticket.participants, *agents.values())}, now)
    tickets.record(tx, None, plan, ticket, now)
    timers.record(tx, plan)
    mails = compose_all(plan, after, settings, now)
    deliveries.enqueue(tx, delay_mails(mails, agents, settings, now), now)
    return plan


def start_rounds(tx: Connection, settings: Settings, now: datetime) -> None:
    """Give every agent the rows of digest and report that are not there yet: at start, and when settings change.

    Tickets whose owner is no agent any more, or that no row watches, are announced now.
    """
    choices = tickets.agent_choices(tx)
    settings = with_choices(settings, choices)
    agents = tickets.ensure_agents(tx, settings)
    timers.set_missing(tx, first_rounds(agents, choices, settings, now))
    there = [p.party for h, p in agents.items() if h in settings.agents and settings.agents[h].enabled]
    orphans = workload.find_unwatched(tx, there)
    timers.set_missing(tx, [TimerSet(kind="orphan", due_at=now, ticket=number) for number in orphans])


def _go_round(
    tx: Connection, timer: Timer, settings: Settings, choices: Mapping[str, Mapping[str, str]], now: datetime
) -> Plan | None:
    """A digest or a weekly report; an agent who left has no successor."""
    agents = tickets.ensure_agents(tx, settings)
    handle = next((name for name, person in agents.items() if person.party == timer.party), "")
    case = round_of(handle, agents, settings, now, choices, find_absences(choices, settings, now))
    if case is None:
        return None
    case = replace(
        case,
        answers=answers.answer(tx, ask_round(case, timer)),
        list_number=answers.take_list_numbers(tx, 1),
    )
    plan = plan_round(case, timer)
    tickets.record(tx, None, plan, None, now)
    timers.record(tx, plan)
    mails = compose_all(plan, None, settings, now)
    deliveries.enqueue(tx, delay_mails(mails, agents, settings, now), now)
    return plan
