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
from gateway.desk.reminding import knows_of_delay, plan_undelivered
from gateway.model import Delivery, OutboundMail
from gateway.outbound.compose import compose_all
from gateway.outbound.retry import next_due, warning_due
from gateway.outbound.sent_copy import choose_mailbox
from gateway.outbound.transport import Attempt
from gateway.outbound.unreachable import write_unreachable, write_untold
from gateway.settings import Settings
from gateway.store import deliveries, sent_copies, suppression, tickets, timers, undelivered
from gateway.threading.match import find_moved

TRANSMISSIONS = 3
"""Times a person's answer is sent to a relay that never says that it has it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is recorded of an attempt: the state it leads to and when it is tried again."""

    state: str  # sent, deferred, failed, unknown
    due_at: datetime | None = None
    warn: bool = False  # its author must know, unless told already
    untold: bool = False  # it was the last mail that could have told somebody of a new ticket


def judge_attempt(delivery: Delivery, attempt: Attempt, settings: Settings, now: datetime) -> Outcome:
    """Temporary unless proven permanent; automatic mail with an unknown end is never sent again.

    A person's answer is, until it left ``TRANSMISSIONS`` times: a relay that keeps what it does not confirm would
    hand the customer a copy each time, for days.
    """
    personal = not delivery.mail.automatic
    if attempt.outcome == "sent":
        return Outcome("sent")
    if attempt.outcome == "failed":
        return Outcome("failed", warn=personal)
    times_left = _count_left(delivery, attempt)
    if attempt.outcome == "unknown" and (times_left >= TRANSMISSIONS or not personal):
        return Outcome("unknown", warn=personal)
    due = next_due(delivery.attempt, delivery.queued_at, now, settings.send)
    if due is None:
        return Outcome("unknown" if times_left else "failed", warn=personal)
    warn = personal and warning_due(delivery.queued_at, now, settings.send)
    return Outcome("deferred", due, warn)


def _count_left(delivery: Delivery, attempt: Attempt) -> int:
    """How often the whole mail was transmitted and not confirmed, with this attempt."""
    return delivery.transmitted + (attempt.outcome == "unknown")


def record(tx: Connection, delivery: Delivery, attempt: Attempt, settings: Settings, now: datetime) -> Outcome:
    """Record the attempt and, when its author must know, the notice, in the caller's transaction."""
    outcome = judge_attempt(delivery, attempt, settings, now)
    left = attempt.outcome == "unknown"
    if not deliveries.record_attempt(
        tx, delivery, outcome.state, attempt.reply, outcome.due_at, now, left=left, barred=attempt.barred
    ):
        return outcome  # another host took over after our lease ran out: its word counts
    if outcome.state == "sent":
        mailbox = choose_mailbox(delivery.mail, settings)
        if mailbox is not None:
            sent_copies.note(tx, delivery, mailbox.handle, now)
    if attempt.outcome == "failed" and attempt.step == "rcpt":  # at any other step it was not the address
        _remember(tx, delivery, attempt.reply, settings, now)
    if outcome.warn:
        left_times = _count_left(delivery, attempt) if outcome.state == "unknown" else 0
        final = outcome.state != "deferred"
        said = {"left": str(left_times or ""), "relay": "1" if attempt.barred else ""}
        told = _tell_author(tx, delivery, attempt.reply, settings, now, final=final, **said)
        outcome = replace(outcome, warn=told)
    if outcome.state in ("failed", "unknown") and delivery.mail.kind == "offer":
        return replace(outcome, untold=_tell_untold(tx, delivery.mail, attempt.reply, settings, now))
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
                _tell_author(tx, delivery, why, settings, now, final=True, untried="1")
    return leaving, refused


def _remember(tx: Connection, delivery: Delivery, reply: str, settings: Settings, now: datetime) -> None:
    """Count it against the address; an agent's is not counted, but the admins hear of it."""
    agent = settings.find_agent(delivery.mail.recipient)
    if agent is None:
        suppression.note_refusal(tx, delivery.mail.recipient, reply, now)
    elif delivery.mail.kind != "alert" and suppression.weigh(reply):
        mails = write_unreachable(agent, reply, settings, now)
        deliveries.enqueue(tx, [mail for mail in mails if not deliveries.is_queued(tx, mail.message_id)], now)


def _tell_untold(tx: Connection, mail: OutboundMail, reply: str, settings: Settings, now: datetime) -> bool:
    """If no offer of a new ticket reached anybody, the admins hear of it, once a ticket; whether that is so."""
    if not undelivered.reached_nobody(tx, mail.ticket, mail.kind):
        return False
    mails = write_untold(mail.ticket, reply, settings, now)
    deliveries.enqueue(tx, [one for one in mails if not deliveries.is_queued(tx, one.message_id)], now)
    return True


def _tell_author(
    tx: Connection,
    delivery: Delivery,
    reply: str,
    settings: Settings,
    now: datetime,
    *,
    final: bool,
    **said: str,
) -> bool:
    """The notice to the author; False when the delay was told already. ``said``: :mod:`gateway.outbound.notices`."""
    mail = delivery.mail
    settings = with_choices(settings, tickets.agent_choices(tx))
    ticket = tickets.open_ticket(tx, mail.ticket, "", None, settings, now)
    if ticket.merged_into:
        ticket = tickets.follow_merges(tickets.load_tickets(tx, [mail.ticket], lock=True))[mail.ticket]
        mail = replace(mail, event=find_moved(ticket, mail.ticket, mail.event))
    if not final and knows_of_delay(ticket, mail, delivery.queued_at):
        return False
    agents = tickets.ensure_agents(tx, settings)
    case = occasion(ticket, agents, settings, now, "undelivered")
    plan = plan_undelivered(case, mail, reply, final=final, **said)
    after = apply_plan(ticket, plan, {p.party: p for p in (*ticket.participants, *agents.values())}, now)
    tickets.record(tx, None, plan, ticket, now)
    timers.record(tx, plan)
    mails = compose_all(plan, after, settings, now)
    deliveries.enqueue(tx, delay_mails(mails, agents, settings, now), now)
    return True
