"""One attempt at one delivery -> one recorded report."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from gateway.desk.case import occasion
from gateway.desk.choices import delay_mails, with_choices
from gateway.desk.lifecycle import apply_plan
from gateway.desk.reminding import plan_undelivered
from gateway.model import Delivery
from gateway.outbound.compose import compose_all
from gateway.outbound.retry import next_due, warning_due
from gateway.outbound.transport import Attempt
from gateway.settings import Settings
from gateway.store import deliveries, tickets, timers
from gateway.threading.match import find_moved


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is recorded of an attempt: the state it leads to and when it is tried again."""

    state: str  # sent, deferred, failed, unknown
    due_at: datetime | None = None
    warn: bool = False


def judge_attempt(delivery: Delivery, attempt: Attempt, settings: Settings, now: datetime) -> Outcome:
    """Temporary unless proven permanent; a person's answer with an unknown end is sent again, automatic mail never."""
    if attempt.outcome == "sent":
        return Outcome("sent")
    if attempt.outcome == "failed":
        return Outcome("failed", warn=not delivery.mail.automatic)
    if attempt.outcome == "unknown" and delivery.mail.automatic:
        return Outcome("unknown")
    due = next_due(delivery.attempt, delivery.queued_at, now, settings.send)
    if due is None:
        return Outcome("failed", warn=not delivery.mail.automatic)
    warn = not delivery.mail.automatic and warning_due(delivery.attempt, delivery.queued_at, now, settings.send)
    return Outcome("deferred", due, warn)


def record(tx: Connection, delivery: Delivery, attempt: Attempt, settings: Settings, now: datetime) -> Outcome:
    """Record the attempt and, when its author must know, the notice, in the caller's transaction."""
    outcome = judge_attempt(delivery, attempt, settings, now)
    if not deliveries.record_attempt(tx, delivery, outcome.state, attempt.reply, outcome.due_at, now):
        return outcome  # another host took over after our lease ran out: its word counts
    if outcome.warn:
        _tell_author(tx, delivery, attempt.reply, settings, now, final=outcome.state == "failed")
    return outcome


def _tell_author(
    tx: Connection, delivery: Delivery, reply: str, settings: Settings, now: datetime, *, final: bool
) -> None:
    mail = delivery.mail
    settings = with_choices(settings, tickets.agent_choices(tx))
    ticket = tickets.open_ticket(tx, mail.ticket, "", None, settings, now)
    if ticket.merged_into:
        ticket = tickets.follow_merges(tickets.load_tickets(tx, [mail.ticket], lock=True))[mail.ticket]
        mail = replace(mail, event=find_moved(ticket, mail.ticket, mail.event))
    agents = tickets.ensure_agents(tx, settings)
    case = occasion(ticket, agents, settings, now, "undelivered")
    plan = plan_undelivered(case, mail, reply, final=final)
    after = apply_plan(ticket, plan, {p.party: p for p in (*ticket.participants, *agents.values())}, now)
    tickets.record(tx, None, plan, ticket, now)
    timers.record(tx, plan)
    mails = compose_all(plan, after, settings, now)
    deliveries.enqueue(tx, delay_mails(mails, agents, settings, now), now)
