"""One attempt at one delivery -> one recorded report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from gateway.address import fold_address
from gateway.desk.case import occasion
from gateway.desk.choices import delay_mails, with_choices
from gateway.desk.lifecycle import apply_plan
from gateway.desk.reminding import plan_undelivered
from gateway.model import Delivery
from gateway.outbound.compose import compose_all
from gateway.outbound.retry import next_due, warning_due
from gateway.outbound.sent_copy import choose_mailbox
from gateway.outbound.transport import Attempt
from gateway.outbound.unreachable import write_unreachable
from gateway.settings import Settings
from gateway.store import deliveries, sent_copies, suppression, tickets, timers
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
    if outcome.state == "sent":
        mailbox = choose_mailbox(delivery.mail, settings)
        if mailbox is not None:
            sent_copies.note(tx, delivery, mailbox.handle, now)
    if attempt.outcome == "failed":
        _remember(tx, delivery, attempt.reply, settings, now)
    if outcome.warn:
        _tell_author(tx, delivery, attempt.reply, settings, now, final=outcome.state == "failed")
    return outcome


def refuse_dead(
    tx: Connection, claimed: Sequence[Delivery], settings: Settings, now: datetime
) -> tuple[list[Delivery], list[tuple[Delivery, str]]]:
    """What may leave; and what may not because its address takes no mail, recorded as failed, with the words why.

    Of a person's answer its author hears at once, with the link that tries it all the same. An agent's own address is
    never refused: whoever would be told of new mail must not be left out because a server once said no.
    """
    dead = suppression.find_suppressed(tx, (delivery.mail.recipient for delivery in claimed))
    leaving, refused = [], []
    for delivery in claimed:
        why = dead.get(fold_address(delivery.mail.recipient))
        if why is None or settings.find_agent(delivery.mail.recipient) is not None:
            leaving.append(delivery)
            continue
        reply = f"not tried: {why}"
        if deliveries.record_attempt(tx, delivery, "failed", reply, None, now):
            refused.append((delivery, reply))
            if not delivery.mail.automatic:
                _tell_author(tx, delivery, why, settings, now, final=True, untried=True)
    return leaving, refused


def _remember(tx: Connection, delivery: Delivery, reply: str, settings: Settings, now: datetime) -> None:
    """Count it against the address; an agent's is not counted, but the admins hear of it."""
    agent = settings.find_agent(delivery.mail.recipient)
    if agent is None:
        suppression.note_refusal(tx, delivery.mail.recipient, reply, now)
    elif delivery.mail.kind != "alert" and suppression.weigh(reply):
        mails = write_unreachable(agent, reply, settings, now)
        deliveries.enqueue(tx, [mail for mail in mails if not deliveries.is_queued(tx, mail.message_id)], now)


def _tell_author(
    tx: Connection,
    delivery: Delivery,
    reply: str,
    settings: Settings,
    now: datetime,
    *,
    final: bool,
    untried: bool = False,
) -> None:
    mail = delivery.mail
    settings = with_choices(settings, tickets.agent_choices(tx))
    ticket = tickets.open_ticket(tx, mail.ticket, "", None, settings, now)
    if ticket.merged_into:
        ticket = tickets.follow_merges(tickets.load_tickets(tx, [mail.ticket], lock=True))[mail.ticket]
        mail = replace(mail, event=find_moved(ticket, mail.ticket, mail.event))
    agents = tickets.ensure_agents(tx, settings)
    case = occasion(ticket, agents, settings, now, "undelivered")
    plan = plan_undelivered(case, mail, reply, final=final, untried=untried)
    after = apply_plan(ticket, plan, {p.party: p for p in (*ticket.participants, *agents.values())}, now)
    tickets.record(tx, None, plan, ticket, now)
    timers.record(tx, plan)
    mails = compose_all(plan, after, settings, now)
    deliveries.enqueue(tx, delay_mails(mails, agents, settings, now), now)
