"""When somebody is reminded of a customer who waits, or who is silent (mail.md 15): rows due in business hours."""

from __future__ import annotations

from gateway.desk.calendar import add_business
from gateway.desk.case import Case
from gateway.desk.draft import Draft
from gateway.model import TimerSet
from gateway.settings import Inbox


def set_reminders(draft: Draft, case: Case, *, owned: bool, inbox: Inbox | None = None) -> None:
    """Start the reminder clock now: for the owner, or for the pool when nobody has the ticket."""
    for step in steps_of(case, inbox or case.ticket_inbox, owned=owned):
        draft.set_timer(step.kind, step.due_at, data=step.data)


def steps_of(case: Case, inbox: Inbox, *, owned: bool) -> tuple[TimerSet, ...]:
    """The steps of the clock of a customer who waits, counted from now; each knows when the next one is due."""
    kind = "unanswered" if owned else "unclaimed"
    spans = inbox.remind.unanswered if owned else inbox.remind.unclaimed
    due = [add_business(inbox.hours, case.settings.ticketgate.timezone, case.now, span) for span in spans]
    following = [*(at.isoformat() for at in due[1:]), ""]
    return tuple(
        TimerSet(kind=f"{kind}-{step}", due_at=at, data={"next": after} if after else {})
        for step, (at, after) in enumerate(zip(due, following, strict=True), 1)
    )


def waiting_of(case: Case, inbox: Inbox) -> tuple[TimerSet, ...]:
    """The clock of a silent customer: when the owner is asked, and when the ticket is closed without a word."""
    zone = case.settings.ticketgate.timezone
    spans = (("waiting", inbox.remind.waiting), ("autoclose", inbox.remind.auto_close))
    return tuple(
        TimerSet(kind=kind, due_at=add_business(inbox.hours, zone, case.now, span))
        for kind, span in spans
        if span is not None
    )
