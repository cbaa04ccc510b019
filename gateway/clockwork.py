"""One due timer -> one recorded plan. Time is data: a restart, a clock jump or a second host changes nothing."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from gateway.desk.case import occasion
from gateway.desk.choices import delay_mails, find_absences, with_choices
from gateway.desk.lifecycle import apply_plan
from gateway.desk.reminding import plan_timer
from gateway.model import Plan, Timer
from gateway.outbound.compose import compose_all
from gateway.settings import Settings
from gateway.store import deliveries, tickets, timers


def remind(tx: Connection, timer: Timer, settings: Settings, now: datetime) -> Plan | None:
    """Decide one claimed timer and record the decision, in the caller's transaction."""
    if not timers.finish(tx, timer):
        return None  # moved or cleared since it was claimed
    if not timer.ticket:
        return None
    choices = tickets.agent_choices(tx)
    settings = with_choices(settings, choices)
    ticket = tickets.open_ticket(tx, timer.ticket, "", None, settings, now)
    agents = tickets.ensure_agents(tx, settings)
    away = find_absences(choices, settings, now)
    plan = plan_timer(occasion(ticket, agents, settings, now, timer.kind, away), timer)
    after = apply_plan(ticket, plan, {p.party: p for p in (*ticket.participants, *agents.values())}, now)
    tickets.record(tx, None, plan, ticket, now)
    timers.record(tx, plan)
    mails = compose_all(plan, after, settings, now)
    deliveries.enqueue(tx, delay_mails(mails, agents, settings, now), now)
    return plan
