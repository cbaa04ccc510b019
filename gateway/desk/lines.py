"""Tickets as rows of lists, digests and search results: whose, since when, how late (mail.md 17)."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.desk.calendar import add_business
from gateway.desk.case import Case
from gateway.desk.moments import find_zone
from gateway.model import Person, State
from gateway.questions import TicketLine
from gateway.settings import Agent, Settings

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


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


def say_owner(line: TicketLine, me: int) -> str:
    """The state as one word: yours, a colleague's handle, free, or the ticket's own state."""
    if line.state not in (State.NEW, State.OPEN, State.WAITING):
        return line.state.value
    if line.owner is None:
        return "free"
    return "yours" if line.owner.party == me else (line.owner.agent or "taken")


def say_wait(line: TicketLine, now: datetime, zone: str) -> str:
    """What it waits for, for the last column: ``waits 19 h``, ``new, 2 h``, ``snoozed to today 09:00``."""
    if line.state is State.SNOOZED:
        return f"snoozed to {say_day(line.snoozed_until, now, zone, clock=True)}" if line.snoozed_until else "snoozed"
    if line.state in (State.CLOSED, State.SPAM):
        return line.state.value
    if line.waits_since is None:
        return "waiting for the customer" if line.state is State.WAITING else line.state.value
    age = say_age(now - line.waits_since)
    return f"new, {age}" if line.owner is None else f"waits {age}"


def say_age(span: timedelta) -> str:
    """``40 min``, ``19 h``, ``3 d``: one unit, rounded down."""
    minutes = max(0, int(span.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


def say_span(span: timedelta | None) -> str:
    """``48 min``, ``1 h 10``, ``1 d 2 h``; "-" for none."""
    if span is None:
        return "-"
    minutes = max(0, round(span.total_seconds() / 60))
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    return (f"{hours} h {rest:02}" if rest else f"{hours} h") if hours else f"{rest} min"


def say_day(at: datetime, now: datetime, zone: str, clock: bool = False) -> str:
    """``today``, ``2 Apr``, ``11 Jan 2025``; with ``clock`` also ``today 09:00``."""
    here = find_zone(zone) or ZoneInfo("UTC")
    there, today = at.astimezone(here), now.astimezone(here)
    if there.date() == today.date():
        day = "today"
    elif 0 < (there.date() - today.date()).days < 7:
        day = _DAYS[there.weekday()]
    else:
        year = "" if there.year == today.year else f" {there.year}"
        day = f"{there.day} {_MONTHS[there.month - 1]}{year}"
    return f"{day} {there:%H:%M}" if clock else day
