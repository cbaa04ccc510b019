"""Tickets as rows of lists, digests and search results: whose, since when, how late (mail.md 17)."""

from __future__ import annotations

from datetime import datetime, timedelta

from gateway.desk.calendar import add_business
from gateway.desk.case import Case
from gateway.model import Person, State
from gateway.questions import TicketLine
from gateway.settings import Agent, Settings


def served_by(agent: Agent | None, settings: Settings) -> tuple[str, ...]:
    """Handles of the inboxes whose tickets this agent may see: those it works in, or leads."""
    if agent is None:
        return ()
    inboxes = settings.inbox.items()
    return tuple(
        handle
        for handle, inbox in inboxes
        if agent.handle in {a.handle for a in (*settings.agents_of(inbox), *settings.leads_of(inbox))}
    )


def may_read(case: Case, inbox: str) -> bool:
    """Whether the agent who writes may see tickets of this inbox."""
    return inbox in served_by(case.agent, case.settings)


def late_since(line: TicketLine, settings: Settings) -> datetime | None:
    """When the first reminder about it was due; None when nobody waits, or the inbox reminds nobody."""
    inbox = settings.inbox.get(line.inbox)
    if inbox is None or line.waits_since is None or line.state not in (State.NEW, State.OPEN):
        return None
    spans = inbox.remind.unanswered if line.owner else inbox.remind.unclaimed
    if not spans:
        return None
    return add_business(inbox.hours, settings.ticketgate.timezone, line.waits_since, spans[0])


def is_late(line: TicketLine, settings: Settings, now: datetime) -> bool:
    """Whether a customer waits longer than the inbox's first reminder."""
    since = late_since(line, settings)
    return since is not None and since <= now


def say_who(person: Person | None) -> str:
    """A customer in a column: the name once it is known, else the address."""
    if person is None:
        return ""
    return person.name if person.known and person.name else person.address


def tell_owner(line: TicketLine, me: int) -> dict[str, str]:
    """Whose it is: ``state`` yours, free, taken (``owner`` says by whom), or the ticket's own state."""
    if line.state not in (State.NEW, State.OPEN, State.WAITING):
        return {"state": line.state.value}
    if line.owner is None:
        return {"state": "free"}
    return {"state": "yours"} if line.owner.party == me else {"state": "taken", "owner": line.owner.agent}


def tell_wait(line: TicketLine, now: datetime) -> dict[str, str]:
    """What it waits for: ``wait`` new or waits (a customer, for ``span`` seconds), snoozed (to ``until``), waiting (for
    the customer), or the ticket's own state."""
    if line.state is State.SNOOZED:
        return {"wait": "snoozed", "until": line.snoozed_until.isoformat() if line.snoozed_until else ""}
    if line.state in (State.CLOSED, State.SPAM) or line.waits_since is None:
        return {"wait": line.state.value}
    span = str(int((now - line.waits_since).total_seconds()))
    return {"wait": "new" if line.owner is None else "waits", "span": span}


def say_span(span: timedelta | None) -> str:
    """``48 min``, ``1 h 10``, ``1 d 2 h``; "-" for none."""
    if span is None:
        return "-"
    minutes = max(0, round(span.total_seconds() / 60))
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    return (f"{hours} h {rest:02}" if rest else f"{hours} h") if hours else f"{rest} min"
